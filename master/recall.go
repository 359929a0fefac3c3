package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// How much of what earlier leaders did is read, how long that may take, and when it is
// at the latest: after a minute the store may not keep it any more. A watcher that is
// further behind begins anew, and those that resume wait meanwhile.
const (
	recallMost   = 1000 // revisions
	recallWithin = 2 * time.Second
	recallAfter  = 45 * time.Second
)

// recall makes the changes of earlier terms known to watches that resume, and lets
// these begin. Only they wait for it, for it takes a tenth of a second or more, and the
// cluster can be led without. An etcd that is asked for its past writes nothing while it
// reads that: so it waits until a watch wants it, or the leader has had the time to take
// its agents in. When it fails, they begin anew, unless that is because the term is over:
// then they go on under the next leader.
func (r *reign) recall(ctx context.Context) {
	later := time.NewTimer(recallAfter)
	defer later.Stop()
	select {
	case <-r.recallNow:
	case <-later.C:
	case <-ctx.Done():
		return
	}
	reading, cancel := context.WithTimeout(ctx, recallWithin)
	defer cancel()
	since, batches, err := history(reading, r.term)
	switch {
	case err == nil:
		r.view.remember(since, batches)
	case r.asker.confirm(ctx) != nil:
		return
	default:
		r.cfg.Log.WarnContext(ctx, "watches of the terms before cannot be resumed", slog.Any("error", err))
	}
	close(r.recalled)
}

// awaitRecall returns when watches may resume.
func (r *reign) awaitRecall(ctx context.Context) error {
	select {
	case r.recallNow <- struct{}{}:
	default: // it has been asked for
	}
	select {
	case <-r.recalled:
		return nil
	case <-r.over:
		return ErrNoLeader
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// history returns the changes of earlier terms, in batches of one revision each,
// and since which revision these are all.
func history(ctx context.Context, term *store.Term) (since int64, batches [][]store.Change, err error) {
	since, err = term.History(ctx, "", recallMost, func(c store.Change) error {
		if last := len(batches) - 1; last < 0 || batches[last][0].Revision != c.Revision {
			batches = append(batches, nil)
		}
		newest := &batches[len(batches)-1]
		*newest = append(*newest, c)
		return nil
	})
	return since, batches, err
}

// remember puts batches of earlier terms before those of this one. It is too late
// when that has had so many changes that some are forgotten.
func (v *view) remember(since int64, batches [][]store.Change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := &v.story
	if s.first > 0 {
		return
	}
	list := make([]published, 0, len(batches)+len(s.batches))
	for _, batch := range batches {
		list = append(list, published{
			revision: batch[0].Revision, size: len(batch),
			told: sync.OnceValues(func() (telling, error) {
				changes, err := changesOf(batch)
				if err != nil {
					return telling{}, err
				}
				return tell(changes)
			}),
		})
		s.changes += len(batch)
	}
	s.batches, s.first, s.since = append(list, s.batches...), -int64(len(batches)), min(since, s.since)
	s.trim()
}

// changesOf reads the changes of one revision as they were written.
func changesOf(written []store.Change) ([]publishedChange, error) {
	list := make([]publishedChange, 0, len(written))
	for _, c := range written {
		change, err := changeOf(c)
		if err != nil {
			return nil, err
		}
		list = append(list, change)
	}
	return list, nil
}

// changeOf reads a change as it was written.
func changeOf(c store.Change) (publishedChange, error) {
	var before, after engine.Record
	var err error
	if c.Before != nil {
		if before, err = wire.Unmarshal(c.Before); err != nil {
			return publishedChange{}, fmt.Errorf("what %s was before revision %d: %w", c.Key, c.Revision, err)
		}
	}
	if !c.Delete {
		if after, err = wire.Unmarshal(c.Value); err != nil {
			return publishedChange{}, fmt.Errorf("%s at revision %d: %w", c.Key, c.Revision, err)
		}
	}
	switch {
	case after != nil:
		return publishedChange{engine.Change{Key: after.Key(), Record: after}, before}, nil
	case before != nil:
		return publishedChange{engine.Change{Key: before.Key()}, before}, nil
	default:
		return publishedChange{}, errors.New("nobody knows what was deleted")
	}
}
