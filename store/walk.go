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

// walk finds the newest pair of each key, in a file in which a revision of a key does not
// say whether there is a newer one. But one that is not the first of its key says so, and
// what deletes a key does: only these are noted by their keys, and each pair is looked up
// among them. Of what packs say the places tell what is newest. All but the walk from page
// to page is done by all cores.
type walk struct {
	tx       backend.ReadTx
	own      string // what all keys of this store begin with
	places   *places
	portions []*portion
	packs    []*pack // the oldest first
	seed     maphash.Seed
	newer    [newerShards]map[uint64]at // by the hash of the key; when that is of another key, by the next one of the shard
}

// newerShards is in how many parts the newer pairs are noted, each by one goroutine.
const newerShards = 8

// portion is up to portionPairs pairs one after the other, the oldest first.
type portion struct {
	revisions, kept [][]byte // as etcd keeps them, until they are parsed
	pairs           []Pair   // one that was deleted has no Value
	newer           []newer  // those that are not the first of their keys
	newest          []Pair   // those of the pairs that are
	digests         []digest // of their keys
	packs           []*pack
	removed         []string // names of packs
}

// newer is a pair of a portion, and the hash of its key.
type newer struct {
	hash uint64
	at   int32
}

// at is where a pair is. The lesser is the older.
type at struct{ portion, pair int32 }

func (a at) before(o at) bool {
	return a.portion < o.portion || a.portion == o.portion && a.pair < o.pair
}

// find reads all that is kept, and fills the places. It returns the revision that they
// are of.
func (w *walk) find(ctx context.Context) (revision int64, err error) {
	w.seed, w.places = maphash.MakeSeed(), newPlaces()
	if revision, err = w.read(ctx); err != nil {
		return 0, err
	}
	if err := w.gather(); err != nil {
		return 0, err
	}
	onEach(newerShards, func(shard int) { w.newer[shard] = w.noteShard(uint64(shard)) })
	onEach(len(w.portions), func(number int) { w.keepNewest(number, w.portions[number]) })
	onEach(placesShards, w.placeShard)
	return revision, context.Cause(ctx)
}

// visit visits the pairs that are newest and whose keys begin with prefix.
func (w *walk) visit(ctx context.Context, prefix string, visit func(portion int, pairs []Pair) error) error {
	ctx, visiting := onAllCores(ctx)
	begun := 0
	begin := func(pairs func() []Pair) {
		number := begun
		begun++
		visiting.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return visit(number, below([]byte(prefix), pairs()))
		})
	}
	for _, p := range w.portions {
		begin(func() []Pair { return p.newest })
	}
	for first, entries, end := 0, 0, 0; end < len(w.packs); {
		entries += len(w.packs[end].entries)
		if end++; entries >= portionPairs || end == len(w.packs) {
			some := w.packs[first:end]
			begin(func() []Pair { return w.places.newestOf(some) })
			first, entries = end, 0
		}
	}
	return visiting.Wait()
}

// below returns the pairs whose keys begin with prefix.
func below(prefix []byte, pairs []Pair) []Pair {
	if len(prefix) == 0 {
		return pairs
	}
	var list []Pair
	for _, p := range pairs {
		if bytes.HasPrefix(p.Key, prefix) {
			list = append(list, p)
		}
	}
	return list
}

// onAllCores returns a group whose context is done when one of it ends with an error.
func onAllCores(ctx context.Context) (context.Context, *errgroup.Group) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	return ctx, group
}

// onEach calls work with each number below n, on all cores.
func onEach(n int, work func(number int)) {
	_ = tryEach(n, func(number int) error { work(number); return nil }) // it never fails
}

// tryEach is onEach for what may fail.
func tryEach(n int, work func(number int) error) error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for number := range n {
		group.Go(func() error { return work(number) })
	}
	return group.Wait()
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
	data, packed := []byte(w.own+dataPart), []byte(w.own+packPart)
	p.pairs = make([]Pair, 0, len(p.kept))
	for i := range p.kept {
		pair, version, err := parsePair(p.kept[i])
		if err != nil {
			return err
		}
		deletes := mvcc.IsTombstone(p.revisions[i])
		if name, is := bytes.CutPrefix(pair.Key, packed); is {
			if deletes {
				p.removed = append(p.removed, string(name))
			} else {
				p.packs = append(p.packs, &pack{name: string(name), value: pair.Value})
			}
			continue
		}
		var ours bool
		if pair.Key, ours = bytes.CutPrefix(pair.Key, data); !ours {
			continue
		}
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

// gather reads the packs that are there. Each was written once, and removed at most once.
func (w *walk) gather() error {
	removed := make(map[string]bool)
	for _, p := range w.portions {
		for _, name := range p.removed {
			removed[name] = true
		}
	}
	for _, p := range w.portions {
		for _, it := range p.packs {
			if !removed[it.name] {
				w.packs = append(w.packs, it)
			}
		}
	}
	return w.places.unpack(w.packs)
}

// noteShard notes the newest of all pairs that are not the first of their keys.
func (w *walk) noteShard(shard uint64) map[uint64]at {
	found := make(map[uint64]at)
	for number, p := range w.portions {
		for _, n := range p.newer {
			if n.hash%newerShards == shard {
				hash, _, _ := w.look(found, n.hash, p.pairs[n.at].Key)
				found[hash] = at{int32(number), n.at} // portions come with the oldest first
			}
		}
	}
	return found
}

// look returns the newest of a key that is not its first pair, and where it is noted, or
// would be.
func (w *walk) look(in map[uint64]at, hash uint64, key []byte) (noted uint64, newest at, there bool) {
	for ; ; hash += newerShards {
		newest, there = in[hash]
		if !there || bytes.Equal(w.portions[newest.portion].pairs[newest.pair].Key, key) {
			return hash, newest, there
		}
	}
}

// keepNewest finds those of a portion's pairs that are the newest of their keys, without
// those that were deleted.
func (w *walk) keepNewest(number int, p *portion) {
	for pair, of := range p.pairs {
		if of.Value == nil {
			continue
		}
		hash := maphash.Bytes(w.seed, of.Key)
		if newer := w.newer[hash%newerShards]; len(newer) > 0 {
			if _, newest, there := w.look(newer, hash, of.Key); there && (at{int32(number), int32(pair)}).before(newest) {
				continue
			}
		}
		if p.newest == nil {
			p.newest, p.digests = make([]Pair, 0, len(p.pairs)-pair), make([]digest, 0, len(p.pairs)-pair)
		}
		p.newest = append(p.newest, of)
		p.digests = append(p.digests, w.places.digest(of.Key))
	}
}

// placeShard fills a shard of the places.
func (w *walk) placeShard(shard int) {
	for _, p := range w.portions {
		for _, of := range p.digests {
			if of.shard() == shard {
				w.places.put(of, alone)
			}
		}
	}
	w.places.fillShard(shard, w.packs)
}
