package memory

import (
	"bytes"
	"context"
	"strings"

	"github.com/aloft-run/aloft/store"
)

// historyMax is how many changes are remembered.
const historyMax = 10_000

// record remembers a change that is made at the next revision. The caller holds
// c.mu.
func (c *Cluster) record(op store.Op) {
	c.past = append(c.past, store.Change{
		Op:       store.Op{Key: op.Key, Value: bytes.Clone(op.Value), Delete: op.Delete},
		Revision: c.revision + 1, Before: c.values[op.Key],
	})
	if extra := len(c.past) - historyMax; extra > 0 {
		c.forgotten = c.past[extra-1].Revision
		c.past = c.past[extra:]
	}
}

// recall returns what is remembered of before a term, and since when it is all.
func (c *Cluster) recall(epoch uint64, prefix string, most int64) (changes []store.Change, since int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since = max(0, int64(epoch)-1-most, c.forgotten)
	for _, change := range c.past {
		if change.Revision > since && change.Revision < int64(epoch) && strings.HasPrefix(change.Key, prefix) {
			changes = append(changes, change)
		}
	}
	return changes, since
}

// History visits what the cluster remembers.
func (l *link) History(
	ctx context.Context, epoch uint64, prefix string, most int64, visit func(store.Change) error,
) (since int64, err error) {
	var changes []store.Change
	err = l.pass(ctx, Call{Kind: Load}, func() { changes, since = l.cluster.recall(epoch, prefix, most) })
	if err != nil {
		return 0, err
	}
	for _, change := range changes {
		if err := visit(change); err != nil {
			return 0, err
		}
	}
	return since, nil
}
