package sim_test

import (
	"errors"
	"net/http"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/task"
	"github.com/aloft-run/aloft/router"
)

// requested judges a request that comes to an instance, and returns what is to be
// called when it has ended. One that was meant for another task, which had the
// address before, may come only through a router that the masters have forgotten.
func (o *observer) requested(run *routerRun, address string, key runtime.Key) (done func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !run.hadAt(address, key.Task) {
		if o.remembered(run.name) && time.Since(run.joinedAt) > catchUp {
			o.breaks(lawMeant, "router %s sends a request to %s at %s, where its tables have another task", run.name, key, address)
		}
		return func() {}
	}
	f := &flight{key}
	run.flights[f] = true
	if run.knows(run.confirmed) && o.routers[run] && !run.busy[key.Task] && !run.mayServe(key.Task) {
		o.breaks(lawConfirmed, "router %s sends a request to %s, and has confirmed %s", run.name, key, run.confirmed)
	}
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(run.flights, f)
	}
}

// catchUp is how long a router that was forgotten may take to get the newest table.
const catchUp = 10 * time.Second

// confirmed judges a confirmation when the router says it.
func (o *observer) confirmed(run *routerRun, said route.Confirmation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	run.confirmed = said.Version
	run.busy = make(map[id.Task]bool)
	for _, b := range said.Busy {
		run.busy[b.Task] = true
	}
	if !run.knows(said.Version) {
		return // the table of the last run
	}
	for f := range run.flights {
		if !run.busy[f.key.Task] && o.routers[run] && !run.mayServe(f.key.Task) {
			o.breaks(lawConfirmed, "router %s confirms %s, and has a request at %s", run.name, said.Version, f.key)
		}
	}
}

// judgeAnswer holds what a client got to the faults that there were. No master waits
// for a router that has left, or was gone for long, and is back behind a cut with the
// table that it had kept: what it sends meanwhile may be lost.
func (o *observer) judgeAnswer(run *routerRun, q question, began time.Time, status int, reason router.Reason, err error) {
	if reason == router.NoInstance || reason == router.Refused {
		o.judgeRefusal(run, q, began, reason)
	}
	lost := err != nil && !errors.Is(err, errRefused) || reason == router.Broken || reason == router.Garbled || reason == router.Cut
	if !lost {
		return
	}
	if !o.remembered(run.name) || run.joinedAt.After(began) {
		return
	}
	if o.harm.After(began.Add(-time.Second)) || o.deaths[id.Service(q.service)].After(began.Add(-time.Second)) {
		return
	}
	if cuts := o.c.net.cutSince(run.name, began); cuts >= 3 || cuts > 0 && q.method == http.MethodPost {
		return // it was cut off at each try
	}
	o.breaks(lawLost, "a client's %s of %s, sent at %.3fs, got status %d %s %v", q.method, q.service, began.Sub(o.began).Seconds(), status, reason, err)
}

// judgeRefusal holds an answer which says that there is no instance to what there was.
func (o *observer) judgeRefusal(run *routerRun, q question, began time.Time, reason router.Reason) {
	before := began.Add(-5 * time.Second)
	long := func(since time.Time) bool { return !since.IsZero() && since.Before(before) }
	for _, t := range o.tasks() {
		on := o.agent(t.Claim.Agent)
		if t.Service != id.Service(q.service) || t.Status.State != task.Ready || !long(t.Status.ReadySince) || on == nil || !on.SilentSince.IsZero() {
			continue
		}
		m := o.c.machine(string(on.ID))
		host, since := m.hosts(), run.served[t.ID]
		if host == nil || !long(since) || !long(host.booted) || !long(o.silenced[on.ID]) || !long(o.c.net.steady(run.name, m.name)) || !run.newestHas(t.ID) {
			continue
		}
		for _, key := range host.running() {
			if p := host.program(key); key.Task == t.ID && p != nil && host.wellSince(p, before) {
				o.breaks(lawServed, "router %s answers a %s of %s, sent at %.3fs, with %s, and %s can be reached", run.name, q.method, q.service, began.Sub(o.began).Seconds(), reason, key)
			}
		}
	}
}
