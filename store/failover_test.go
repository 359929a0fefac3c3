package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/aloft-run/aloft/store"
)

// endings are the ways in which the member that leads the raft group may end.
func endings() map[string]func(tb testing.TB, p *process) {
	return map[string]func(tb testing.TB, p *process){
		"killed": func(_ testing.TB, p *process) { p.kill() },
		"closed": func(tb testing.TB, p *process) {
			tb.Helper()
			p.stop(tb)
		},
		"silent": func(tb testing.TB, p *process) {
			tb.Helper()
			if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
				tb.Error(err)
			}
		},
	}
}

// TestTermOutlivesTheRaftLeader ends the member that leads the raft group while
// another process holds the term, and commits and waits through its own member.
func TestTermOutlivesTheRaftLeader(t *testing.T) {
	t.Parallel()
	for name, end := range endings() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startThree(t)
			term := campaign(t, c.here, "m1")
			enough := errors.New("waited enough")
			ctx, stop := context.WithCancelCause(t.Context())
			waited := make(chan error)
			go func() { waited <- c.here.WatchLeader(ctx, func(string, uint64) {}) }()
			go func() { waited <- c.here.Announce(ctx, "m1", "here") }()

			for range 2 {
				c.endRaftLeader(t, term, end)
			}

			select {
			case <-term.Lost():
				t.Error("the term was lost with a raft leader")
			default:
			}
			stop(enough)
			wantWords(t, <-waited, enough)
			wantWords(t, <-waited, enough)
			if got := load(t, term); got != fmt.Sprintf("n=%d ", c.commits) {
				t.Errorf("loaded %q after %d commits", got, c.commits)
			}
		})
	}
}

// BenchmarkRaftLeaderEnds reports for how long no commit through another member
// was answered.
func BenchmarkRaftLeaderEnds(b *testing.B) {
	for name, end := range endings() {
		b.Run(name, func(b *testing.B) {
			c := startThree(b)
			term := campaign(b, c.here, "m1")
			var gaps []time.Duration
			for b.Loop() {
				gaps = append(gaps, c.endRaftLeader(b, term, end))
			}
			slices.Sort(gaps)
			b.ReportMetric(float64(gaps[len(gaps)/2].Milliseconds()), "median-ms")
			b.ReportMetric(float64(gaps[len(gaps)-1].Milliseconds()), "max-ms")
		})
	}
}

// endRaftLeader ends the member that leads while commits go on, and starts it
// again. It returns how long the slowest of the commits took.
func (c *threeProcesses) endRaftLeader(
	tb testing.TB, term *store.Term, end func(tb testing.TB, p *process),
) (slowest time.Duration) {
	tb.Helper()
	leading := c.leadElsewhere(tb)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		end(tb, leading)
	}()
	for last := false; !last; {
		select {
		case <-ended:
			last = true // one that begins after the end
		default:
		}
		c.commits++
		begin := time.Now()
		put(tb, term, "n", fmt.Sprint(c.commits))
		slowest = max(slowest, time.Since(begin))
	}
	leading.kill() // if it is there
	again := launch(tb, leading.cfg)
	again.awaitReady(tb)
	c.others[leading.cfg.Name] = again
	return slowest
}

// TestMembersDoWithoutOne has a member take another one for dead. When that leads the
// raft group it leads no more, though it lives, and nothing is lost; else nothing
// happens.
func TestMembersDoWithoutOne(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	term := campaign(t, c.here, "m1")
	put(t, term, "n", "1")
	leading := c.leadElsewhere(t).cfg.Name
	before := c.status(t)

	for _, follower := range []string{"m1", "m2", "m3", "m4"} {
		if follower != leading {
			c.here.Outlive(t.Context(), follower)
		}
	}
	after := c.status(t)
	c.here.Outlive(t.Context(), leading)

	if after.Leader != before.Leader || after.RaftTerm != before.RaftTerm {
		t.Errorf("%x leads in term %d; before followers were given up %x did, in term %d", after.Leader, after.RaftTerm, before.Leader, before.RaftTerm)
	}
	ctx, done := context.WithTimeout(t.Context(), patience)
	defer done()
	for now := c.status(t); now.Leader != now.Header.GetMemberId(); now = c.status(t) {
		if ctx.Err() != nil {
			t.Fatalf("%x leads; %x gave up the leader", now.Leader, now.Header.GetMemberId())
		}
	}
	put(t, term, "n", "2")
	if got := load(t, term); got != "n=2 " {
		t.Errorf("loaded %q", got)
	}
}

// status is how the member here sees the raft group.
func (c *threeProcesses) status(tb testing.TB) *clientv3.StatusResponse {
	tb.Helper()
	status, err := c.client.Status(tb.Context(), c.client.Endpoints()[0])
	if err != nil {
		tb.Fatal(err)
	}
	return status
}
