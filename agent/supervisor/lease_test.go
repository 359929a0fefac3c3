package supervisor_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/supervisor"
)

// leased returns a start with a lease of some time from now.
func leased(s supervisor.Start, d, grace time.Duration) supervisor.Start {
	s.Lease = supervisor.Lease{Key: s.Key, Until: supervisor.SinceBoot() + d, Grace: grace}
	return s
}

// TestALeaseRunsOut ends programs, those that ignore SIGTERM too, before their
// leases are over, though nobody asks for it.
func TestALeaseRunsOut(t *testing.T) { //nolint:paralleltest // it sets what a supervisor is started with
	const obeys, ignores = "exec sleep 1000", "trap '' TERM; while :; do sleep 0.01; done"
	for name, tc := range map[string]struct {
		script   string
		lease    time.Duration
		grace    time.Duration
		signal   unix.Signal
		noSooner time.Duration
	}{
		"and it obeys":          {obeys, time.Second, 500 * time.Millisecond, unix.SIGTERM, 400 * time.Millisecond},
		"and it does not":       {ignores, 3 * time.Second, 500 * time.Millisecond, unix.SIGKILL, 2900 * time.Millisecond},
		"and there is no grace": {obeys, 500 * time.Millisecond, 0, unix.SIGKILL, 400 * time.Millisecond},
		"before it was begun":   {obeys, -time.Second, 500 * time.Millisecond, unix.SIGKILL, 0},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // as above
			client := ensure(t, t.TempDir())
			began := time.Now()

			start(t, client, leased(shell("lone", 1, tc.script), tc.lease, tc.grace))

			exit := nextExit(t, client)
			if exit.Signal != int(tc.signal) || exit.Error == "" {
				t.Errorf("it ended with %+v, want %v and why", exit, tc.signal)
			}
			if lived := exit.At.Sub(began); lived < tc.noSooner {
				t.Errorf("it ended after %v, want no sooner than %v", lived, tc.noSooner)
			}
		})
	}
}

// TestALeaseIsProlonged keeps a program going for as long as its lease is prolonged,
// and a second one that has none.
func TestALeaseIsProlonged(t *testing.T) { //nolint:paralleltest // it sets what a supervisor is started with
	dir := t.TempDir()
	client := ensure(t, dir)
	lone := leased(shell("lone", 1, "exec sleep 1000"), 4*time.Second, time.Millisecond)
	free := shell("free", 1, "exec sleep 1000")
	start(t, client, lone)
	start(t, client, free)
	began := time.Now()
	prolong := func(client *supervisor.Client) {
		t.Helper()
		more := []supervisor.Lease{
			{Key: lone.Key, Until: supervisor.SinceBoot() + 4*time.Second},
			{Key: free.Key, Until: 1},                               // it has none, and gets none
			{Key: supervisor.Key{Task: "no", Attempt: 1}, Until: 1}, // nobody knows it
			{Key: lone.Key, Until: supervisor.SinceBoot()},          // a word that came late takes nothing away
		}
		if err := client.Prolong(t.Context(), more); err != nil {
			t.Fatal(err)
		}
	}

	waitFor(t, "more than a lease has passed", func() bool {
		prolong(client)
		return time.Since(began) > 5*time.Second
	})
	client = succeed(t, client, dir) // the next binary knows of the lease
	exit := nextExit(t, client)

	if lived := exit.At.Sub(began); exit.Key != lone.Key || lived < 5*time.Second {
		t.Errorf("%+v ended after %v", exit, lived)
	}
	prolong(client) // what has run out stays so
	list, err := client.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Key != free.Key || list[0].Exit != nil || list[1].Exit == nil {
		t.Errorf("left are %+v, %v", list, err)
	}
}
