// Package prefault has the kernel give a command the beginning of its heap at once.
//
// The kernel gives a process its memory page by page, when it is first written to. A command
// of aloft, most of which is the start of what it has from libraries, writes to the first 3 MB
// of its heap. These are 740 stops: where each is one of a virtual machine, a sixth of the time
// that the command takes to start. So what Go has taken for the heap is asked for in one call.
//
// Go initialises packages that do not need each other in the order of their paths (since 1.21, see
// "Package initialization" in its specification), and this one needs little: it is enough to import
// it, and it comes before all that is large.
package prefault

// IsCommand reports whether the arguments of aloft are those of a command, and not of a part of a
// cluster: that one has time to start, and would have for good what it never writes to.
func IsCommand(args []string) bool {
	if len(args) < 2 {
		return true
	}
	switch args[1] {
	case "agent", "dev", "master", "router", "supervisor":
		return false
	default:
		return true
	}
}
