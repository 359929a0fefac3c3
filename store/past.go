package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"
)

// pastStep is how many revisions of the past are read at a time.
const pastStep = 16

// historyOfFile reads the history from the file of the embedded member. A watch of the
// past would have etcd read all of it while it holds the lock that each write takes.
func (e *etcd) historyOfFile(ctx context.Context, epoch uint64, prefix string, since int64, visit func(Change) error) (int64, error) {
	if _, err := e.get(ctx, e.leaderKey()); err != nil { // now this member knows all that was committed before
		return 0, err
	}
	var err error
	p := past{kv: e.embedded.server.Server.KV(), own: e.dataKey(""), prefix: prefix, held: make(map[string][]byte), visit: visit}
	ran := e.embedded.reading(func(tx backend.ReadTx) {
		if first := p.kv.FirstRev(); since+1 < first { // what was before is compacted, or is about to be
			since = first
		}
		if since >= int64(epoch) {
			err = errors.New("it is not kept any more")
			return
		}
		err = p.read(ctx, tx, since+1, int64(epoch))
	})
	if !ran {
		return 0, e.embedded.whyStopped(ctx)
	}
	return since, err
}

// past visits what was done to keys that begin with own and prefix.
type past struct {
	kv          mvcc.WatchableKV
	own, prefix string
	held        map[string][]byte // by key: what was last seen of it, nil for one that was deleted
	visit       func(Change) error
}

// read visits the revisions from one on, and before another.
func (p *past) read(ctx context.Context, tx backend.ReadTx, from, end int64) error {
	for ; from < end; from += pastStep {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		first := mvcc.RevToBytes(mvcc.Revision{Main: from}, mvcc.NewRevBytes())
		next := mvcc.RevToBytes(mvcc.Revision{Main: min(from+pastStep, end)}, mvcc.NewRevBytes())
		revisions, kept := tx.UnsafeRange(schema.Key, first, next, 0)
		for i := range revisions {
			if err := p.see(ctx, revisions[i], kept[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// see visits a change as etcd keeps it.
func (p *past) see(ctx context.Context, revision, kept []byte) error {
	var pair mvccpb.KeyValue
	if err := proto.Unmarshal(kept, &pair); err != nil {
		return fmt.Errorf("%w: %v", errNoPair, err)
	}
	key, ours := strings.CutPrefix(string(pair.GetKey()), p.own)
	if !ours || !strings.HasPrefix(key, p.prefix) {
		return nil
	}
	change := Change{Op: Op{Key: key, Value: pair.GetValue(), Delete: mvcc.IsTombstone(revision)}, Revision: mvcc.BytesToRev(revision).Main}
	var known bool
	if change.Before, known = p.held[key]; !known && (change.Delete || pair.GetVersion() > 1) {
		change.Before = p.before(ctx, pair.GetKey(), change.Revision)
	}
	p.held[key] = change.Value
	return p.visit(change)
}

// before returns the value that a key had before a revision, nil if it is not known any
// more.
func (p *past) before(ctx context.Context, key []byte, revision int64) []byte {
	was, err := p.kv.Range(ctx, key, nil, mvcc.RangeOptions{Rev: revision - 1})
	if err != nil || len(was.KVs) == 0 {
		return nil
	}
	return was.KVs[0].GetValue()
}
