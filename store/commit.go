package store

import (
	"context"
	"errors"
	"fmt"
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
		defer func() { <-e.committing }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	e.commits++
	number := commitNumber(e.commits)
	var answer *clientv3.TxnResponse
	inDoubt := false // whether a try may have written without our knowing
	err = e.proposeWithin(ctx, timeFor(ops), func(ctx context.Context) (err error) {
		answer, err = e.transact(ctx, epoch, number, ops)
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
