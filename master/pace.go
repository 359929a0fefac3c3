package master

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	crowdFrom = 8                    // watchers; fewer do not take turns
	turnMax   = 5 * time.Millisecond // one that does not read holds up the others for so long
)

// pace spreads what watchers are sent. When something changes all of them have to be
// told at once, and where there are a thousand of them, the loop would wait for a
// processor behind each. So they take turns, one at a time, and after each turn comes a
// rest of the same length: the busier the machine is, the longer are both. One that has
// its turn later is told of more by one message.
type pace struct {
	watchers atomic.Int64
	taken    chan struct{} // holds one: it is somebody's turn
}

func newPace() *pace { return &pace{taken: make(chan struct{}, 1)} }

// join counts a watcher, until it leaves.
func (p *pace) join() (leave func()) {
	p.watchers.Add(1)
	return func() { p.watchers.Add(-1) }
}

// turn waits for the turn of a watcher, which has to end it.
func (p *pace) turn(ctx context.Context, over <-chan struct{}) (end func(), err error) {
	if p.watchers.Load() < crowdFrom {
		return func() {}, nil
	}
	next, err := takeTurn(ctx, over, p.taken)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	late := time.AfterFunc(turnMax, next)
	return func() {
		late.Stop()
		if rest := min(time.Since(began), turnMax); rest > 0 {
			time.AfterFunc(rest, next)
		} else {
			next()
		}
	}, nil
}
