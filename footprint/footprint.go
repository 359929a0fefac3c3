// Package footprint keeps small what a process of aloft holds in memory while it
// does little.
//
// The binary holds the whole of aloft. Packages that are of no use in a role have
// touched many of its pages while they were initialised, and each page that is used
// brings its neighbours with it. Those pages are clean: what is needed again comes
// back from the page cache.
package footprint

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// Shrink gives memory back to the system: what the heap does not use, and the pages
// of the binary. The error says that the latter are kept; it is no reason to end.
func Shrink() error {
	debug.FreeOSMemory()
	return dropCleanPages()
}

// dropCleanPages unmaps the pages of our own binary that are as they are on
// disk: those of mappings that cannot be written and were not.
func dropCleanPages() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer func() { _ = maps.Close() }() // read only
	var from, to uintptr                // of the mapping that is read, 0 when it is none of ours
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line := lines.Text()
		if start, end, ok := mapping(line); ok {
			from, to = 0, 0
			if strings.HasSuffix(line, " "+self) && strings.Contains(line, " r-") {
				from, to = start, end
			}
			continue
		}
		fields := strings.Fields(line)
		if to == 0 || len(fields) != 3 || fields[0] != "Anonymous:" || fields[1] != "0" {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return lines.Err()
}

// mapping reads the first line of a mapping: "from-to perms ...".
func mapping(line string) (from, to uintptr, ok bool) {
	n, err := fmt.Sscanf(line, "%x-%x ", &from, &to)
	return from, to, err == nil && n == 2
}
