package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/logs"
)

// The environment variables that mark a task's processes, and their children.
const (
	markTask    = "ALOFT_TASK_ID="
	markAttempt = "ALOFT_ATTEMPT="
)

// streamNames returns the names of a task's streams, in their order.
func streamNames() [2]string { return [2]string{"stdout", "stderr"} }

// forked is the outcome of a start. A program that was executed, but may not
// stay, has both a number and an error.
type forked struct {
	key     Key
	pid     int              // 0 when nothing was executed
	streams [2]stream        // stdout and stderr, when pid is set
	ended   *unix.WaitStatus // it has ended already, and was reaped
	err     error
}

// stream is the supervisor's end of a task's output.
type stream struct {
	pipe *os.File
	log  io.WriteCloser
	rest []byte // of a line that has not ended, while nobody reads the pipe
}

func (s stream) close() {
	if s.pipe != nil {
		_ = s.pipe.Close() // read only
	}
	if s.log != nil {
		_ = s.log.Close() // what could not be written was counted
	}
}

// work does, one after the other, what must happen on the thread that called
// Main, until jobs is closed: programs are forked there and nowhere else, for
// the kernel kills a task when the thread that forked it ends, and executing a
// newer binary ends all threads but the one that does it.
func work(jobs <-chan func()) {
	for job := range jobs {
		job()
	}
}

func fork(start Start) forked {
	outcome := forked{key: start.Key}
	if start.Key.Attempt > 1 && start.Log.Dir != "" { // it tells which attempt is the newest, though it prints nothing
		if outcome.err = logs.MakeFolder(start.Log.Dir); outcome.err != nil {
			return outcome
		}
	}
	var writeEnds [2]int
	for i, name := range streamNames() {
		opened, writeEnd, err := openStream(start.Log, name)
		if err != nil {
			closeAll(outcome.streams[:i], writeEnds[:i])
			outcome.err = err
			return outcome
		}
		outcome.streams[i], writeEnds[i] = opened, writeEnd
	}
	outcome.pid, outcome.ended, outcome.err = execute(start, writeEnds)
	closeAll(nil, writeEnds[:])
	if outcome.pid == 0 {
		closeAll(outcome.streams[:], nil)
		outcome.streams = [2]stream{}
	}
	return outcome
}

func closeAll(streams []stream, fds []int) {
	for _, s := range streams {
		s.close()
	}
	for _, fd := range fds {
		_ = unix.Close(fd) // a pipe's end
	}
}

// openStream returns our end of a new pipe, which does not block us, and the
// task's, which blocks the task as it expects.
func openStream(log Log, name string) (stream, int, error) {
	to, err := openLog(log, name)
	if err != nil {
		return stream{}, 0, err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return stream{}, 0, errors.Join(fmt.Errorf("pipe: %w", err), to.Close())
	}
	if err := unix.SetNonblock(ends[0], true); err != nil {
		closeAll(nil, ends[:])
		return stream{}, 0, errors.Join(fmt.Errorf("pipe: %w", err), to.Close())
	}
	return stream{pipe: os.NewFile(uintptr(ends[0]), name), log: to}, ends[1], nil
}

