package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialEvery   = 3 * time.Millisecond // while a supervisor starts
	reapFor     = 5 * time.Second      // a process that is killed takes its time where many want to run
	ensureMax   = 20 * time.Second     // for all of it: more than what is left of a killed one takes to end
	stderrName  = "supervisor.log"
	stderrMax   = 1 << 20 // bytes; a longer file is put aside for the next supervisor
	wordsOfLast = 500     // bytes of a dead supervisor's last words in an error
)

// Ensure connects to the supervisor of a folder, and starts one with argv, as
// in {"/usr/bin/aloft", "supervisor", "--dir", dir}, when none answers. It is
// detached: it lives on when this process ends, and shares nothing with it. Its
// stderr goes to supervisor.log in the folder, and what was there before to
// supervisor.log.old when it is long. It waits no longer than 20 s.
func Ensure(ctx context.Context, dir string, argv []string) (*Client, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, ensureMax, fmt.Errorf("no answer in %v", ensureMax))
	defer cancel()
	if client, err := Dial(ctx, dir); err == nil || errors.Is(err, ErrVersion) {
		return client, err
	}
	if len(argv) == 0 {
		return nil, errors.New("start a supervisor: there is no command for it")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start a supervisor: %w", err)
	}
	stderr, before, err := openStderr(filepath.Join(dir, stderrName))
	if err != nil {
		return nil, fmt.Errorf("start a supervisor: %w", err)
	}
	defer func() { _ = stderr.Close() }() // the supervisor has its own
	pid, err := detach(argv, stderr)
	if err != nil {
		return nil, fmt.Errorf("start a supervisor: %w", err)
	}
	client, err := awaitStart(ctx, dir, pid)
	if err != nil {
		words, _ := io.ReadAll(io.NewSectionReader(stderr, before, wordsOfLast)) // as far as it got
		return nil, fmt.Errorf("start a supervisor: %w: %s", err, strings.TrimSpace(string(words)))
	}
	return client, nil
}

// openStderr opens the file for what a supervisor says, and tells how long it is.
func openStderr(path string) (file *os.File, size int64, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() > stderrMax {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, 0, err
		}
	}
	file, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, err
	}
	if size, err = file.Seek(0, io.SeekEnd); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, size, nil
}

// detach starts the supervisor's process in a session of its own.
func detach(argv []string, stderr *os.File) (pid int, err error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = null.Close() }() // read only
	process, err := os.StartProcess(path, argv, &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{null, stderr, stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, err
	}
	pid = process.Pid
	return pid, process.Release() // reaped by a client, if it ends while we live
}

// awaitStart connects as soon as the new supervisor answers, or another one to
// which it lost the race for the folder.
func awaitStart(ctx context.Context, dir string, pid int) (*Client, error) {
	due := time.NewTicker(dialEvery)
	defer due.Stop()
	for lost := false; ; {
		client, err := Dial(ctx, dir)
		if err == nil {
			if !lost && client.PID() != pid {
				withdraw(pid)
			}
			return client, nil
		}
		if !lost {
			done, _ := unix.Wait4(pid, nil, unix.WNOHANG, nil) // 0 while it lives
			lost = done == pid
		}
		if lost && isFree(dir) {
			return nil, errors.New("it ended at once")
		}
		select {
		case <-due.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("it does not answer: %w: %w", context.Cause(ctx), err)
		}
	}
}

// withdraw ends a supervisor of ours that another one was faster than, and that
// may not have noticed yet: it would take the folder as soon as the other ends.
func withdraw(pid int) {
	_ = unix.Kill(pid, unix.SIGKILL)
	_, _ = unix.Wait4(pid, nil, 0, nil) // it is our child
}

// dead returns the process of a supervisor that has ended the connection, 0 if it was
// this side, or the process goes on.
func (c *Client) dead() (pid int) {
	select {
	case <-c.closing:
		return 0
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heir {
		return 0
	}
	return c.pid
}

// reapChild takes the exit status of a supervisor that has ended, so that no
// zombie is left of it if this process started it. One that lives on is left
// alone.
func reapChild(pid int) {
	due := time.NewTicker(time.Millisecond)
	defer due.Stop()
	for end := time.Now().Add(reapFor); pid != 0 && time.Now().Before(end); <-due.C {
		if done, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); done == pid || err != nil {
			return // reaped, or another's child
		}
	}
}
