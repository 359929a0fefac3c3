package upstream

import (
	"context"
	"errors"
	"time"
)

// ErrGivenUp is the cause where the owner of the pool stopped waiting for the
// instance.
var ErrGivenUp = errors.New("given up: the instance cannot be reached any more")

// waiting is what a pool waits for. Pool.mu guards it, and the links of the
// exchanges in it.
type waiting struct {
	first, last *exchange // without the head of an answer, the oldest first
	dials       map[int]context.CancelCauseFunc
	dialed      int       // so many dials were begun
	heard       time.Time // when the last head of an answer came
}

// dialBegins returns the context of a connection that is about to be opened for
// a request, and what to call afterwards.
func (p *Pool) dialBegins(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting.dials == nil {
		p.waiting.dials = make(map[int]context.CancelCauseFunc)
	}
	p.waiting.dialed++
	number := p.waiting.dialed
	p.waiting.dials[number] = cancel
	return ctx, func() {
		cancel(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.waiting.dials, number)
	}
}

// waitFor puts an exchange into the line.
func (p *Pool) waitFor(x *exchange) {
	x.began = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.add(x)
}

// waited takes it out again, and reports whether it was given up meanwhile.
func (p *Pool) waited(x *exchange, answered bool) (givenUp bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting.remove(x)
	if answered {
		p.waiting.heard = time.Now()
	}
	return x.givenUp
}

// add puts an exchange behind the others. The caller holds mu, as for remove.
func (w *waiting) add(x *exchange) {
	if x.prev = w.last; x.prev == nil {
		w.first = x
	} else {
		x.prev.next = x
	}
	w.last = x
}

func (w *waiting) remove(x *exchange) {
	if x.prev == nil {
		w.first = x.next
	} else {
		x.prev.next = x.next
	}
	if x.next == nil {
		w.last = x.prev
	} else {
		x.next.prev = x.prev
	}
	x.prev, x.next = nil, nil
}

// silence returns for how long requests have waited for an answer while none
// came from the instance. It is zero when no request waits. The caller holds mu.
func (w *waiting) silence(now time.Time) time.Duration {
	if w.first == nil {
		return 0
	}
	since := w.first.began
	if w.heard.After(since) {
		since = w.heard
	}
	return now.Sub(since)
}

// giveUp breaks off the connections that are being opened, and the exchanges without
// an answer that are lost. The caller holds mu.
func (w *waiting) giveUp(what Extent, unheardMax time.Duration) {
	for _, cancel := range w.dials {
		cancel(ErrGivenUp)
	}
	for x := w.first; x != nil; x = x.next {
		if x.isLost(what, unheardMax) {
			x.givenUp = true
			x.conn.close()
		}
	}
}

// isLost reports whether an exchange without an answer belongs to what is lost.
func (x *exchange) isLost(what Extent, unheardMax time.Duration) bool {
	switch what {
	case Repeatable:
		return x.stream == nil && x.idempotent
	case Unheard:
		return unheardMax > 0 && x.conn.sock.unheard() >= unheardMax
	case All:
		return true
	case Idle:
	}
	return false
}
