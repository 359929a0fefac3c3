package engine_test

import (
	"maps"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

// router applies tables 20 ms after it gets them. Requests to an instance that
// left the table run on for busy.
type router struct {
	name    id.Router
	busy    time.Duration
	pending *route.Table
	applied route.Table
	left    map[id.Task]time.Time // when its last request ends
	next    time.Time
}

func (w *world) addRouter(name id.Router, busy time.Duration) {
	w.Helper()
	r := &router{name: name, busy: busy, left: make(map[id.Task]time.Time)}
	w.routers[name] = r
	delete(w.astray, name)
	w.step(engine.RouterConfirmed{Confirmation: route.Confirmation{Router: name}}) // its session opens
	table := w.engine.Table()
	r.receive(w, &table)
	w.pass(20 * time.Millisecond)
}

// loseRouter cuts a router off from the masters.
func (w *world) loseRouter(name id.Router) {
	w.astray[name] = w.routers[name]
	delete(w.routers, name)
}

func (r *router) receive(w *world, table *route.Table) {
	r.pending = table
	r.next = soonest(r.next, w.now.Add(20*time.Millisecond))
}

func (r *router) happen(w *world) {
	w.Helper()
	if r.next.IsZero() || r.next.After(w.now) {
		return
	}
	r.next = time.Time{}
	if r.pending != nil {
		now := endpointsOf(*r.pending)
		for name := range endpointsOf(r.applied) {
			if !now[name] && r.busy > 0 {
				r.left[name] = w.now.Add(r.busy)
			}
		}
		r.applied, r.pending = *r.pending, nil
	}
	confirmation := route.Confirmation{Router: r.name, Version: r.applied.Version}
	for _, name := range slices.Sorted(maps.Keys(r.left)) {
		if until := r.left[name]; until.After(w.now) {
			confirmation.Busy = append(confirmation.Busy, route.Busy{Task: name, Requests: 1})
			r.next = soonest(r.next, until)
		} else {
			delete(r.left, name)
		}
	}
	w.step(engine.RouterConfirmed{Confirmation: confirmation})
}

func endpointsOf(table route.Table) map[id.Task]bool {
	all := make(map[id.Task]bool)
	for _, part := range table.Services {
		for _, endpoint := range part.Endpoints {
			all[endpoint.Task] = true
		}
	}
	return all
}
