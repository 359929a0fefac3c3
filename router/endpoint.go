package router

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/core/route"
)

// endpoint is one instance as the router knows it. It lives on from table to
// table for as long as the same task is at the same address, and after that until
// its last request has ended.
type endpoint struct {
	route.Endpoint
	host    string      // of Address
	suspect atomic.Bool // as the newest table says; Endpoint.Suspect is how it began
	pool    Upstream
	fast    relayer // the same, where it takes requests in their words, else nil
	series  *series
	drained chan<- struct{} // told when a leaving endpoint has no request any more

	inFlight atomic.Int64
	leaving  atomic.Bool // no table names it any more; set once

	// What the router's own experience says of it. The mutex of its peers is held
	// while the first two are changed, and guards the record.
	standing atomic.Int32 // a standing
	strikes  atomic.Int32 // failures in a row that are not certain
	peers    *peers
	record   record

	connecting atomic.Bool // a connection is being tried
	doubted    atomic.Bool // one is to be tried at once

	// Owned by tend.
	listenFor   time.Duration // how long it may be silent
	listenUntil time.Time     // when it has been silent for too long
}

func (r *Router) newEndpoint(s *service, from route.Endpoint) *endpoint {
	host, _, err := net.SplitHostPort(from.Address)
	if err != nil {
		host = from.Address
	}
	pool := r.reach(from.Address)
	fast, _ := pool.(relayer)
	return &endpoint{
		Endpoint: from,
		host:     host,
		peers:    s.peers,
		drained:  r.drained,
		series:   r.metrics.seriesOf(s, from.Revision),
		pool:     pool,
		fast:     fast,
	}
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
	signal(e.drained)
}

// leave keeps all further requests away.
func (e *endpoint) leave() {
	e.leaving.Store(true)
	e.pool.Close()
}

// isLost reports whether the masters have given the endpoint up: they had lost its agent
// when it left the table. An instance that is drained is not lost.
func (e *endpoint) isLost() bool { return e.leaving.Load() && e.suspect.Load() }

// isOut reports whether requests pass the endpoint over while there are others.
func (e *endpoint) isOut() bool { return standing(e.standing.Load()) == ejected }

// isGood reports whether a request may choose the endpoint: of one that has come
// back on trial only one at a time, and only if it may be sent again.
func (e *endpoint) isGood(again bool) bool {
	switch standing(e.standing.Load()) {
	case onTrial:
		return again && e.inFlight.Load() == 0
	case ejected:
		return false
	case in:
	}
	return true
}

// takeSuspicion takes over what the newest table says.
func (e *endpoint) takeSuspicion(suspect bool) {
	if e.suspect.Swap(suspect) != suspect && suspect {
		e.doubted.Store(true)
	}
}

// trialMax is how long an endpoint that came back may be without an answer
// before it counts as one that never left.
const trialMax = 5 * time.Second
