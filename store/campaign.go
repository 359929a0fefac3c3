package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// revokeWithin bounds the giving back of a lease that came to nothing. If that
// fails it runs out by itself.
const revokeWithin = time.Second

// leader is what the leader's key said at a revision of the store.
type leader struct {
	identity string
	epoch    uint64 // 0: nobody leads
	revision int64
}

// Campaign makes the leader's key as soon as there is none, bound to a lease
// that a guard keeps alive.
func (e *etcd) Campaign(ctx context.Context, identity string) (Hold, error) {
	for {
		now, err := e.leader(ctx)
		if err != nil {
			return Hold{}, err
		}
		if now.epoch != 0 {
			e.change(ctx, now)
			continue
		}
		if err := e.checkFormat(ctx); err != nil {
			return Hold{}, err
		}
		if hold, won, err := e.attempt(ctx, identity); won || err != nil {
			return hold, err
		}
	}
}

// attempt makes the leader's key, and wins if it was first. A program does not
// lead where a newer one has meanwhile raised the data's format.
func (e *etcd) attempt(ctx context.Context, identity string) (hold Hold, won bool, err error) {
	lease, err := e.client.Grant(ctx, int64(e.leaseTTL/time.Second))
	if err != nil {
		return Hold{}, false, because(ctx, err)
	}
	answer, err := e.client.Txn(ctx).
		If(
			clientv3.Compare(clientv3.CreateRevision(e.leaderKey()), "=", 0),
			clientv3.Compare(clientv3.Value(e.versionKey()), "=", formatText()),
		).
		Then(clientv3.OpPut(e.leaderKey(), identity, clientv3.WithLease(lease.ID))).
		Commit()
	if err == nil && answer.Succeeded {
		return e.hold(ctx, answer.Header.GetRevision(), lease), true, nil
	}
	if err != nil {
		err = because(ctx, err)
	}
	brief, done := context.WithTimeout(context.WithoutCancel(ctx), revokeWithin)
	defer done()
	return Hold{}, false, errors.Join(err, e.revoke(brief, lease.ID))
}

// hold starts the guard of a leadership that began at revision.
func (e *etcd) hold(ctx context.Context, revision int64, lease *clientv3.LeaseGrantResponse) Hold {
	guarding, stop := context.WithCancel(context.WithoutCancel(ctx))
	lost := make(chan struct{})
	e.guards.Go(func() {
		defer close(lost)
		defer stop()
		if err := e.guard(guarding, revision, lease); err != nil && guarding.Err() == nil {
			e.log.WarnContext(guarding, "leadership lost", slog.Int64("epoch", revision), slog.Any("error", err))
		}
	})
	release := func(ctx context.Context) error {
		stop()
		<-lost
		return e.revoke(ctx, lease.ID)
	}
	return Hold{Epoch: uint64(revision), Lost: lost, Release: release}
}

// guard keeps the lease alive while the leader's key is ours, until ctx is done
// or e closes. It returns why the leadership is lost, if it knows.
func (e *etcd) guard(ctx context.Context, revision int64, lease *clientv3.LeaseGrantResponse) error {
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop()
	changed := make(chan struct{})
	watching.Go(func() {
		defer close(changed)
		e.change(ctx, leader{revision: revision})
	})
	return e.keepAlive(ctx, lease, changed)
}

// keepAlive returns at the latest when the lease would run out, whether etcd can
// be reached or not. The client's own channel would be closed later than that.
func (e *etcd) keepAlive(ctx context.Context, lease *clientv3.LeaseGrantResponse, changed <-chan struct{}) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	alive, err := e.client.KeepAlive(ctx, lease.ID)
	if err != nil {
		return fmt.Errorf("keep the lease alive: %w", err)
	}
	ttl := time.Duration(lease.TTL) * time.Second
	expiry := time.NewTimer(ttl)
	defer expiry.Stop()
	for {
		select {
		case _, open := <-alive:
			if !open {
				return errors.New("the lease is gone")
			}
			expiry.Reset(ttl)
		case <-expiry.C:
			return fmt.Errorf("the lease could not be kept alive for %v", ttl)
		case <-changed:
			return errors.New("the leader's key was changed, or cannot be watched any more")
		case <-ctx.Done():
			return nil
		case <-e.closing:
			return nil
		}
	}
}

// revoke ends a lease, and with it the leader's key that is bound to it.
func (e *etcd) revoke(ctx context.Context, lease clientv3.LeaseID) error {
	_, err := e.client.Revoke(ctx, lease)
	if err == nil || errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return because(ctx, err)
}

// WatchLeader asks again after each change, so that what it tells is never older
// than what it told before.
func (e *etcd) WatchLeader(ctx context.Context, seen func(identity string, epoch uint64) bool) error {
	told := leader{revision: -1}
	for {
		now, err := e.leader(ctx)
		if err != nil {
			return err
		}
		if (told.revision < 0 || told.epoch != now.epoch) && !seen(now.identity, now.epoch) {
			return nil
		}
		told = now
		e.change(ctx, now)
	}
}

func (e *etcd) leader(ctx context.Context) (leader, error) {
	answer, err := e.client.Get(ctx, e.leaderKey())
	if err != nil {
		return leader{}, because(ctx, err)
	}
	now := leader{revision: answer.Header.GetRevision()}
	for _, pair := range answer.Kvs {
		now.identity, now.epoch = string(pair.Value), uint64(pair.CreateRevision)
	}
	return now, nil
}

// change waits until the leader's key may have changed since then, or ctx is done.
func (e *etcd) change(ctx context.Context, since leader) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for answer := range e.client.Watch(ctx, e.leaderKey(), clientv3.WithRev(since.revision+1)) {
		if len(answer.Events) > 0 || answer.Err() != nil {
			return
		}
	}
}

// Evict deletes the leader's key if it is still the one that epoch's term made.
func (e *etcd) Evict(ctx context.Context, epoch uint64) error {
	_, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(e.leaderKey()), "=", int64(epoch))).
		Then(clientv3.OpDelete(e.leaderKey())).
		Commit()
	if err != nil {
		return because(ctx, err)
	}
	return nil
}

// evictDead ends the term, if there is one, of a process that is known to be dead.
func (e *etcd) evictDead(ctx context.Context) error {
	now, err := e.leader(ctx)
	if err == nil && now.epoch != 0 {
		e.log.InfoContext(ctx, "ending the term of the process before", slog.Uint64("epoch", now.epoch))
		err = e.Evict(ctx, now.epoch)
	}
	if err != nil {
		return fmt.Errorf("end the term of the process before: %w", err)
	}
	return nil
}
