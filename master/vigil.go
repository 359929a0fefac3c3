package master

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/wheel"
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

	doubted time.Duration // since when what has come was not read, where all is over else; owned by look

	mu   sync.Mutex // held while the line is used, which does not wait for the other side
	over atomic.Bool
}

// vigils look after sessions.
type vigils struct{ *wheel.Wheel[*vigil] }

// looksWithin is how often in the time that a session may be silent it is looked whose is over.
const looksWithin = 30

func newVigils(after time.Duration) vigils {
	return vigils{wheel.New(max(after/looksWithin, time.Millisecond), (*vigil).look)}
}

// begin begins to wait for the other side. The vigil must have its end by stop, before the
// line has its own.
func (s vigils) begin(line line, after time.Duration) *vigil {
	line.hearAnytime()
	line.sayAnytime()
	v := &vigil{line: line, after: after, began: time.Now().Add(-time.Nanosecond)} // no time is 0
	v.hear()
	s.Add(v, after)
	return v
}

// stop ends the vigil: the line is not used any more when it returns.
func (v *vigil) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over.Store(true)
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

// look has what has taken too long ended, and tells when something may have.
func (v *vigil) look() (again time.Duration) {
	if v.over.Load() {
		return 0
	}
	now := time.Since(v.began)
	next := now + v.after
	if since := time.Duration(v.hears.Load()); since != 0 {
		since = max(since, v.line.lastHeard().Sub(v.began))
		switch {
		case now-since < v.after:
			v.doubted = 0
			next = min(next, since+v.after)
		case v.doubts(now):
			next = now + v.after/looksWithin
		default:
			go v.use(line.hangUp)
		}
	}
	if since := time.Duration(v.speaks.Load()); since != 0 {
		if now-since >= v.after {
			go v.use(func(l line) { l.sayWithin(-v.after) })
		} else {
			next = min(next, since+v.after)
		}
	}
	return next - now
}

// doubts reports whether the other side may have been heard in time, had this one had a
// processor to read what it said: that is given as long again.
func (v *vigil) doubts(now time.Duration) bool {
	if !v.line.hasUnread() {
		return false
	}
	if v.doubted == 0 {
		v.doubted = now
	}
	return now-v.doubted < v.after
}

// use does something with the line, unless the vigil has ended.
func (v *vigil) use(f func(line)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.over.Load() {
		f(v.line)
	}
}
