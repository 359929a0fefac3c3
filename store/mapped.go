package store

import (
	"context"
	"errors"
	"sync/atomic"

	"go.etcd.io/etcd/server/v3/storage/backend"
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
	drops := e.book.dropped()
	now, err := e.leader(ctx) // now this member knows all that was committed before
	if err != nil {
		return 0, err
	}
	ran := e.embedded.reading(func(tx backend.ReadTx) {
		w := walk{tx: tx, own: e.prefix}
		if revision, err = w.find(ctx); err == nil {
			e.book.fill(now.epoch, w.places, drops)
			err = w.visit(ctx, prefix, visit)
		}
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

// The fields of mvccpb.KeyValue that a scan looks at.
const keyField, versionField, valueField = 1, 4, 5

var errNoPair = errors.New("what etcd keeps is not as this program knows it")

// parsePair reads a pair as etcd keeps it, without copying it. Its Value is not nil. The
// version says how often the key was written since it came to be.
func parsePair(kept []byte) (p Pair, version uint64, err error) {
	p.Value = kept[:0]
	for len(kept) > 0 {
		field, kind, n := protowire.ConsumeTag(kept)
		if n < 0 {
			return Pair{}, 0, errNoPair
		}
		kept = kept[n:]
		switch kind {
		case protowire.BytesType:
			var text []byte
			text, n = protowire.ConsumeBytes(kept)
			if field == keyField {
				p.Key = text
			}
			if field == valueField && n > 0 {
				p.Value = text
			}
		case protowire.VarintType:
			var number uint64
			number, n = protowire.ConsumeVarint(kept)
			if field == versionField {
				version = number
			}
		default:
			n = protowire.ConsumeFieldValue(field, kind, kept)
		}
		if n < 0 {
			return Pair{}, 0, errNoPair
		}
		kept = kept[n:]
	}
	return p, version, nil
}
