package store

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
	"runtime"

	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"golang.org/x/sync/errgroup"
)

// walk finds the newest pair of each key that begins with own and prefix, in a file in
// which a revision of a key does not say whether there is a newer one. But one that is
// not the first of its key says so, and what deletes a key does: only these are noted by
// their keys, and each pair is looked up among them. All but the walk from page to page
// is done by all cores.
type walk struct {
	tx          backend.ReadTx
	own, prefix string
	portions    []*portion
	seed        maphash.Seed
	newer       [newerShards]map[uint64]place // by the hash of the key; when that is of another key, by the next one of the shard
}

// newerShards is in how many parts the newer pairs are noted, each by one goroutine.
const newerShards = 8

// portion is up to portionPairs pairs one after the other, the oldest first.
type portion struct {
	revisions, kept [][]byte // as etcd keeps them, until they are parsed
	pairs           []Pair   // one that was deleted has no Value
	newer           []newer  // those that are not the first of their keys
}

// newer is a pair of a portion, and the hash of its key.
type newer struct {
	hash uint64
	at   int32
}

// place is that of a pair. The lesser is the older.
type place struct{ portion, at int32 }

func (p place) before(o place) bool {
	return p.portion < o.portion || p.portion == o.portion && p.at < o.at
}

// scan visits the pairs that are newest, and returns the revision that they are of.
func (w *walk) scan(ctx context.Context, visit func(portion int, pairs []Pair) error) (revision int64, err error) {
	w.seed = maphash.MakeSeed()
	if revision, err = w.read(ctx); err != nil {
		return 0, err
	}
	if err := w.note(); err != nil {
		return 0, err
	}
	ctx, visiting := onAllCores(ctx)
	for number, p := range w.portions {
		visiting.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return visit(number, w.newestOf(number, p.pairs))
		})
	}
	return revision, visiting.Wait()
}

// onAllCores returns a group whose context is done when one of it ends with an error.
func onAllCores(ctx context.Context) (context.Context, *errgroup.Group) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	return ctx, group
}

// read walks through all that is kept, and returns the newest revision.
func (w *walk) read(ctx context.Context) (revision int64, err error) {
	within, reading := onAllCores(ctx)
	var next *portion
	walked := w.tx.UnsafeForEach(schema.Key, func(at, value []byte) error {
		if next == nil {
			next = &portion{revisions: make([][]byte, 0, portionPairs), kept: make([][]byte, 0, portionPairs)}
		}
		next.revisions, next.kept = append(next.revisions, at), append(next.kept, value)
		revision = mvcc.BytesToRev(at).Main
		if len(next.kept) < portionPairs {
			return nil
		}
		full := next
		w.portions, next = append(w.portions, full), nil
		reading.Go(func() error { return w.parse(full) })
		return within.Err()
	})
	if next != nil {
		w.portions = append(w.portions, next)
		reading.Go(func() error { return w.parse(next) })
	}
	if err := errors.Join(reading.Wait(), walked); err != nil {
		return 0, err
	}
	return revision, context.Cause(ctx)
}

// parse reads pairs as etcd keeps them.
func (w *walk) parse(p *portion) error {
	begin := []byte(w.own + w.prefix)
	p.pairs = make([]Pair, 0, len(p.kept))
	for i := range p.kept {
		pair, version, err := parsePair(p.kept[i])
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(pair.Key, begin) {
			continue
		}
		pair.Key = pair.Key[len(w.own):]
		deletes := mvcc.IsTombstone(p.revisions[i])
		if deletes {
			pair.Value = nil
		}
		if deletes || version != 1 {
			p.newer = append(p.newer, newer{hash: maphash.Bytes(w.seed, pair.Key), at: int32(len(p.pairs))})
		}
		p.pairs = append(p.pairs, pair)
	}
	p.revisions, p.kept = nil, nil
	return nil
}

// note notes the newest of all that are not the first of their keys.
func (w *walk) note() error {
	var noting errgroup.Group
	noting.SetLimit(runtime.GOMAXPROCS(0))
	for shard := range w.newer {
		noting.Go(func() error {
			w.newer[shard] = w.noteShard(uint64(shard))
			return nil
		})
	}
	return noting.Wait()
}

func (w *walk) noteShard(shard uint64) map[uint64]place {
	found := make(map[uint64]place)
	for number, p := range w.portions {
		for _, n := range p.newer {
			if n.hash%newerShards == shard {
				hash, _, _ := w.find(found, n.hash, p.pairs[n.at].Key)
				found[hash] = place{int32(number), n.at} // portions come with the oldest first
			}
		}
	}
	return found
}

// find returns the newest of a key that is not its first pair, and where it is noted, or
// would be.
func (w *walk) find(in map[uint64]place, hash uint64, key []byte) (at uint64, newest place, there bool) {
	for ; ; hash += newerShards {
		newest, there = in[hash]
		if !there || bytes.Equal(w.portions[newest.portion].pairs[newest.at].Key, key) {
			return hash, newest, there
		}
	}
}

// newestOf returns those of a portion's pairs that are the newest of their keys, without
// those that were deleted.
func (w *walk) newestOf(number int, pairs []Pair) []Pair {
	list := pairs[:0:0]
	for at, pair := range pairs {
		if pair.Value == nil {
			continue
		}
		hash := maphash.Bytes(w.seed, pair.Key)
		if newer := w.newer[hash%newerShards]; len(newer) > 0 {
			if _, newest, there := w.find(newer, hash, pair.Key); there && (place{int32(number), int32(at)}).before(newest) {
				continue
			}
		}
		if list == nil {
			list = make([]Pair, 0, len(pairs)-at)
		}
		list = append(list, pair)
	}
	return list
}
