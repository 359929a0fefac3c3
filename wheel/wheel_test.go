package wheel_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/wheel"
)

const tick = 10 * time.Millisecond

// thing is looked at when each of its times has passed since the one before.
type thing struct {
	times  []time.Duration
	looked []time.Duration
}

// TestNothingIsEarlyOrForgotten is the law, for things that are added at any time.
func TestNothingIsEarlyOrForgotten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(drawn *rapid.T) {
		after := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(1, 2000).Draw(t, "ms")) * time.Millisecond
		})
		var pauses []time.Duration
		var things []*thing
		for range rapid.IntRange(1, 20).Draw(drawn, "things") {
			pauses = append(pauses, after.Draw(drawn, "added"))
			things = append(things, &thing{times: rapid.SliceOfN(after, 1, 5).Draw(drawn, "due after")})
		}
		synctest.Test(t, func(*testing.T) { turn(things, pauses) })

		for _, x := range things {
			if len(x.looked) != len(x.times) {
				drawn.Fatalf("looked at %d times; want %d", len(x.looked), len(x.times))
			}
			for i, at := range x.looked {
				if late := at - x.times[i]; late < 0 || late > tick {
					drawn.Fatalf("due after %v, looked at after %v", x.times[i], at)
				}
			}
		}
	})
}

// turn adds the things to a wheel, one after each pause, and has it turn until none is due.
func turn(things []*thing, pauses []time.Duration) {
	began := make(map[*thing]time.Time)
	var mu sync.Mutex // guards began
	w := wheel.New(tick, func(x *thing) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		x.looked = append(x.looked, time.Since(began[x]))
		began[x] = time.Now()
		if i := len(x.looked); i < len(x.times) {
			return x.times[i]
		}
		return 0
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	time.Sleep(tick - time.Millisecond) // it may be made at another moment than it begins
	running.Go(func() { w.Run(ctx) })
	for i, x := range things {
		time.Sleep(pauses[i])
		mu.Lock()
		began[x] = time.Now()
		mu.Unlock()
		w.Add(x, x.times[0])
	}
	time.Sleep(time.Minute)
	stop()
	running.Wait()
}

// TestAHaltedWheel looks at all that has become due meanwhile, once.
func TestAHaltedWheel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var looked []int
		w := wheel.New(tick, func(i int) time.Duration {
			if looked = append(looked, i); i == 0 {
				time.Sleep(time.Second) // it must not, and is as a process that was halted
			}
			return 0
		})
		for i := range 100 {
			w.Add(i, time.Duration(i+1)*tick)
		}
		ctx, stop := context.WithTimeout(t.Context(), 1100*time.Millisecond)
		defer stop()

		w.Run(ctx)

		if slices.Sort(looked); len(looked) != 100 || len(slices.Compact(looked)) != 100 {
			t.Errorf("looked at %v", looked)
		}
	})
}
