package supervisor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/supervisor"
)

// TestNoZombieIsLeft: a supervisor that is killed is reaped by the process that
// started it, though that closes its client as soon as it hears of the end.
func TestNoZombieIsLeft(t *testing.T) {
	for range 20 {
		client := ensure(t, t.TempDir())
		pid := client.PID()
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}

		if _, err := client.List(wait(t)); !errors.Is(err, supervisor.ErrGone) {
			t.Fatalf("List = %v, want %v", err, supervisor.ErrGone)
		}
		_ = client.Close()

		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
			t.Fatalf("process %d was left to be reaped: %v", pid, err)
		}
	}
}

// wait returns a context that ends what does not come.
func wait(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
