package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// lineFD is the first process's end of the line to the world.
const lineFD = 3

// started is what a machine answers to a Program.
type started struct {
	PID     int // as the machine counts
	Problem string
}

// linePair returns the two ends of a line between the world and a machine.
func linePair() (ours *net.UnixConn, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	file := os.NewFile(uintptr(pair[0]), "line")
	defer func() { _ = file.Close() }() // FileConn has its own
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, nil, err
	}
	return conn.(*net.UnixConn), os.NewFile(uintptr(pair[1]), "line"), nil
}

// ask has a machine start a program and returns the number of its process there.
func ask(line *net.UnixConn, program Program) (pid int, err error) {
	if err := json.NewEncoder(line).Encode(program); err != nil {
		return 0, err
	}
	var answer started
	if err := json.NewDecoder(line).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Problem != "" {
		return 0, errors.New(answer.Problem)
	}
	return answer.PID, nil
}

// beFirst is a machine's first process: it starts what the world asks for, and
// takes what has ended off the process table. It ends only by being killed, or
// with the world.
func beFirst() error {
	const name, bootID, arguments = 1, 2, 3
	if len(os.Args) != arguments {
		return fmt.Errorf("found %d arguments, want %d", len(os.Args), arguments)
	}
	if err := ownProc(); err != nil {
		return err
	}
	if err := unix.Mount(os.Args[bootID], "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("giving the machine its boot id: %w", err)
	}
	if err := unix.Sethostname([]byte(os.Args[name])); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1) // that some did; reap looks for all
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			reap()
		}
	}()
	line := os.NewFile(lineFD, "line")
	unix.CloseOnExec(lineFD)
	requests, answers := json.NewDecoder(line), json.NewEncoder(line)
	for {
		var program Program
		if err := requests.Decode(&program); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		answer := started{}
		var err error
		if answer.PID, err = start(program); err != nil {
			answer.Problem = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
}

// start starts a program in a process group of its own.
func start(program Program) (pid int, err error) {
	path, err := exec.LookPath(program.Command[0])
	if err != nil {
		return 0, err
	}
	log, err := os.OpenFile(program.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer func() { _ = nothing.Close() }()
	return syscall.ForkExec(path, program.Command, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{nothing.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}

// reap waits for all children that have ended.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) || err == nil && pid == 0 {
			return
		}
	}
}
