package master

import (
	"sync"
	"sync/atomic"
	"time"
)

// vigil bounds how long a session waits for its other side: to say something, and
// to take what is said to it. Deadlines of the line would do that, too, with a timer
// begun anew by each message, and a large cluster's sessions are mostly heartbeats; so
// the vigil looks after the session when it may be too long, and sets a deadline only
// then.
type vigil struct {
	line   line
	after  time.Duration
	began  time.Time
	hears  atomic.Int64 // since when something is awaited, as time since began; 0 for nothing
	speaks atomic.Int64 // since when something is being said; 0 for nothing

	mu    sync.Mutex  // held while the line is used, which does not wait for the other side
	timer *time.Timer // nil after the end
}

// newVigil begins to wait for the other side. It must have its end by stop, before the
// line has its own.
func newVigil(line line, after time.Duration) *vigil {
	line.hearAnytime()
	line.sayAnytime()
	v := &vigil{line: line, after: after, began: time.Now().Add(-time.Nanosecond)} // no time is 0
	v.hear()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.timer = time.AfterFunc(after, v.look)
	return v
}

// stop ends the vigil: the line is not used any more when it returns.
func (v *vigil) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.timer.Stop()
	v.timer = nil
}

// hear waits for the other side to say something from now on.
func (v *vigil) hear() { v.hears.Store(int64(time.Since(v.began))) }

// pause does not wait for the other side until the next hear.
func (v *vigil) pause() { v.hears.Store(0) }

// say bounds how long it takes to send something.
func (v *vigil) say(send func() error) error {
	v.speaks.Store(int64(time.Since(v.began)))
	defer v.speaks.Store(0)
	return send()
}

// look ends what has taken too long, and looks again when something may have.
func (v *vigil) look() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.timer == nil {
		return
	}
	now := time.Since(v.began)
	next := now + v.after
	if since := time.Duration(v.hears.Load()); since != 0 {
		since = max(since, v.line.lastHeard().Sub(v.began))
		if now-since >= v.after {
			v.line.hangUp()
		} else {
			next = min(next, since+v.after)
		}
	}
	if since := time.Duration(v.speaks.Load()); since != 0 {
		if now-since >= v.after {
			v.line.sayWithin(-v.after)
		} else {
			next = min(next, since+v.after)
		}
	}
	v.timer.Reset(next - now)
}
