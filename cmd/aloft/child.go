package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// childPause is how long a process that died stays away.
const childPause = 200 * time.Millisecond

// child is a process of a development cluster.
type child struct {
	name string
	argv []string
	out  io.Writer // its output
}

// keep runs the process, and starts it again when it dies, until ctx is done.
// One that cannot be started at all, or dies within its first moments again and
// again, ends the whole.
func (c *child) keep(ctx context.Context) error {
	runtime.LockOSThread() // the kernel ties the death signal of a child to the thread that made it
	defer runtime.UnlockOSThread()
	for early := 0; ; {
		began := time.Now()
		err := c.once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was told to end, and has
		}
		if early++; time.Since(began) > 5*time.Second {
			early = 0
		}
		if early > 5 {
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

// once runs the process to its end.
func (c *child) once(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Stdout, cmd.Stderr = c.out, c.out
	// Its own group: Ctrl-C reaches this process alone, which then ends the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = devStopWithin
	return cmd.Run()
}
