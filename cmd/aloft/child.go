package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// childPause is how long a process that died stays away. One that does not stay
// up for childSteady so many times in a row is given up.
const (
	childPause  = 200 * time.Millisecond
	childSteady = 5 * time.Second
	childStarts = 5
)

// child is a process of a development cluster.
type child struct {
	name  string
	argv  []string
	out   io.Writer       // its output
	hurry <-chan struct{} // closed when it must stop at once
}

// keep runs the process, and starts it again when it dies, until ctx is done. One
// that ends by itself at its first start, or does not stay up, is an error: it
// has said why.
func (c *child) keep(ctx context.Context) error {
	runtime.LockOSThread() // the kernel ties the death signal of a child to the thread that made it
	defer runtime.UnlockOSThread()
	for first, early := true, 0; ; first = false {
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if early++; time.Since(began) > childSteady {
			early = 0
		}
		if first && early > 0 && endedItself(err) || early >= childStarts {
			return fmt.Errorf("%s does not stay up: %w", c.name, err)
		}
		fmt.Fprintf(c.out, "%s ended (%v); it is started again\n", c.name, err)
		select {
		case <-time.After(childPause):
		case <-ctx.Done():
			return nil
		}
	}
}

// endedItself reports whether a process ended without a signal.
func endedItself(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	return !ok || exit.Exited()
}

// once runs the process to its end. When ctx is done it asks it to stop, and
// makes it stop after a while.
func (c *child) once(ctx context.Context) error {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), c.argv[0], c.argv[1:]...)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	// Its own group: Ctrl-C reaches this process alone, which then ends the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // each way out of here takes from ended
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		return err
	case <-c.hurry:
	case <-time.After(devStopWithin):
	}
	_ = cmd.Process.Kill()
	return <-ended
}
