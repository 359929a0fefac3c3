package memory

import (
	"context"
	"slices"
	"time"

	"github.com/aloft-run/aloft/store"
)

// Member is one process's store of a Cluster. Closing it without resigning is
// how a test kills the process.
type Member struct {
	*store.Store
	link *link
}

// Cut parts the member from the cluster: its calls wait, and its leases run
// out, of its term and of what it announced, unless Heal comes first.
func (m *Member) Cut() { m.link.cut() }

// Halt is Cut for a member whose process stands still: that its leases ran out, it
// learns when it is healed, and not before.
func (m *Member) Halt() { m.link.halt() }

// Heal undoes Cut and Halt. The calls that waited go on.
func (m *Member) Heal() { m.link.heal() }

// link is a member's way to the cluster. Its fields are guarded by cluster.mu.
type link struct {
	cluster *Cluster
	healed  chan struct{} // nil, or while cut: closed by Heal
	halted  bool          // it cannot learn of anything
	leases  []*lease      // those that have not ended for both sides, oldest first
}

func (l *link) cut() {
	c := l.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.healed != nil {
		return
	}
	l.healed = make(chan struct{})
	for _, held := range l.leases {
		c.abandon(held)
	}
}

func (l *link) halt() {
	l.cluster.mu.Lock()
	l.halted = true
	l.cluster.mu.Unlock()
	l.cut()
}

func (l *link) heal() {
	c := l.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	l.halted = false
	if l.healed == nil {
		return
	}
	close(l.healed)
	l.healed = nil
	for _, held := range slices.Clone(l.leases) { // one that ended meanwhile is forgotten
		held.sustain()
	}
}

func (l *link) forget(ended *lease) {
	l.leases = slices.DeleteFunc(l.leases, func(held *lease) bool { return held == ended })
}

// reach waits while the link is cut.
func (l *link) reach(ctx context.Context) error {
	for {
		l.cluster.mu.Lock()
		healed := l.healed
		l.cluster.mu.Unlock()
		if healed == nil {
			return context.Cause(ctx)
		}
		select {
		case <-healed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// pass brings a call to the cluster, unless a cut or a fault keeps it from there,
// does the work there, and brings the answer back unless a fault loses it.
func (l *link) pass(ctx context.Context, call Call, work func()) error {
	if err := l.reach(ctx); err != nil {
		return err
	}
	fate := l.cluster.cfg.Fault(call)
	if err := wait(ctx, fate.Delay); err != nil {
		return err
	}
	if fate.Late > 0 && call.Kind == Commit {
		time.AfterFunc(fate.Late, work)
		return fate.Err
	}
	if fate.Err != nil && !fate.Done {
		return fate.Err
	}
	work()
	return fate.Err
}

func wait(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
