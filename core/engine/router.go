package engine

import (
	"cmp"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

// router is what the engine knows of a router. Only its name is durable: after
// Load drains wait a while for those that were there to come back.
type router struct {
	confirmation route.Confirmation
	goneAt       time.Time // its session broke then; zero while it is connected
}

func (v RouterConfirmed) fold(e *Engine) (Answer, error) {
	name := v.Confirmation.Router
	if err := id.Check(name); err != nil {
		return Answer{}, invalid("router: %v", err)
	}
	confirmation := v.Confirmation
	confirmation.Busy = slices.SortedFunc(slices.Values(v.Confirmation.Busy), func(a, b route.Busy) int { return cmp.Compare(a.Task, b.Task) })
	e.remember(name)
	e.routers[name] = &router{confirmation: confirmation}
	e.timers.set(timerKey{routerTimer, string(name)}, time.Time{})
	e.touchDraining()
	return Answer{Changed: true}, nil
}

func (v RouterGone) fold(e *Engine) (Answer, error) {
	r := e.routers[v.Router]
	if r == nil {
		return Answer{}, unknown("router", v.Router)
	}
	if r.goneAt.IsZero() {
		r.goneAt = e.now
		e.timers.set(timerKey{routerTimer, string(v.Router)}, e.now.Add(e.config.RouterForget))
	}
	return Answer{Changed: true}, nil
}

func (v RouterLeft) fold(e *Engine) (Answer, error) {
	if e.routers[v.Router] == nil {
		return Answer{}, unknown("router", v.Router)
	}
	e.wakeRouter(v.Router)
	return Answer{Changed: true}, nil
}

// wakeRouter forgets a router that has left, or has been gone for long enough.
func (e *Engine) wakeRouter(name id.Router) {
	delete(e.routers, name)
	e.forget(name)
	e.touchDraining()
}

// touchDraining has every service planned that waits for routers, and gives back the
// ports that do.
func (e *Engine) touchDraining() {
	for t := range e.draining {
		e.touch(t.owner)
	}
	e.endRests()
}

// drained reports whether no router can still have a request in flight to a
// task that left the table. When not all have said so, it is asked again when
// one says more or is forgotten.
func (e *Engine) drained(t *entry) bool {
	if !t.routed {
		return true
	}
	for _, r := range e.routers {
		if left := t.leaving().left; left.Seq == 0 || r.confirmation.Version.Less(left) || r.busyWith(t.record.ID) {
			return false
		}
	}
	return true
}

func (r *router) busyWith(name id.Task) bool {
	_, busy := slices.BinarySearchFunc(r.confirmation.Busy, name, func(b route.Busy, name id.Task) int { return cmp.Compare(b.Task, name) })
	return busy
}
