package master

import (
	"context"
	"sync"
	"time"
)

// What a message of a watch costs a master of its processor, about twice as much as
// measured: all watchers together shall leave it half of a core at least.
const (
	messageCost = 100 * time.Microsecond
	byteCost    = 4 * time.Nanosecond
)

// pace spreads what watchers are sent. When something changes all of them have to be
// told at once, and where there are a thousand of them, the loop would wait for a
// processor behind each. So they take turns: one that has its turn later is told of more
// by one message. A few watchers never wait.
type pace struct {
	mu   sync.Mutex // guards free
	free time.Time  // when the next may have its turn
}

// turn waits for the turn of a watcher.
func (p *pace) turn(ctx context.Context, over <-chan struct{}) error {
	wait := p.spend(messageCost)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-over:
		return ErrNoLeader
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sent has the next turn come later by what it took to send so many bytes.
func (p *pace) sent(bytes int) { p.spend(time.Duration(bytes) * byteCost) }

// spend takes up time, and returns how long it is until that begins.
func (p *pace) spend(cost time.Duration) (wait time.Duration) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(now) {
		p.free = now
	}
	wait = p.free.Sub(now)
	p.free = p.free.Add(cost)
	return wait
}
