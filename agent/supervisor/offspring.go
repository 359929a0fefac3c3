package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/core/id"
)

// becomeReaper makes orphans of our offspring our children, however often they
// fork and whatever session they are in. So all that lives on of a task whose
// program has ended is a child of ours, or below one.
func becomeReaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}

// ended returns a child that has ended and has not been reaped, so that its
// number is still its own, or 0 when there is none.
func ended() int {
	// The kernel's siginfo_t, as ints: the child's number follows three ints, and
	// on 64-bit machines a gap.
	var info [32]int32
	child := 3
	if strconv.IntSize == 64 {
		child = 4
	}
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, uintptr(unsafe.Pointer(&info)),
			unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
		case 0:
			return int(info[child])
		default:
			return 0 // ECHILD: no children at all
		}
	}
}

// reap takes the exit status of a child that has ended.
func reap(pid int) unix.WaitStatus {
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(pid, &status, unix.WNOHANG, nil); !errors.Is(err, unix.EINTR) {
			return status
		}
	}
}

// children returns the children that we adopted, the dead ones that are not
// reaped too, and perhaps others: the kernel gives orphans to the first thread.
func children() []int {
	list, err := readKernel("/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/children")
	if err != nil {
		return childrenByScan()
	}
	var found []int
	for field := range strings.FieldsSeq(string(list)) {
		if pid, err := strconv.Atoi(field); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// readKernel reads a file that the kernel writes as it is read. It happens
// several times for each task, and package os would first try to wait for it.
func readKernel(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // read only
	content := make([]byte, 0, 512)
	for len(content) < kernelFileMax {
		content = slices.Grow(content, 512)
		n, err := unix.Read(fd, content[len(content):cap(content)])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return content, err
		case n == 0:
			return content, nil
		default:
			content = content[:len(content)+n]
		}
	}
	return content, nil
}

// childrenByScan is for kernels that do not list children.
func childrenByScan() []int {
	var found []int
	for pid := range processes() {
		if facts, ok := readStat(pid); ok && facts.parent == os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// processes yields the number of every process.
func processes() func(yield func(int) bool) {
	return func(yield func(int) bool) {
		proc, err := os.Open("/proc")
		if err != nil {
			return
		}
		defer func() { _ = proc.Close() }() // read only
		names, _ := proc.Readdirnames(-1)   // what could be read
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && !yield(pid) {
				return
			}
		}
	}
}

// stat is what the kernel says of a process.
type stat struct {
	dead            bool // and not reaped
	parent, session int
	started         uint64 // clock ticks since boot
}

func readStat(pid int) (stat, bool) {
	content, err := readKernel(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	_, rest, ok := strings.Cut(string(content[bytes.LastIndexByte(content, ')')+1:]), " ") // a name may hold anything
	fields := strings.Fields(rest)                                                         // from field 3, the state
	if !ok || len(fields) < 20 {
		return stat{}, false
	}
	facts := stat{dead: fields[0] == "Z"}
	facts.parent, _ = strconv.Atoi(fields[1])
	facts.session, _ = strconv.Atoi(fields[3])
	facts.started, _ = strconv.ParseUint(fields[19], 10, 64)
	return facts, true
}

// kernelFileMax bounds, in bytes, what is read of one such file. The longest is
// the environment of a process, which is searched for its marks.
const kernelFileMax = 4 << 20

// readMark returns whose offspring a process is by its environment.
func readMark(pid int) (Key, bool) {
	environ, err := readKernel(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return Key{}, false
	}
	var key Key
	for variable := range bytes.SplitSeq(environ, []byte{0}) {
		if task, ok := bytes.CutPrefix(variable, []byte(markTask)); ok {
			key.Task = id.Task(task)
		}
		if attempt, ok := bytes.CutPrefix(variable, []byte(markAttempt)); ok {
			key.Attempt, _ = strconv.Atoi(string(attempt))
		}
	}
	return key, key.validate() == nil
}
