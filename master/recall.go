package master

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// How much of what earlier leaders did is read, and how long that may take: a
// watcher that is further behind begins anew, and the cluster waits for its
// leader meanwhile.
const (
	recallMost   = 1000 // revisions
	recallWithin = 500 * time.Millisecond
)

// recall makes the changes of earlier terms known to watches that resume. When it
// fails, they cannot. What the changes say is read when the first of them does:
// that may take longer than the rest of the load.
func (v *view) recall(ctx context.Context, term *store.Term) error {
	ctx, cancel := context.WithTimeout(ctx, recallWithin)
	defer cancel()
	var batches [][]store.Change // of one revision each
	since, err := term.History(ctx, "", recallMost, func(c store.Change) error {
		if last := len(batches) - 1; last < 0 || batches[last][0].Revision != c.Revision {
			batches = append(batches, nil)
		}
		newest := &batches[len(batches)-1]
		*newest = append(*newest, c)
		return nil
	})
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.story.since = since
	for _, batch := range batches {
		v.story.append(published{
			revision: batch[0].Revision, size: len(batch),
			recalled: sync.OnceValues(func() ([]publishedChange, error) { return changesOf(batch) }),
		})
	}
	return nil
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
