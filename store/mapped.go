package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync/atomic"

	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/encoding/protowire"
)

// Scan reads the file of the embedded member, as etcd itself does when it starts:
// all revisions that are kept, the oldest first. Asked page by page, etcd would
// count for each page all keys that are left, and look each one up by itself.
//
// What visit gets lies in the file as it is mapped into memory; nothing is copied.
func (e *etcd) Scan(ctx context.Context, prefix string, visit func(portion int, pairs []Pair) error) (revision int64, err error) {
	if e.embedded == nil {
		return scanByLoad(ctx, e, prefix, visit)
	}
	if _, err := e.get(ctx, e.leaderKey()); err != nil { // now this member knows all that was committed before
		return 0, err
	}
	newest := newestOf(e.dataKey(""), prefix, e.embedded.pairs())
	ran := e.embedded.reading(func(tx backend.ReadTx) {
		revision, err = scanFile(ctx, tx, newest, visit)
	})
	if !ran {
		return 0, e.embedded.whyStopped(ctx)
	}
	return revision, err
}

// reading reads the member's file as it is at one moment. It is false, and nothing
// was read, when the member stops, which otherwise waits until read returns.
func (m *embedded) reading(read func(tx backend.ReadTx)) (ran bool) {
	var taken atomic.Bool // by who decides whether it is read
	done := make(chan struct{})
	m.server.Server.GoAttach(func() {
		defer close(done)
		if !taken.CompareAndSwap(false, true) {
			return
		}
		tx := m.server.Server.Backend().ConcurrentReadTx()
		tx.RLock()
		defer tx.RUnlock()
		read(tx)
	})
	select {
	case <-done:
		return true
	case <-m.server.Server.StoppingNotify():
	}
	if taken.CompareAndSwap(false, true) {
		return false
	}
	<-done
	return true
}

// What a pair takes of the member's file at least, and for how many there is room from
// the beginning at most.
const (
	pairBytes = 256
	pairsMax  = 1 << 20
)

// pairs returns about how many pairs are in the member's file.
func (m *embedded) pairs() int {
	return int(min(m.server.Server.Backend().SizeInUse()/pairBytes, pairsMax))
}

// scanFile visits the keys that are wanted of newest, without what that leaves out.
func scanFile(
	ctx context.Context, tx backend.ReadTx, newest *newest, visit func(portion int, pairs []Pair) error,
) (revision int64, err error) {
	err = tx.UnsafeForEach(schema.Key, func(at, value []byte) error {
		if len(newest.pairs)%portionPairs == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		revision = int64(binary.BigEndian.Uint64(at))
		return newest.see(at, value)
	})
	if err != nil {
		return 0, err
	}
	_, p := newPortions(ctx, visit)
	for _, pair := range newest.pairs {
		if pair.Value != nil {
			p.add(pair)
		}
	}
	return revision, p.wait()
}

// The fields of mvccpb.KeyValue that a scan looks at.
const keyField, valueField = 1, 5

var errNoPair = errors.New("what etcd keeps is not as this program knows it")

// parsePair reads a pair as etcd keeps it, without copying it. Its Value is not nil.
func parsePair(kept []byte) (p Pair, err error) {
	p.Value = kept[:0]
	for len(kept) > 0 {
		field, kind, n := protowire.ConsumeTag(kept)
		if n < 0 {
			return Pair{}, errNoPair
		}
		kept = kept[n:]
		if n = protowire.ConsumeFieldValue(field, kind, kept); n < 0 {
			return Pair{}, errNoPair
		}
		if text, length := protowire.ConsumeBytes(kept); kind == protowire.BytesType && length > 0 {
			if field == keyField {
				p.Key = text
			}
			if field == valueField {
				p.Value = text
			}
		}
		kept = kept[n:]
	}
	return p, nil
}

// newest has the newest pair of each key, in the order in which the keys came. One
// that was deleted has no Value.
type newest struct {
	own   int    // bytes before each key that are left out
	below []byte // how the keys begin, with those bytes
	pairs []Pair
	seed  maphash.Seed
	at    map[uint64]int32 // in pairs, by the hash of the key; when that is of another key, by the number after it
}

// newestOf returns one that sees the keys that begin with own and prefix, and leaves
// out own. It has room for about so many.
func newestOf(own, prefix string, pairs int) *newest {
	return &newest{
		own: len(own), below: []byte(own + prefix), seed: maphash.MakeSeed(),
		pairs: make([]Pair, 0, pairs), at: make(map[uint64]int32, pairs),
	}
}

// see takes a revision as etcd keeps it. They come with the oldest first.
func (n *newest) see(revision, kept []byte) error {
	pair, err := parsePair(kept)
	if err != nil || !bytes.HasPrefix(pair.Key, n.below) {
		return err
	}
	pair.Key = pair.Key[n.own:]
	if mvcc.IsTombstone(revision) {
		pair.Value = nil
	}
	n.put(pair)
	return nil
}

func (n *newest) put(pair Pair) {
	for hash := maphash.Bytes(n.seed, pair.Key); ; hash++ {
		at, there := n.at[hash]
		switch {
		case !there:
			n.at[hash] = int32(len(n.pairs))
			n.pairs = append(n.pairs, pair)
			return
		case bytes.Equal(n.pairs[at].Key, pair.Key):
			n.pairs[at] = pair
			return
		}
	}
}
