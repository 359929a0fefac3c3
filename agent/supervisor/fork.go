package supervisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
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

// forked is the outcome of a start. A program that was executed, but may not
// stay, has both a number and an error.
type forked struct {
	key     Key
	pid     int       // 0 when nothing was executed
	streams [2]stream // stdout and stderr, when pid is set
	err     error
}

// stream is the supervisor's end of a task's output.
type stream struct {
	pipe *os.File
	log  io.WriteCloser
}

func (s stream) close() {
	if s.pipe != nil {
		_ = s.pipe.Close() // read only
	}
	if s.log != nil {
		_ = s.log.Close() // what could not be written was counted
	}
}

// forkAll starts programs, one after the other, until starts is closed. It owns
// its thread: the kernel kills a task when the thread that forked it ends, and
// in cgroup v1 it is that thread that joins the task's groups for the fork, so
// that a task is in them before its first instruction and no helper process is
// needed in between.
func forkAll(starts <-chan Start, outcomes chan<- forked) {
	runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
	for start := range starts {
		outcomes <- fork(start)
	}
}

func fork(start Start) forked {
	outcome := forked{key: start.Key}
	var writeEnds [2]int
	for i, name := range []string{"stdout", "stderr"} {
		opened, writeEnd, err := openStream(start.Log, name)
		if err != nil {
			closeAll(outcome.streams[:i], writeEnds[:i])
			outcome.err = err
			return outcome
		}
		outcome.streams[i], writeEnds[i] = opened, writeEnd
	}
	outcome.pid, outcome.err = execute(start, writeEnds)
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
	var to io.WriteCloser = discard{}
	if log.Dir != "" {
		opened, err := logs.Open(logs.Config{Dir: log.Dir, Name: name, SizeMax: log.SizeMax, FilesMax: log.FilesMax})
		if err != nil {
			return stream{}, 0, err
		}
		to = opened
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

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// execute forks and executes the program in its own session, in its groups. If
// it returns a number and an error, the program must be killed.
func execute(start Start, outputs [2]int) (pid int, err error) {
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("standard input: %w", err)
	}
	defer func() { _ = unix.Close(null) }() // nothing to lose
	attrs := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if u := start.User; u != nil {
		attrs.Credential = &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
	}
	if start.Cgroup.Unified != "" {
		group, err := unix.Open(start.Cgroup.Unified, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("cgroup %s: %w", start.Cgroup.Unified, err)
		}
		defer func() { _ = unix.Close(group) }() // a path only
		attrs.UseCgroupFD, attrs.CgroupFD = true, group
	}
	leave, err := join(start.Cgroup.Legacy)
	if err != nil {
		return 0, errors.Join(err, leave())
	}
	pid, err = syscall.ForkExec(start.Path, start.Argv, &syscall.ProcAttr{
		Dir:   start.Dir,
		Env:   marked(start.Env, start.Key),
		Files: []uintptr{uintptr(null), uintptr(outputs[0]), uintptr(outputs[1])},
		Sys:   attrs,
	})
	left := leave()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("%s: %w", start.Path, err), left)
	}
	return pid, errors.Join(left, settle(start.Cgroup.Then))
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

// join moves this thread into cgroup v1 groups. The leave that it returns moves
// it back, and is never nil. It needs no memory: in a group with little of it,
// the kernel would refuse to open a file.
func join(groups []LegacyCgroup) (leave func() error, err error) {
	var homes []int
	leave = func() error {
		var problems []error
		for _, home := range homes {
			problems = append(problems, enter(home), unix.Close(home))
		}
		return errors.Join(problems...)
	}
	for _, group := range groups {
		home, err := openTasks(group.Home)
		if err != nil {
			return leave, err
		}
		homes = append(homes, home)
		tasks, err := openTasks(group.Dir)
		if err != nil {
			return leave, err
		}
		if err := errors.Join(enter(tasks), unix.Close(tasks)); err != nil {
			return leave, err
		}
	}
	return leave, nil
}

// openTasks opens the file of a cgroup v1 group that moves threads.
func openTasks(dir string) (int, error) {
	path := filepath.Join(dir, "tasks")
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("join cgroup: %s: %w", path, err)
	}
	return fd, nil
}

// enter moves the calling thread.
func enter(tasks int) error {
	if _, err := unix.Write(tasks, []byte("0")); err != nil { // the one who writes
		return fmt.Errorf("join cgroup: %w", err)
	}
	return nil
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
