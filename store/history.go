package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
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
		p := newPast(e.prefix, prefix)
		compacted, err := e.replay(ctx, epoch, since, p)
		switch {
		case err != nil:
			return 0, err
		case compacted >= int64(epoch):
			return 0, errors.New("it is not kept any more")
		case compacted == 0:
			return since, p.visit(visit)
		}
		since = compacted
	}
}

// replay gathers the changes after a revision. If they are not all kept, it returns from
// where on they are.
func (e *etcd) replay(ctx context.Context, epoch uint64, since int64, p *past) (compacted int64, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	changes := e.client.Watch(ctx, e.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithRev(since+1))
	for answer := range changes {
		if answer.CompactRevision > 0 {
			return answer.CompactRevision, nil
		}
		if err := answer.Err(); err != nil {
			return 0, cmp.Or(context.Cause(ctx), err)
		}
		for _, event := range answer.Events {
			if event.Kv.ModRevision == int64(epoch) && string(event.Kv.Key) == e.leaderKey() {
				return e.seeOld(ctx, since, p)
			}
			err := p.see(event.Kv.ModRevision, event.Type == clientv3.EventTypeDelete, event.Kv, func() []byte { return event.PrevKv.GetValue() })
			if err != nil {
				return 0, err
			}
		}
	}
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	return 0, ErrClosed
}

// seeOld looks into the packs as they were at a revision for what was held before changes.
// If they are not kept, it returns the next revision.
func (e *etcd) seeOld(ctx context.Context, revision int64, p *past) (compacted int64, err error) {
	if len(p.unknown) == 0 || revision == 0 {
		return 0, nil
	}
	_, err = e.pages(ctx, e.prefix+packPart, revision, packsFirst, func(key string, value []byte) error {
		return p.seeOld([]byte(key), value)
	})
	if errors.Is(err, rpctypes.ErrCompacted) {
		return revision + 1, nil
	}
	return 0, err
}
