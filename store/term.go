package store

import (
	"context"
	"errors"
	"fmt"
)

// Term is one unbroken time of leading, from Campaign until Lost.
type Term struct {
	store *Store
	hold  Hold
}

// Epoch returns the number of this term: larger than that of every term before
// it, and never used twice. It is the revision at which etcd made the leader's
// key. Messages carry it, so that those of an older leader can be refused.
func (t *Term) Epoch() uint64 { return t.hold.Epoch }

// Lost returns a channel that is closed when the term is over: resigned, its
// lease run out, or its store closed.
func (t *Term) Lost() <-chan struct{} { return t.hold.Lost }

// Load visits every pair whose key begins with prefix, in order of the keys and
// as they all were at the one revision that it returns. It stops at the first
// error of visit and returns it. The visitor may keep value. The pairs visited
// before an error are to be dropped.
func (t *Term) Load(
	ctx context.Context, prefix string, visit func(key string, value []byte) error,
) (revision int64, err error) {
	ctx, done := t.store.call(ctx, t.hold.Lost)
	defer done()
	revision, err = t.store.backend.Load(ctx, prefix, visit)
	if err != nil {
		return 0, fmt.Errorf("load of %q: %w", prefix, err)
	}
	return revision, nil
}

// Commit writes ops in order and returns the revision at which the last was
// written. A group within the limits is one transaction: all or nothing. A
// larger one is split in order, so that what a crash leaves is a beginning of
// the group. An empty group writes nothing: it checks that this term leads and
// returns the revision of now.
//
// A lost answer, or an election among etcd's members, only makes it take longer.
//
// The error is ErrInDoubt when the group may be there whole or in part, and
// ErrDeposed when the term is over; it may be both. After any other error
// nothing of the group was written.
func (t *Term) Commit(ctx context.Context, ops []Op) (revision int64, err error) {
	if err := check(ops, t.store.limits); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	ctx, done := t.store.call(ctx, t.hold.Lost)
	defer done()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("commit: %w", context.Cause(ctx))
	}
	if len(ops) == 0 {
		return t.commitPart(ctx, nil)
	}
	written := 0
	for part := range parts(ops, t.store.limits) {
		revision, err = t.commitPart(ctx, lastOfEachKey(part))
		if err != nil && written > 0 && !errors.Is(err, ErrInDoubt) {
			return 0, fmt.Errorf("%w: %d of %d operations were written: %w", ErrInDoubt, written, len(ops), err)
		}
		if err != nil {
			return 0, err
		}
		written += len(part)
	}
	return revision, nil
}

func (t *Term) commitPart(ctx context.Context, ops []Op) (revision int64, err error) {
	revision, err = t.store.backend.Commit(ctx, t.hold.Epoch, ops)
	if err != nil {
		return 0, fmt.Errorf("commit of %d operations in term %d: %w", len(ops), t.hold.Epoch, err)
	}
	return revision, nil
}

// Resign ends the term, so that another process may lead at once, and returns
// when that is known. After an error the lease ends the term in its time.
func (t *Term) Resign(ctx context.Context) error {
	ctx, done := t.store.call(ctx, nil)
	defer done()
	if err := t.hold.Release(ctx); err != nil {
		return fmt.Errorf("resign term %d: %w", t.hold.Epoch, err)
	}
	return nil
}
