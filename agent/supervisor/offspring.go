package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// killGroups kills every process in the groups, and reports whether all are
// empty. cgroup v2 does it in one write; in v1 the freezer, when it is among
// the groups, keeps them from forking meanwhile.
func killGroups(groups Cgroup) (empty bool) {
	empty = true
	for _, dir := range groups.dirs() {
		members := groupMembers(dir)
		if len(members) == 0 {
			continue
		}
		empty = false
		if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
			continue
		}
		freezer := filepath.Join(dir, "freezer.state")
		_ = writeExisting(freezer, "FROZEN") // only one of the groups has it
		for _, pid := range groupMembers(dir) {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
		_ = writeExisting(freezer, "THAWED")
	}
	return empty
}

func writeExisting(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

func groupMembers(dir string) []int {
	content, _ := readKernel(filepath.Join(dir, "cgroup.procs")) // removed: empty
	var found []int
	for line := range strings.Lines(string(content)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// oomKilled reports whether the kernel killed in the groups for lack of memory.
func oomKilled(groups Cgroup) bool {
	for _, dir := range groups.dirs() {
		for _, name := range []string{"memory.oom_control", "memory.events"} {
			content, _ := readKernel(filepath.Join(dir, name)) // only one of them has it
			for line := range strings.Lines(string(content)) {
				if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && count != "0" {
					return true
				}
			}
		}
	}
	return false
}

// removeGroups removes empty groups. One that cannot be removed is left.
func removeGroups(groups Cgroup) error {
	var problems []error
	for _, dir := range groups.dirs() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// removeParents removes the groups that are above those of tasks, as far as
// they are empty.
func removeParents(parents map[string]bool) {
	for dir := range parents {
		for os.Remove(dir) == nil {
			dir = filepath.Dir(dir)
		}
	}
}
