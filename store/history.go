package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Change is what was done to one key at a revision.
type Change struct {
	Op

	Revision int64
	Before   []byte // the value that the key had; nil for none, or when it is not known any more
}

// History visits what was done to the keys that begin with prefix before this
// term began, in order, and returns the revision since which that is all. It goes
// back for at most so many revisions, and no further than the store remembers.
// The visitor may keep what it gets. After an error the changes visited are to be
// dropped.
func (t *Term) History(ctx context.Context, prefix string, most int64, visit func(Change) error) (since int64, err error) {
	ctx, done := t.store.call(ctx, t.hold.Lost)
	defer done()
	since, err = t.store.backend.History(ctx, t.hold.Epoch, prefix, most, visit)
	if err != nil {
		return 0, fmt.Errorf("history of %q: %w", prefix, err)
	}
	return since, nil
}

// History reads the file of the embedded member, or watches the past of another: it ends
// where the leader's key was made.
func (e *etcd) History(ctx context.Context, epoch uint64, prefix string, most int64, visit func(Change) error) (since int64, err error) {
	since = max(0, int64(epoch)-1-most)
	if e.embedded != nil {
		return e.historyOfFile(ctx, epoch, prefix, since, visit)
	}
	for {
		compacted, err := e.replay(ctx, epoch, prefix, since, visit)
		if compacted == 0 || err != nil {
			return since, err
		}
		if compacted >= int64(epoch) {
			return 0, errors.New("it is not kept any more")
		}
		since = compacted
	}
}

// replay visits the changes after a revision. If they are not all kept, it visits
// none and returns from where on they are.
func (e *etcd) replay(ctx context.Context, epoch uint64, prefix string, since int64, visit func(Change) error) (compacted int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	past := e.client.Watch(ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(since+1))
	for answer := range past {
		if answer.CompactRevision > 0 {
			return answer.CompactRevision, nil
		}
		if err := answer.Err(); err != nil {
			return 0, cmp.Or(context.Cause(ctx), err)
		}
		for _, event := range answer.Events {
			if event.Kv.ModRevision == int64(epoch) && string(event.Kv.Key) == e.leaderKey() {
				return 0, nil
			}
			if err := visitChange(event, e.dataKey(""), prefix, visit); err != nil {
				return 0, err
			}
		}
	}
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	return 0, ErrClosed
}

// visitChange hands over an event of a key that begins with prefix.
func visitChange(event *clientv3.Event, own, prefix string, visit func(Change) error) error {
	key, ok := strings.CutPrefix(string(event.Kv.Key), own)
	if !ok || !strings.HasPrefix(key, prefix) {
		return nil
	}
	change := Change{Op: Op{Key: key, Value: event.Kv.Value}, Revision: event.Kv.ModRevision}
	if event.Type == clientv3.EventTypeDelete {
		change.Value, change.Delete = nil, true
	}
	if event.PrevKv != nil {
		change.Before = event.PrevKv.Value
	}
	return visit(change)
}
