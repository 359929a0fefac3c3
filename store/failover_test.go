package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

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