// openLog opens where a stream is kept, or goes on where it ends.
func openLog(log Log, name string) (io.WriteCloser, error) {
	if log.Dir == "" {
		return discard{}, nil
	}
	return logs.Open(logs.Config{Dir: log.Dir, Name: name, SizeMax: log.SizeMax, FilesMax: log.FilesMax})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// execute forks and executes the program in its own session, in its groups. If
// it returns a number and an error, the program must be killed.
//
// A task is in its cgroup v1 groups before its first instruction, without a
// helper process in between: the kernel stops it, as for a debugger, when it has
// been executed, and it is moved then. Our own thread must not join the groups
// for the fork: it is the first of the process, and a group's limit of memory
// would hold for all of us.
func execute(start Start, outputs [2]int) (pid int, ended *unix.WaitStatus, err error) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("standard input: %w", err)
	}
	defer func() { _ = unix.Close(null) }() // nothing to lose
	held := len(start.Cgroup.Legacy) > 0
	attrs := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Ptrace: held}
	if u := start.User; u != nil {
		attrs.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	if start.Cgroup.Unified != "" {
		group, err := unix.Open(start.Cgroup.Unified, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, nil, fmt.Errorf("cgroup %s: %w", start.Cgroup.Unified, err)
		}
		defer func() { _ = unix.Close(group) }() // a path only
		attrs.UseCgroupFD, attrs.CgroupFD = true, group
	}
	groups, err := openGroups(start.Cgroup.Legacy)
	defer closeAll(nil, groups)
	if err != nil {
		return 0, nil, err
	}
	pid, err = syscall.ForkExec(start.Path, start.Argv, &syscall.ProcAttr{
		Dir:   start.Dir,
		Env:   marked(start.Env, start.Key),
		Files: []uintptr{uintptr(null), uintptr(outputs[0]), uintptr(outputs[1])},
		Sys:   attrs,
	})
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", start.Path, err)
	}
	if held {
		ended, err = letGo(pid, groups)
	}
	return pid, ended, errors.Join(err, settle(start.Cgroup.Then))
}

// reach reads the beginning of a program, as the kernel does when it executes it, and
// that of what interprets it. If a disk hangs, this hangs, and not the fork, for which
// all else waits.
func reach(program string) {
	const lineMax, depthMax = 256, 5 // of the kernel: see execve(2)
	for range depthMax {
		line, _, _ := bytes.Cut(readBeginning(program, lineMax), []byte{'\n'})
		interpreter, found := bytes.CutPrefix(line, []byte("#!"))
		words := bytes.Fields(interpreter)
		if !found || len(words) == 0 {
			return
		}
		program = string(words[0])
	}
}

// readBeginning reads a file's first bytes, as far as that can be done: what is wrong
// with it, the execution tells.
func readBeginning(path string, size int) []byte {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // to open a device may do anything
		return nil
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // a pipe may be there by now
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }() // read only
	content := make([]byte, size)
	n, _ := unix.Read(fd, content)
	return content[:max(0, n)]
}

// settle writes the settings that wait until a program has been executed.
func settle(settings []Setting) error {
	for _, setting := range settings {
		if err := writeExisting(setting.Path, setting.Value); err != nil {
			return fmt.Errorf("cgroup: %w", err)
		}
	}
	return nil
}

// openGroups opens the files of cgroup v1 groups that move processes. What it
// returns is to be closed, with an error, too.
func openGroups(groups []LegacyCgroup) ([]int, error) {
	var opened []int
	for _, group := range groups {
		path := filepath.Join(group.Dir, "cgroup.procs")
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return opened, fmt.Errorf("join cgroup: %s: %w", path, err)
		}
		opened = append(opened, fd)
	}
	return opened, nil
}

// letGo moves a program that the kernel holds before its first instruction into
// its groups, and lets it run. It returns how the program ended if it was killed
// meanwhile.
func letGo(pid int, groups []int) (*unix.WaitStatus, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("wait until it is held: %w", err) // nobody else waits meanwhile
		case !status.Stopped():
			return &status, nil
		}
		break
	}
	var problems []error
	for _, group := range groups {
		if _, err := unix.Write(group, []byte(strconv.Itoa(pid))); err != nil {
			problems = append(problems, fmt.Errorf("join cgroup: %w", err))
			break // it must not run as it is, and is killed before it does
		}
	}
	if len(problems) > 0 {
		_ = unix.Kill(pid, unix.SIGKILL) // it is held, and not reaped: the number is its own
	}
	if err := unix.PtraceDetach(pid); err != nil && !errors.Is(err, unix.ESRCH) {
		problems = append(problems, fmt.Errorf("let go: %w", err))
	}
	return nil, errors.Join(problems...)
}

// marked returns env with the marks, which nothing in env can override.
func marked(env []string, key Key) []string {
	all := []string{markTask + string(key.Task), markAttempt + strconv.Itoa(key.Attempt)}
	for _, variable := range env {
		if !strings.HasPrefix(variable, markTask) && !strings.HasPrefix(variable, markAttempt) {
			all = append(all, variable)
		}
	}
	return all
}
