package sim_test

import (
	"context"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
)

// tenancy is the right of a program to run until then, as the supervisor keeps it.
type tenancy struct {
	lease  runtime.Lease
	lapsed bool
}

// Prolong gives leases more time. One that has run out has run out.
func (h *programs) Prolong(_ context.Context, leases []runtime.Lease) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, lease := range leases {
		if t := h.leases[lease.Key]; t != nil && !t.lapsed && t.lease.Until <= lease.Until {
			t.lease = lease
		}
	}
	return nil
}

// lets gives a program its first lease, if it has one.
func (h *programs) lets(lease runtime.Lease) {
	if lease.Until == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leases[lease.Key] = &tenancy{lease: lease}
	h.watch(h.leases[lease.Key])
}

// watch has a lease looked at when it may run out. The caller holds mu.
func (h *programs) watch(t *tenancy) {
	left := t.lease.Until - t.lease.Grace - h.clock()
	h.m.c.later(max(0, left), func() { h.look(t.lease.Key) })
}

// look ends a program whose lease has run out, so that it has ended in time.
func (h *programs) look(key runtime.Key) {
	h.mu.Lock()
	t := h.leases[key]
	if t.lease.Until-t.lease.Grace > h.clock() {
		h.watch(t)
		h.mu.Unlock()
		return
	}
	t.lapsed = true
	h.mu.Unlock()
	if h.m.hosts() != h || !h.runs(key) {
		return
	}
	h.m.c.obs.tell("machine %s: the lease of %s has run out", h.m.name, key)
	h.m.c.obs.harmed(t.lease.Grace + time.Second)
	_ = h.Runtime.Stop(h.m.c.living, key, max(0, t.lease.Until-h.clock())) // it runs
}
