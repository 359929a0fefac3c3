package master_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/master"
)

// TestAllThatWaitsIsSaid: what somebody leaves, who wakes the voice then, is said: before
// it opens or later, whatever is being said at that moment, and never by two at one time.
// At rest nobody is there to say it.
func TestAllThatWaitsIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			const callers = 3
			pauses := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 12)
			takes, opens := rapid.IntRange(0, 3).Draw(rt, "takes"), rapid.IntRange(0, 4).Draw(rt, "opens")
			var voice master.Voice
			var left, said, speaking atomic.Int64
			for range callers {
				own := pauses.Draw(rt, "pauses")
				go func() {
					for _, pause := range own {
						time.Sleep(time.Duration(pause))
						left.Add(1)
						voice.Wake()
					}
				}()
			}
			time.Sleep(time.Duration(opens))
			voice.Open(func() error {
				if speaking.Add(1) > 1 {
					rt.Error("two speak at one time")
				}
				defer speaking.Add(-1)
				seen := left.Load()
				time.Sleep(time.Duration(takes))
				said.Store(seen)
				return nil
			}, func(err error) { rt.Errorf("it ended: %v", err) })
			time.Sleep(time.Second)
			synctest.Wait()

			if left.Load() == 0 || said.Load() != left.Load() {
				rt.Errorf("%d of %d were said", said.Load(), left.Load())
			}
			voice.Close()
		})
	})
}

// TestVoiceEnds: when something cannot be said, that is told once, and nothing is said any
// more; nor after the end, which waits for what is being said.
func TestVoiceEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const takes = time.Second
		broken := errors.New("broken")
		for _, failure := range []error{nil, broken} {
			var voice master.Voice
			var said, ended int
			voice.Wake()
			voice.Open(func() error {
				time.Sleep(takes)
				said++
				return failure
			}, func(err error) {
				ended++
				if !errors.Is(err, broken) {
					t.Errorf("it ended with %v", err)
				}
			})
			synctest.Wait() // it is being said
			if failure != nil {
				time.Sleep(2 * takes)
				voice.Wake()
				time.Sleep(2 * takes)
			}
			began := time.Now()

			voice.Close()

			if waited := time.Since(began); failure == nil && waited != takes {
				t.Errorf("the end waited for %v; what was said takes %v", waited, takes)
			}
			voice.Wake()
			time.Sleep(2 * takes)
			if said != 1 || (ended == 1) != (failure != nil) {
				t.Errorf("failing with %v: said %d times, and told of its end %d times", failure, said, ended)
			}
		}
	})
}

// TestApart: work on a stack of its own has its error, and its panic, where it was asked for.
func TestApart(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if err := master.Apart(func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("err %v, want %v", err, broken)
	}
	defer func() {
		if p := recover(); p != "a bug" {
			t.Errorf("panicked with %v", p)
		}
	}()
	_ = master.Apart(func() error { panic("a bug") })
}
