package store

import (
	"bytes"
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
	kv, p := e.embedded.server.Server.KV(), newPast(e.prefix, prefix)
	ran := e.embedded.reading(func(tx backend.ReadTx) {
		if first := kv.FirstRev(); since+1 < first { // what was before is compacted, or is about to be
			since = first
		}
		if since >= int64(epoch) {
			err = errors.New("it is not kept any more")
			return
		}
		err = inFile(ctx, tx, since+1, int64(epoch), func(revision int64, deleted bool, pair *mvccpb.KeyValue) error {
			return p.see(revision, deleted, pair, func() []byte { return before(ctx, kv, pair, revision) })
		})
		if err == nil && len(p.unknown) > 0 {
			err = beforeInFile(ctx, tx, since+1, p.seeOld)
		}
	})
	if !ran {
		return 0, e.embedded.whyStopped(ctx)
	}
	if err != nil {
		return 0, err
	}
	return since, p.visit(visit)
}

// inFile reads the revisions from one on, and before another.
func inFile(
	ctx context.Context, tx backend.ReadTx, from, end int64, see func(revision int64, deleted bool, pair *mvccpb.KeyValue) error,
) error {
	for ; from < end; from += pastStep {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		first := mvcc.RevToBytes(mvcc.Revision{Main: from}, mvcc.NewRevBytes())
		next := mvcc.RevToBytes(mvcc.Revision{Main: min(from+pastStep, end)}, mvcc.NewRevBytes())
		revisions, kept := tx.UnsafeRange(schema.Key, first, next, 0)
		for i := range revisions {
			var pair mvccpb.KeyValue
			if err := proto.Unmarshal(kept[i], &pair); err != nil {
				return fmt.Errorf("%w: %v", errNoPair, err)
			}
			if err := see(mvcc.BytesToRev(revisions[i]).Main, mvcc.IsTombstone(revisions[i]), &pair); err != nil {
				return err
			}
		}
	}
	return nil
}

// errEnough ends a walk.
var errEnough = errors.New("all is seen that is wanted")

// beforeInFile reads all that was put before a revision, the oldest first. How far apart
// these revisions are is not known.
func beforeInFile(ctx context.Context, tx backend.ReadTx, end int64, see func(key, value []byte) error) error {
	err := tx.UnsafeForEach(schema.Key, func(at, kept []byte) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case mvcc.BytesToRev(at).Main >= end:
			return errEnough
		case mvcc.IsTombstone(at):
			return nil
		}
		pair, _, err := parsePair(kept)
		if err != nil {
			return err
		}
		return see(pair.Key, pair.Value)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// before returns the value that a pair had before a revision, nil if it had none or that is
// not known any more.
func before(ctx context.Context, kv mvcc.WatchableKV, pair *mvccpb.KeyValue, revision int64) []byte {
	was, err := kv.Range(ctx, pair.GetKey(), nil, mvcc.RangeOptions{Rev: revision - 1})
	if err != nil || len(was.KVs) == 0 {
		return nil
	}
	return was.KVs[0].GetValue()
}

// past gathers what was done to keys that begin with own and prefix.
type past struct {
	own, prefix string
	changes     []Change
	held        map[string][]byte // by key: what was last seen of it, nil for one that was deleted
	unknown     map[string]int    // by key: the change of which older packs say what was before
}

func newPast(own, prefix string) *past {
	return &past{own: own, prefix: prefix, held: make(map[string][]byte), unknown: make(map[string]int)}
}

// see adds what was done to a pair of etcd's. What it was before is asked when that is not
// seen by itself.
func (p *past) see(revision int64, deleted bool, pair *mvccpb.KeyValue, before func() []byte) error {
	key, ours := strings.CutPrefix(string(pair.GetKey()), p.own)
	if name, is := strings.CutPrefix(key, packPart); ours && is && !deleted {
		return p.seePack(revision, name, pair.GetValue())
	}
	key, data := strings.CutPrefix(key, dataPart)
	if !ours || !data || !strings.HasPrefix(key, p.prefix) {
		return nil
	}
	change := Change{Op: Op{Key: key, Value: pair.GetValue(), Delete: deleted}, Revision: revision}
	if deleted {
		change.Value = nil
	}
	was, known := p.held[key]
	if !known && (deleted || pair.GetVersion() > 1) {
		was = before()
	}
	change.Before, p.held[key] = was, change.Value
	p.changes = append(p.changes, change)
	return nil
}

// seePack adds what a pack says, unless it is what older ones said.
func (p *past) seePack(revision int64, name string, pack []byte) error {
	entries, moved, err := entriesOf(pack)
	if err != nil {
		return fmt.Errorf("%w: %s", err, name)
	}
	for _, e := range entries {
		key := string(e.Key)
		if !strings.HasPrefix(key, p.prefix) {
			continue
		}
		was, known := p.held[key]
		p.held[key] = e.Value
		if moved {
			continue
		}
		if !known {
			p.unknown[key] = len(p.changes)
		}
		p.changes = append(p.changes, Change{
			Op: Op{Key: key, Value: e.Value, Delete: e.deleted()}, Revision: revision, Before: was,
		})
	}
	return nil
}

// seeOld looks into a pair of before the changes for what was held before them. Of several
// the newest comes last.
func (p *past) seeOld(key, value []byte) error {
	name, is := bytes.CutPrefix(key, []byte(p.own+packPart))
	if !is {
		return nil
	}
	entries, _, err := entriesOf(value)
	if err != nil {
		return fmt.Errorf("%w: %s", err, name)
	}
	for _, e := range entries {
		if i, wanted := p.unknown[string(e.Key)]; wanted {
			p.changes[i].Before = bytes.Clone(e.Value)
		}
	}
	return nil
}

// visit visits the changes in order.
func (p *past) visit(visit func(Change) error) error {
	for _, change := range p.changes {
		if err := visit(change); err != nil {
			return err
		}
	}
	return nil
}
