package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// fullPause is how long a commit waits before it asks again whether there is room.
const fullPause = 200 * time.Millisecond

// Commit writes ops in one transaction that compares the revision at which the
// leader's key was made. The key is made only where none is, so that the
// revision names one term.
//
// The transaction leaves the number of the commit under a key of its own, and
// compares that what is there is smaller. So it may be sent again when its answer
// was lost: it is written once, and not after a later one. While the store is full
// it waits for room.
func (e *etcd) Commit(ctx context.Context, epoch uint64, ops []Op) (revision int64, err error) {
	if len(ops) == 0 {
		return e.confirm(ctx, epoch)
	}
	select {
	case e.committing <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	done := func() { <-e.committing }
	p, err := e.placesOf(ctx, epoch)
	if err == nil {
		revision, err = e.write(ctx, epoch, p, func(name func(part int) string) plan { return p.plan(ops, e.packFrom, name) })
	}
	if err != nil || !p.worn(e.packFrom) {
		done()
		return revision, err
	}
	tidying := context.WithoutCancel(ctx)
	e.guards.Go(func() { // before the next commit, but this one need not wait
		defer done()
		e.tidy(tidying, epoch, p)
	})
	return revision, nil
}

// tidy does without the oldest packs, unless e closes meanwhile or the term is over: then
// they stay.
func (e *etcd) tidy(ctx context.Context, epoch uint64, p *places) {
	ctx, done := e.whileOpen(ctx)
	defer done()
	if err := e.move(ctx, epoch, p); err != nil && ctx.Err() == nil && !errors.Is(err, ErrDeposed) {
		e.log.WarnContext(ctx, "old packs of the store are kept", slog.Any("error", err))
	}
}

// move writes anew what is still needed of the oldest packs, and removes these.
func (e *etcd) move(ctx context.Context, epoch uint64, p *places) error {
	stale := p.stale()
	packs := make([][]entry, len(stale))
	for i, k := range stale {
		answer, err := e.get(ctx, e.prefix+packPart+k.name)
		if err != nil {
			return err
		}
		if len(answer.Kvs) == 0 {
			e.book.drop(epoch) // what is known of the packs is wrong
			return fmt.Errorf("pack %s is not there", k.name)
		}
		if packs[i], _, err = entriesOf(answer.Kvs[0].Value); err != nil {
			return err
		}
	}
	_, err := e.write(ctx, epoch, p, func(name func(part int) string) plan { return p.move(packs, name) })
	return err
}

// write writes what is planned for the commit with the next number. Then the places are
// as planned; when it is in doubt, nothing is known of them any more.
func (e *etcd) write(ctx context.Context, epoch uint64, p *places, planned func(name func(part int) string) plan) (revision int64, err error) {
	e.commits++
	number := commitNumber(e.commits)
	next := planned(func(part int) string { return packName(epoch, number, part) })
	revision, err = e.commit(ctx, epoch, number, next.writes)
	switch {
	case err == nil:
		p.apply(next)
	case errors.Is(err, ErrInDoubt):
		e.book.drop(epoch)
	}
	return revision, err
}

// commit makes a transaction of writes, whose keys begin below the prefix.
func (e *etcd) commit(ctx context.Context, epoch uint64, number string, writes []Op) (revision int64, err error) {
	var answer *clientv3.TxnResponse
	inDoubt := false // whether a try may have written without our knowing
	err = e.proposeWithin(ctx, timeFor(writes), func(ctx context.Context) (err error) {
		answer, err = e.transact(ctx, epoch, number, writes)
		if errors.Is(err, rpctypes.ErrNoSpace) { // the one for which there was no room any more is written all the same
			err = errors.Join(errNoRoom, pause(ctx, fullPause))
		}
		inDoubt = inDoubt || err != nil && !refused(err)
		return err
	})
	if err == nil && answer.Succeeded {
		return answer.Header.GetRevision(), nil
	}
	if err == nil {
		if revision, ok := writtenBefore(answer, epoch, number); ok {
			return revision, nil
		}
		err = ErrDeposed
	}
	if inDoubt {
		err = fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return 0, err
}

// confirm asks whether epoch leads.
func (e *etcd) confirm(ctx context.Context, epoch uint64) (revision int64, err error) {
	now, err := e.leader(ctx)
	if err == nil && now.epoch != epoch {
		err = ErrDeposed
	}
	if err != nil {
		return 0, err
	}
	return now.revision, nil
}

// commitNumber writes n so that larger numbers are larger texts.
func commitNumber(n uint64) string { return fmt.Sprintf("%016x", n) }

// writtenBefore looks into the answer to a transaction that was not written, and
// returns the revision at which an earlier try of it was, in the term of epoch.
func writtenBefore(answer *clientv3.TxnResponse, epoch uint64, number string) (revision int64, ok bool) {
	leader, last := answer.Responses[0].GetResponseRange().Kvs, answer.Responses[1].GetResponseRange().Kvs
	if len(leader) == 0 || uint64(leader[0].CreateRevision) != epoch {
		return 0, false
	}
	if len(last) == 0 || string(last[0].Value) != number {
		return 0, false
	}
	return last[0].ModRevision, true
}
