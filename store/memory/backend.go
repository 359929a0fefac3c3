package memory

import (
	"context"
	"fmt"

	"github.com/aloft-run/aloft/store"
)

// Campaign waits until nobody leads, lets others go first, and leads.
func (l *link) Campaign(ctx context.Context, identity string, behind store.Behind) (store.Hold, error) {
	for {
		var won *term
		var former string
		var changed <-chan struct{}
		err := l.pass(ctx, Call{Kind: Campaign}, func() {
			won, former, changed = l.cluster.lead(identity, l)
		})
		switch {
		case err != nil && won != nil:
			l.lapse(won.lease)
			return store.Hold{}, err
		case err != nil:
			return store.Hold{}, err
		case won != nil:
			release := func(ctx context.Context) error { return l.release(ctx, won) }
			return store.Hold{Epoch: won.epoch, Lost: won.lost, Release: release}, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return store.Hold{}, context.Cause(ctx)
		}
		if err := wait(ctx, behind(former)); err != nil {
			return store.Hold{}, err
		}
	}
}

// lapse leaves a lease, if there is one, to run out.
func (l *link) lapse(held *lease) {
	if held == nil {
		return
	}
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	held.lose()
	l.cluster.abandon(held)
}

// release ends a term for its owner at once, and for the others when the cluster
// hears of it.
func (l *link) release(ctx context.Context, t *term) error {
	l.lapse(t.lease)
	return l.pass(ctx, Call{Kind: Resign, Epoch: t.epoch}, func() { l.cluster.end(t) })
}

// WatchLeader asks again after each change.
func (l *link) WatchLeader(ctx context.Context, seen func(identity string, epoch uint64) bool) error {
	told, first := uint64(0), true
	for {
		var identity string
		var epoch uint64
		var changed <-chan struct{}
		err := l.pass(ctx, Call{Kind: WatchLeader}, func() {
			identity, epoch, changed = l.cluster.now()
		})
		if err != nil {
			return err
		}
		if (first || told != epoch) && !seen(identity, epoch) {
			return nil
		}
		told, first = epoch, false
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Evict ends the term of epoch for all, its owner among them.
func (l *link) Evict(ctx context.Context, epoch uint64) error {
	return l.pass(ctx, Call{Kind: Evict, Epoch: epoch}, func() { l.cluster.evict(epoch) })
}

// Load visits copies of the pairs, so that visit may commit and keep them.
func (l *link) Load(
	ctx context.Context, prefix string, visit func(key string, value []byte) error,
) (revision int64, err error) {
	var list []pair
	err = l.pass(ctx, Call{Kind: Load}, func() {
		list, revision = l.cluster.pairs(prefix)
	})
	if err != nil {
		return 0, err
	}
	for _, p := range list {
		if err := visit(p.key, p.value); err != nil {
			return 0, err
		}
	}
	return revision, nil
}

// Commit is in doubt whenever the cluster's own answer did not come back, as a
// client of etcd cannot tell a lost request from a lost answer.
func (l *link) Commit(ctx context.Context, epoch uint64, ops []store.Op) (revision int64, err error) {
	type answer struct {
		revision int64
		refused  error
	}
	answers := make(chan answer, 1) // one that comes late is not waited for
	err = l.pass(ctx, Call{Kind: Commit, Epoch: epoch, Ops: ops}, func() {
		revision, refused := l.cluster.commit(epoch, ops)
		answers <- answer{revision, refused}
	})
	switch {
	case err != nil && len(ops) > 0:
		return 0, fmt.Errorf("%w: %w", store.ErrInDoubt, err)
	case err != nil:
		return 0, err
	}
	got := <-answers
	return got.revision, got.refused
}

// Close leaves this member's term to its lease, and what it announced.
func (l *link) Close() error {
	l.cluster.mu.Lock()
	defer l.cluster.mu.Unlock()
	for _, held := range l.leases {
		held.lose()
		l.cluster.abandon(held)
	}
	return nil
}
