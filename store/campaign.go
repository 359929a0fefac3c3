package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leader is what the leader's key said at a revision of the store.
type leader struct {
	identity string
	epoch    uint64 // 0: nobody leads
	revision int64
}

// Campaign makes the leader's key as soon as there is none, bound to a lease
// that a guard keeps alive.
func (e *etcd) Campaign(ctx context.Context, identity string, behind Behind) (Hold, error) {
	format, err := e.checkFormat(ctx) // before somebody is waited for: candidate compares it once more
	if err != nil {
		return Hold{}, err
	}
	if err := e.awaitVacancy(ctx, behind); err != nil {
		return Hold{}, err
	}
	if hold, won, err := e.candidate(ctx, identity, format); won || err != nil {
		return hold, err
	}
	return e.Campaign(ctx, identity, behind) // another was first, or raised the format
}

// awaitVacancy waits until nobody leads, and then for as long as others may go first.
func (e *etcd) awaitVacancy(ctx context.Context, behind Behind) error {
	now, err := e.leader(ctx)
	for err == nil && now.epoch != 0 {
		former := now.identity
		now, err = e.next(ctx, now)
		if err != nil || now.epoch != 0 {
			continue
		}
		if first := behind(former); first > 0 {
			if err = pause(ctx, first); err == nil {
				now, err = e.leader(ctx)
			}
		}
	}
	return err
}

// candidate makes the leader's key, and wins if it was first. It raises the data's format,
// so that no older program leads any more; and does not lead where that is not what it
// was, for a newer one may have raised it meanwhile.
func (e *etcd) candidate(ctx context.Context, identity, format string) (hold Hold, won bool, err error) {
	held, err := e.grant(ctx)
	if err != nil {
		return Hold{}, false, err
	}
	var answer *clientv3.TxnResponse
	err = e.propose(ctx, func(ctx context.Context) (err error) {
		answer, err = e.client.Txn(ctx).
			If(
				clientv3.Compare(clientv3.CreateRevision(e.leaderKey()), "=", 0),
				clientv3.Compare(clientv3.Value(e.versionKey()), "=", format),
			).
			Then(
				clientv3.OpPut(e.leaderKey(), identity, clientv3.WithLease(held.id)),
				clientv3.OpPut(e.commitKey(), ""), // smaller than every number of a commit
				clientv3.OpPut(e.versionKey(), formatText()),
			).
			Else(clientv3.OpGet(e.leaderKey())).
			Commit()
		return err
	})
	if err == nil {
		if epoch, won := wonBy(answer, held.id); won {
			return e.hold(ctx, epoch, held), true, nil
		}
	}
	return Hold{}, false, errors.Join(err, e.giveBack(ctx, held.id))
}

// wonBy says whether the leader's key was made by this transaction, or by an
// earlier try of it whose answer was lost: then it is bound to the same lease.
func wonBy(answer *clientv3.TxnResponse, id clientv3.LeaseID) (epoch int64, won bool) {
	if answer.Succeeded {
		return answer.Header.GetRevision(), true
	}
	for _, pair := range answer.Responses[0].GetResponseRange().Kvs {
		return pair.CreateRevision, pair.Lease == int64(id)
	}
	return 0, false
}

// hold starts the guard of a leadership.
func (e *etcd) hold(ctx context.Context, epoch int64, held lease) Hold {
	guarding, stop := context.WithCancel(context.WithoutCancel(ctx))
	lost := make(chan struct{})
	e.terms.Add(1)
	e.guards.Go(func() {
		defer close(lost)
		defer e.terms.Add(-1)
		defer stop()
		if err := e.guard(guarding, epoch, held); guarding.Err() == nil && !errors.Is(err, ErrClosed) {
			e.log.WarnContext(guarding, "leadership lost", slog.Int64("epoch", epoch), slog.Any("error", err))
		}
	})
	release := func(ctx context.Context) error {
		stop()
		<-lost
		return e.revoke(ctx, held.id)
	}
	return Hold{Epoch: uint64(epoch), Lost: lost, Release: release}
}

// guard keeps the lease alive while the leader's key is ours, until ctx is done
// or e closes. It returns why it ended.
func (e *etcd) guard(ctx context.Context, epoch int64, held lease) error {
	ctx, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop(nil)
	watching.Go(func() {
		e.change(ctx, leader{revision: epoch})
		stop(errors.New("the leader's key was changed, or cannot be watched any more"))
	})
	watching.Go(func() {
		select {
		case <-e.closing:
			stop(ErrClosed)
		case <-ctx.Done():
		}
	})
	return e.keepAlive(ctx, held)
}

// WatchLeader tells what this member hears of the leader's key. That needs no
// majority, which may be busy electing another raft leader just then. One watch
// serves for all changes: etcd takes up to a tenth of a second to begin one where
// something was written since.
func (e *etcd) WatchLeader(ctx context.Context, seen func(identity string, epoch uint64) bool) error {
	told, wanted := leader{revision: -1}, true
	tell := func(now leader) bool {
		if told.revision < 0 || told.epoch != now.epoch {
			wanted = seen(now.identity, now.epoch)
		}
		told = now
		return wanted
	}
	for {
		now, err := e.leader(ctx)
		if err != nil {
			return err
		}
		if tell(now) {
			e.changes(ctx, now, tell)
		}
		if !wanted {
			return nil
		}
	}
}

// next returns the leader after a change.
func (e *etcd) next(ctx context.Context, since leader) (leader, error) {
	if now, known := e.change(ctx, since); known {
		return now, nil
	}
	return e.leader(ctx)
}

func (e *etcd) leader(ctx context.Context) (leader, error) {
	answer, err := e.get(ctx, e.leaderKey())
	if err != nil {
		return leader{}, err
	}
	now := leader{revision: answer.Header.GetRevision()}
	for _, pair := range answer.Kvs {
		now.identity, now.epoch = string(pair.Value), uint64(pair.CreateRevision)
	}
	return now, nil
}

// change waits until the leader's key may have changed since then, the embedded
// member stops, or ctx is done, and returns what it is then, if that is known.
func (e *etcd) change(ctx context.Context, since leader) (now leader, known bool) {
	e.changes(ctx, since, func(next leader) bool {
		now, known = next, true
		return false
	})
	return now, known
}

// changes hands over who leads after each change since then, until seen returns
// false, the watch breaks, the embedded member stops, or ctx is done.
func (e *etcd) changes(ctx context.Context, since leader, seen func(now leader) bool) {
	ctx, done := e.embedded.whileServing(ctx)
	defer done()
	for answer := range e.client.Watch(ctx, e.leaderKey(), clientv3.WithRev(since.revision+1)) {
		if answer.Err() != nil {
			return
		}
		var now leader
		for _, event := range answer.Events { // the newest counts
			now = leader{revision: event.Kv.ModRevision}
			if event.Type == clientv3.EventTypePut {
				now.identity, now.epoch = string(event.Kv.Value), uint64(event.Kv.CreateRevision)
			}
		}
		if now.revision > 0 && !seen(now) {
			return
		}
	}
}

// Evict deletes the leader's key if it is still the one that epoch's term made.
func (e *etcd) Evict(ctx context.Context, epoch uint64) error {
	return e.propose(ctx, func(ctx context.Context) error {
		_, err := e.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(e.leaderKey()), "=", int64(epoch))).
			Then(clientv3.OpDelete(e.leaderKey())).
			Commit()
		return err
	})
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
