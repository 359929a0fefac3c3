package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Renew has a supervisor that runs another binary than this process go on with
// this one's, as HandOver does, and reports whether that was needed.
func (c *Client) Renew(ctx context.Context) (renewed bool, err error) {
	ours, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false, err
	}
	its, err := os.Stat(fmt.Sprintf("/proc/%d/exe", c.PID()))
	if err != nil || os.SameFile(ours, its) {
		return false, err
	}
	// The file may have been replaced since this process began; its own is
	// still there by this name.
	return true, c.HandOver(ctx, fmt.Sprintf("/proc/%d/exe", os.Getpid()))
}

// HandOver has the supervisor execute a binary in its own process, with the same
// arguments, in which the tasks run on as its children: they notice nothing, and
// what they print meanwhile waits in their pipes. The binary must read what this
// one does. The connection has ended then, and Ensure opens the next. If it comes
// to nothing, the supervisor goes on as it was and the error wraps ErrHandover.
func (c *Client) HandOver(ctx context.Context, path string) error {
	format := c.expectHeir(true)
	if format != handoverFormat {
		c.expectHeir(false)
		return fmt.Errorf("%w: it hands over in format %d, and %d is read here", ErrHandover, format, handoverFormat)
	}
	_, err := c.call(ctx, request{Op: opHandOver, Path: path})
	if errors.Is(err, ErrGone) {
		return nil
	}
	c.expectHeir(false)
	return err
}

// expectHeir notes whether the supervisor's process may outlive this connection,
// and returns the format of what it hands over.
func (c *Client) expectHeir(expected bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heir = expected
	return c.format
}
