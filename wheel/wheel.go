// Package wheel looks at many things that are due at times of their own, all of them in
// one goroutine. A timer for each would wake a goroutine for each.
//
// The law: nothing is looked at before it is due, and nothing waits for longer than a tick
// after that, as long as looks do not.
//
// It is a hashed timing wheel: Varghese and Lauck, Hashed and Hierarchical Timing Wheels,
// 1987, scheme 6.
package wheel

import (
	"context"
	"sync"
	"time"
)

// slots is how many there are: what is due within so many ticks is passed by no other turn.
const slots = 64

// Wheel has things that it looks at when they are due. It is safe for concurrent use.
type Wheel[T any] struct {
	tick  time.Duration
	began time.Time
	look  func(T) (again time.Duration)

	mu    sync.Mutex      // guards all below
	at    int             // ticks that have passed
	slots [slots][]due[T] // what is due at a tick, by its number modulo theirs
}

// due is a thing and the tick at which it is.
type due[T any] struct {
	thing T
	at    int
}

// New returns a wheel that ticks so often, once it runs. look is called in Run, must not
// wait, and tells after how long it is to be called for that thing again; 0 is never.
func New[T any](tick time.Duration, look func(T) (again time.Duration)) *Wheel[T] {
	return &Wheel[T]{tick: tick, began: time.Now(), look: look}
}

// Add has a thing looked at after so long.
func (w *Wheel[T]) Add(thing T, after time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := max(int((time.Since(w.began)+after+w.tick-1)/w.tick), w.at+1)
	slot := &w.slots[at%slots]
	*slot = append(*slot, due[T]{thing, at})
}

// Run looks at what is due, until ctx is done.
func (w *Wheel[T]) Run(ctx context.Context) {
	next := func() time.Duration { return w.tick - time.Since(w.began)%w.tick }
	tick := time.NewTimer(next())
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tick.Reset(next())
		case <-ctx.Done():
			return
		}
		for _, thing := range w.turn() {
			if again := w.look(thing); again > 0 {
				w.Add(thing, again)
			}
		}
	}
}

// turn returns what has become due.
func (w *Wheel[T]) turn() (things []T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for now := int(time.Since(w.began) / w.tick); w.at < now; {
		w.at++
		slot := &w.slots[w.at%slots]
		later := (*slot)[:0]
		for _, d := range *slot {
			if d.at == w.at {
				things = append(things, d.thing)
			} else {
				later = append(later, d)
			}
		}
		clear((*slot)[len(later):])
		*slot = later
	}
	return things
}
