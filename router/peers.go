package router

import (
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

const (
	// ejectedMin is how long an endpoint is out before a connection is tried. It
	// doubles from one failure to the next.
	ejectedMin = 100 * time.Millisecond
	ejectedMax = time.Second
	// strikesMax is how many failures in a row that are not certain eject an
	// endpoint. One is enough when it is suspect or on trial.
	strikesMax = 3
)

// standing is what the router's own experience says of an endpoint.
type standing int32

const (
	in      standing = iota
	onTrial          // it accepts connections again, and has not answered yet
	ejected          // requests pass it over while there are others
)

// failure is why an endpoint may be ejected. The words are those of the metric.
type failure string

// The failures are a closed set.
const (
	refused     failure = "refused"     // its machine says that nobody listens
	unreachable failure = "unreachable" // no word from its machine, or no way to it
	broken      failure = "broken"      // it closed the connection without an answer
	late        failure = "late"        // it did not begin its answer in time
	garbled     failure = "garbled"     // what it sent is no answer
)

// isCertain reports whether no request at all can be served there. The other
// failures may be the fault of the request, or of its client.
func (f failure) isCertain() bool { return f == refused || f == unreachable }

// failureToConnect returns what the error of opening a connection says.
func failureToConnect(err error) failure {
	timeout, ok := errors.AsType[net.Error](err)
	if ok && timeout.Timeout() || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) {
		return unreachable
	}
	return refused
}

// failureOf returns what a failed exchange says of the endpoint, if anything.
func failureOf(err *upstream.Error) (failure, bool) {
	if errors.Is(err, upstream.ErrGivenUp) {
		return "", false // it has been found out already
	}
	switch err.Reach {
	case upstream.Unreached:
		return failureToConnect(err.Err), true
	case upstream.Unanswered:
		return broken, true
	case upstream.Late:
		return late, true
	case upstream.Garbled:
		return garbled, true
	case upstream.Unread, upstream.Abandoned:
	}
	return "", false // it closed an idle connection; the client left
}

// record is how an endpoint has fared. The mutex of its peers guards it.
type record struct {
	ejections int       // in a row, without an answer between them
	probeAt   time.Time // when to try the next connection to an ejected one
	trialFrom time.Time
	accepted  time.Time // when a connection that was tried was accepted last
	missed    bool      // the last connection that was tried in doubt came to nothing
}

// peers are the endpoints of one service in the newest table.
//
// The law: what may be the fault of requests never leaves less than half of a
// service's endpoints; that nobody accepts connections may leave none, and then
// all are tried. So no client can have a service taken away from the others, and
// what is alive does not carry the load of what is dead in vain.
type peers struct {
	queue queue // of the requests that wait for one of them

	mu   sync.Mutex // held while the standing of a peer is changed
	list []*endpoint
}

// set replaces the list.
func (p *peers) set(list []*endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = list
}

// fail notes a failure of a peer, and reports whether it has been ejected for it.
func (p *peers) fail(e *endpoint, why failure, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := standing(e.standing.Load())
	if was == ejected {
		return false
	}
	if !why.isCertain() {
		strikes := e.strikes.Add(1)
		if was == in && strikes < strikesMax && !e.suspect.Load() || !p.spares(e) {
			return false
		}
	}
	e.standing.Store(int32(ejected))
	e.postpone(now)
	return true
}

// overtaken reports whether a connection to a peer was accepted after one was begun that
// came to nothing: what that one tells is old. A packet that is lost costs a second, and
// a way that was closed for a moment the whole time for a connection.
func (p *peers) overtaken(e *endpoint, began time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !began.IsZero() && e.record.accepted.After(began)
}

// spares reports whether at least half of the peers are left when e is not.
func (p *peers) spares(e *endpoint) bool {
	left := 0
	for _, other := range p.list {
		if other != e && !other.isOut() {
			left++
		}
	}
	return left >= (len(p.list)+1)/2
}

// postpone says when the next connection is tried. The caller
// holds the mutex of its peers.
func (e *endpoint) postpone(now time.Time) {
	e.strikes.Store(0)
	e.record.probeAt = now.Add(min(ejectedMin<<min(e.record.ejections, 10), ejectedMax))
	e.record.ejections++
}

// answered notes that a peer answered a request.
func (p *peers) answered(e *endpoint) {
	if e.strikes.Load() == 0 && standing(e.standing.Load()) == in {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e.strikes.Store(0)
	switch standing(e.standing.Load()) {
	case ejected:
		e.record.probeAt = time.Time{} // it may have been an old request's answer
	case onTrial, in:
		e.standing.Store(int32(in))
		e.record.ejections = 0
	}
}

// due reports whether a connection to a peer should be tried: because it is
// ejected, and it is time, or because it is in doubt. A trial that has lasted
// long enough ends.
func (p *peers) due(e *endpoint, now time.Time) bool {
	doubted := e.doubted.Load()
	switch standing(e.standing.Load()) {
	case in:
		return doubted
	case onTrial, ejected:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.isOut() {
		return !now.Before(e.record.probeAt)
	}
	if now.Sub(e.record.trialFrom) >= trialMax {
		e.standing.Store(int32(in))
	}
	return doubted
}

// connected notes that a connection to a peer was accepted. Who waits for the
// service may go.
func (p *peers) connected(e *endpoint, now time.Time) {
	p.mu.Lock()
	e.record.missed, e.record.accepted = false, now
	back := e.isOut()
	if back {
		e.standing.Store(int32(onTrial))
		e.record.trialFrom = now
	}
	p.mu.Unlock()
	if back {
		p.queue.release()
	}
}

// missed notes that a connection that was tried came to nothing, and returns what
// is to be made of it. One miss is no proof that a machine which nobody suspects
// is gone: a packet may have been lost.
func (p *peers) missed(e *endpoint, why failure, now time.Time) verdict {
	p.mu.Lock()
	switch {
	case e.isOut():
		e.postpone(now)
		p.mu.Unlock()
		return stillOut
	case why == unreachable && !e.suspect.Load() && !e.record.missed:
		e.record.missed = true
		p.mu.Unlock()
		return tryAgain
	}
	e.record.missed = false
	p.mu.Unlock()
	if p.fail(e, why, now) {
		return justOut
	}
	return stillOut
}

// verdict is what follows from a connection that came to nothing.
type verdict int

const (
	tryAgain verdict = iota
	justOut          // the endpoint has been ejected for it
	stillOut         // it was ejected before
)
