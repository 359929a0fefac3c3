package router

import (
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

// Gate is the count of one endpoint. Over sockets the race between a request and
// a table is too rare to be met in a test; here the two meet directly.
type Gate struct{ endpoint endpoint }

// NewGate returns a gate that tells drained when it has become free.
func NewGate(drained chan<- struct{}) *Gate {
	return &Gate{endpoint{drained: drained, pool: upstream.New(upstream.Config{})}}
}

// Enter is what a request does before it is sent.
func (g *Gate) Enter() bool { return g.endpoint.enter() }

// Exit is what a request does when it has ended.
func (g *Gate) Exit() { g.endpoint.exit() }

// Leave is what the loop does for a table without the endpoint; it returns the
// requests that the loop then confirms.
func (g *Gate) Leave() int64 {
	g.endpoint.leave()
	return g.endpoint.inFlight.Load()
}

// Refused is what a request does whose connection was refused.
func (g *Gate) Refused(now time.Time) { g.endpoint.refused(now) }

// Accepted is what a request does that got an answer.
func (g *Gate) Accepted() { g.endpoint.accepted() }

// Avoided reports whether requests pass the endpoint over while there are others.
func (g *Gate) Avoided(now time.Time) bool { return g.endpoint.avoided(now) }

// Line is the queue of one service. Over sockets its order is blurred by the
// kernel and the processors; here it can be seen.
type Line struct{ queue queue }

// Join takes a place, unless limit are taken. Wait returns when it is the
// place's turn, and leave gives it up.
func (l *Line) Join(limit int) (wait, leave func()) {
	t := l.queue.join(limit)
	if t == nil {
		return nil, nil
	}
	wait = func() {
		for mayGo := false; !mayGo; _, mayGo = l.queue.isFirst(t) {
			<-t.wake
		}
	}
	return wait, func() { l.queue.leave(t) }
}

// Release lets all go.
func (l *Line) Release() { l.queue.release() }

// Len returns how many wait.
func (l *Line) Len() int { return l.queue.len() }

// Vigil is the limit on the waits for clients. Over sockets only its end can be
// seen; here, on virtual time, each moment.
type Vigil struct{ vigil vigil }

// NewVigil returns a vigil over nobody.
func NewVigil(limit time.Duration) *Vigil { return &Vigil{vigil{limit: limit}} }

// Watch is the waits of one request.
type Watch struct{ watch watch }

// Watch returns a watch that has begun no wait.
func (v *Vigil) Watch(interrupt func()) *Watch {
	return &Watch{watch{vigil: &v.vigil, interrupt: interrupt}}
}

// Begin starts a wait.
func (w *Watch) Begin() bool { return w.watch.begin() }

// End says that the wait is over.
func (w *Watch) End() { w.watch.end() }

// Restart makes the wait count from now.
func (w *Watch) Restart() { w.watch.restart() }

// Stop breaks off the wait.
func (w *Watch) Stop() { w.watch.stop() }

// HasExpired reports whether a wait has lasted too long.
func (w *Watch) HasExpired() bool { return w.watch.hasExpired() }
