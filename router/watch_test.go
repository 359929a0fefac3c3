package router_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/router"
)

// waiting is what must be true of a watch.
type waiting struct {
	*router.Watch

	broken  atomic.Int64 // how often it was interrupted
	breaks  int64        // how often it had to be
	waits   bool
	due     time.Time
	expired bool
	stopped bool
}

// move is one step of a request: what it does to its watch, after a pause.
type move struct {
	watch int
	kind  string
	pause time.Duration
}

func drawMoves(t *rapid.T) []move {
	kinds := rapid.SampledFrom([]string{"begin", "end", "restart", "stop", "begin", "end"})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) move {
		return move{
			watch: rapid.IntRange(0, 4).Draw(t, "watch"),
			kind:  kinds.Draw(t, "kind"),
			pause: time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds"))*time.Second + time.Millisecond,
		}
	}), 1, 60).Draw(t, "moves")
}

// TestWatchesBreakOffWhatLastsTooLong: a wait is broken off when it has lasted for
// the limit since it began or was restarted, and at no other time; after that, no
// wait begins.
func TestWatchesBreakOffWhatLastsTooLong(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		moves := drawMoves(rt)
		var problem string
		synctest.Test(t, func(*testing.T) { problem = play(moves) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// play makes the moves and returns what is wrong after the first wrong one.
func play(moves []move) string {
	const limit = time.Minute
	vigil := router.NewVigil(limit)
	watches := make([]*waiting, 5)
	for i := range watches {
		w := new(waiting)
		w.Watch = vigil.Watch(func() { w.broken.Add(1) })
		watches[i] = w
		defer w.Stop()
	}
	for i, m := range moves {
		time.Sleep(m.pause)
		synctest.Wait()
		for name, w := range watches {
			if w.waits && !time.Now().Before(w.due) {
				w.waits, w.expired, w.breaks = false, true, w.breaks+1
			}
			if w.HasExpired() != w.expired || w.broken.Load() != w.breaks {
				return fmt.Sprintf("before move %d, watch %d: expired %v, want %v; broken off %d times, want %d",
					i, name, w.HasExpired(), w.expired, w.broken.Load(), w.breaks)
			}
		}
		if wrong := watches[m.watch].do(m, limit); wrong != "" {
			return fmt.Sprintf("move %d, %v: %s", i, m, wrong)
		}
	}
	return ""
}

// do makes a move, as a request would: a wait begins when the last one is over.
func (w *waiting) do(m move, limit time.Duration) string {
	switch m.kind {
	case "begin":
		if w.waits {
			return ""
		}
		may := !w.expired && !w.stopped
		if w.Begin() != may {
			return fmt.Sprintf("a wait begins = %v", !may)
		}
		w.waits, w.due = may, time.Now().Add(limit)
	case "end":
		w.End()
		w.waits = false
	case "restart":
		w.Restart()
		w.due = time.Now().Add(limit)
	case "stop":
		w.Stop()
		if w.waits {
			w.breaks++
		}
		w.waits, w.stopped = false, true
	}
	return ""
}
