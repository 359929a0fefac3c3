package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/bench/process"
)

// Process is one part of a Separate.
type Process struct {
	Name   string
	Folder string // of its data
	argv   []string
	log    string // path

	mu    sync.Mutex // guards all below
	cmd   *exec.Cmd  // nil while it does not run
	ended chan struct{}
}

// Start starts the part, with what it left in its folder before.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()                    // the part has its own
	cmd := exec.Command(p.argv[0], p.argv[1:]...)         //nolint:noctx // Stop and Kill end it
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the bench
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.Name, err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() { // ends with the part
		defer close(ended)
		_ = cmd.Wait() // whether it should have ended is seen elsewhere
	}()
	return nil
}

// Signal sends a signal to the part.
func (p *Process) Signal(signal os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return fmt.Errorf("%s does not run", p.Name)
	}
	return p.cmd.Process.Signal(signal)
}

// Kill ends the part with SIGKILL and returns when it is gone.
func (p *Process) Kill() error { return p.end(os.Kill) }

// Stop ends the part with SIGTERM and returns when it is gone.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

func (p *Process) end(signal os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending %s: %w", p.Name, err)
	}
	ended := p.ended
	p.cmd = nil
	select {
	case <-ended:
		return nil
	case <-time.After(stopWithin):
		return fmt.Errorf("%s did not end within %s", p.Name, stopWithin)
	}
}

// Machine returns the processes of an agent's machine: its own, its supervisor and
// its tasks, in this order.
func (p *Process) Machine() ([]process.Process, error) {
	all, err := process.Descendants(os.Getpid())
	if err != nil {
		return nil, err
	}
	var roles, tasks []process.Process
	for _, found := range all {
		folder, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", found.PID)) // gone: it is no more
		switch {
		case strings.HasPrefix(folder, p.Folder+"/"):
			tasks = append(tasks, found)
		case strings.Contains(found.Command+" ", p.Folder+" ") || strings.Contains(found.Command, p.Folder+"/"):
			roles = append(roles, found)
		}
	}
	return append(roles, tasks...), nil
}

// KillMachine kills all of an agent's machine at once with SIGKILL.
func (p *Process) KillMachine() error {
	all, err := p.Machine()
	for _, found := range all {
		if killed := syscall.Kill(found.PID, syscall.SIGKILL); !errors.Is(killed, syscall.ESRCH) {
			err = errors.Join(err, killed)
		}
	}
	return errors.Join(err, p.Kill())
}
