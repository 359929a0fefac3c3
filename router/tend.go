package router

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

const (
	tendEvery = 100 * time.Millisecond
	// silenceMin is how long requests wait at an endpoint that answers none before
	// a connection is tried. It doubles as long as connections are accepted, for
	// the instance may be one that takes its time; not while it is suspect.
	silenceMin = 500 * time.Millisecond
	silenceMax = 4 * time.Second
)

// tend looks after the endpoints until ctx is done: their idle connections,
// whether those that are ejected accept connections again, and whether those
// that are silent or in doubt still do.
func (r *Router) tend(ctx context.Context) {
	var trying sync.WaitGroup
	defer trying.Wait()
	due := time.NewTicker(tendEvery)
	defer due.Stop()
	for {
		select {
		case <-due.C:
		case <-r.alarm:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		r.reopenPorts(ctx, now)
		for e := range r.known() {
			if e.isLost() {
				e.pool.Drop(upstream.Unheard)
			}
			silent := e.isSilent(e.pool.Sweep(now).Silence, now)
			if (silent || e.peers.due(e, now)) && e.connecting.CompareAndSwap(false, true) {
				e.doubted.Store(false)
				trying.Go(func() { r.try(ctx, e) })
			}
		}
	}
}

// known returns the endpoints in the table, and those that have left it with requests in
// flight.
func (r *Router) known() map[*endpoint]bool {
	all := r.table.Load().endpoints()
	for _, e := range *r.departed.Load() {
		all[e] = true
	}
	return all
}

// isSilent reports whether it is time to try a connection because nothing is
// heard. Only tend calls it.
func (e *endpoint) isSilent(silence time.Duration, now time.Time) bool {
	if silence < silenceMin {
		e.listenFor, e.listenUntil = silenceMin, time.Time{}
		return false
	}
	if now.Before(e.listenUntil) {
		return false
	}
	e.listenUntil = now.Add(e.listenFor)
	if !e.suspect.Load() {
		e.listenFor = min(2*e.listenFor, silenceMax)
	}
	return true
}

// try tries a connection to an endpoint.
func (r *Router) try(ctx context.Context, e *endpoint) {
	defer e.connecting.Store(false)
	bounded, done := context.WithTimeout(ctx, r.cfg.ProbeTimeout)
	defer done()
	err := e.pool.Connect(bounded)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		e.peers.connected(e, time.Now())
		return
	}
	why := failureToConnect(err)
	switch e.peers.missed(e, why, time.Now()) {
	case tryAgain:
		e.doubted.Store(true)
	case justOut:
		r.dropEjected(ctx, e, why)
	case stillOut:
		if why == unreachable {
			e.pool.Drop(upstream.Repeatable) // what came to it meanwhile, because all are ejected
		}
	}
}

// fails notes a failure of an endpoint. Of one to connect it is told when that began.
func (r *Router) fails(ctx context.Context, e *endpoint, why failure, began time.Time) {
	if e.peers.overtaken(e, began) {
		return
	}
	if e.peers.fail(e, why, time.Now()) {
		r.dropEjected(ctx, e, why)
	}
}

// dropEjected drops what cannot come to a good end at an endpoint that has just
// been ejected. A machine that says that nobody listens will also say which
// connections are broken; one that says nothing may have other endpoints.
func (r *Router) dropEjected(ctx context.Context, e *endpoint, why failure) {
	r.metrics.ejections.WithLabelValues(string(why)).Inc()
	r.cfg.Log.WarnContext(ctx, "endpoint ejected", slog.String("task", string(e.Task)),
		slog.String("address", e.Address), slog.String("reason", string(why)))
	if why != unreachable {
		e.pool.Drop(upstream.Idle)
		return
	}
	e.pool.Drop(upstream.Repeatable)
	for other := range r.table.Load().endpoints() {
		if other != e && other.host == e.host {
			other.doubted.Store(true)
		}
	}
	r.wake()
}

// wake has tend look at once.
func (r *Router) wake() { signal(r.alarm) }
