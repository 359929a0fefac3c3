package router

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/core/route"
)

const (
	avoidMin = 50 * time.Millisecond
	avoidMax = time.Second
)

// endpoint is one instance as the router knows it. It lives on from table to
// table for as long as the same task is at the same address, and after that until
// its last request has ended.
type endpoint struct {
	route.Endpoint
	suspect atomic.Bool // as the newest table says; Endpoint.Suspect is how it began
	pool    Upstream
	series  *series
	drained chan<- struct{} // told when a leaving endpoint has no request any more

	inFlight atomic.Int64
	leaving  atomic.Bool // no table names it any more; set once

	refusals atomic.Int64 // in a row, those close together counted as one
	retryAt  atomic.Int64 // Unix nanoseconds until which it is avoided
}

// enter counts a request and reports whether it may be sent to the endpoint.
//
// The order is what the law of route.Confirmation rests on. A request first
// counts itself and then looks whether the endpoint is leaving; the loop first
// marks it leaving and then looks at the count. So of the two at least one sees
// the other: the loop confirms a busy task, or the request turns back.
func (e *endpoint) enter() bool {
	e.inFlight.Add(1)
	if !e.leaving.Load() {
		return true
	}
	e.exit()
	return false
}

// exit undoes enter, when nothing of the request is left at the endpoint.
func (e *endpoint) exit() {
	if e.inFlight.Add(-1) > 0 || !e.leaving.Load() {
		return
	}
	select {
	case e.drained <- struct{}{}:
	default: // the loop has been told and has not looked yet
	}
}

// leave keeps all further requests away.
func (e *endpoint) leave() {
	e.leaving.Store(true)
	e.pool.Close()
}

// avoided reports whether the endpoint refused a connection a short while ago.
func (e *endpoint) avoided(now time.Time) bool {
	until := e.retryAt.Load()
	return until != 0 && now.UnixNano() < until
}

// hasRefused reports whether the endpoint refused the last connection.
func (e *endpoint) hasRefused() bool { return e.retryAt.Load() != 0 }

// refused notes that the endpoint did not accept a connection. It is avoided for
// a time that doubles from one refusal to the next.
func (e *endpoint) refused(now time.Time) {
	until := e.retryAt.Load()
	if now.UnixNano() < until {
		return // others noted this refusal already
	}
	pause := avoidMin << min(e.refusals.Load(), 10)
	if e.retryAt.CompareAndSwap(until, now.Add(min(pause, avoidMax)).UnixNano()) {
		e.refusals.Add(1)
	}
}

// accepted notes that the endpoint can be reached.
func (e *endpoint) accepted() {
	if e.hasRefused() {
		e.refusals.Store(0)
		e.retryAt.Store(0)
	}
}

// probe tries whether the endpoint can be reached again.
func (e *endpoint) probe(ctx context.Context) bool {
	if err := e.pool.Connect(ctx); err != nil {
		if !errors.Is(err, context.Canceled) {
			e.refused(time.Now())
		}
		return false
	}
	e.accepted()
	return true
}
