package store

import (
	"hash/maphash"
)

// When older packs are gone through for what is worth keeping: they hold wornEntries times
// as many entries as are needed, or a pack for each wornPacks of these, and somewhat more
// for each operation that makes a commit a large one. Each time it is for at most
// so many entries, bytes and packs, or for one pack.
const (
	wornEntries, wornEntriesSpare = 3, 256
	wornPacks, wornPacksSpare     = 8, 16
	tidyEntries, tidyBytes        = 2_000, 512 << 10
	tidyPacks                     = 100 // an outside cluster takes 128 operations
)

// placesShards is in how many parts the places are held, each filled by one goroutine
// when all are read.
const placesShards = 8

// places says of each key where its newest value is: in a pair of etcd's own, or in a
// pack. A key stays where it came to be until it is deleted, so it is never in both. In
// packs it stays, as one that is deleted, until the pack that says so is the oldest:
// then no other one has it.
type places struct {
	seeds  [2]maphash.Seed
	at     [placesShards]map[digest]place
	packs  []kept // the oldest first
	oldest place  // number of packs[0], as a place in it is
	// entries are in all packs, and held are those of them that say what a key holds, by shard.
	entries int
	held    [placesShards]int
}

// digest stands for a key. Two of a billion keys have the same one with a probability of
// a billionth of a billionth.
type digest [2]uint64

func (d digest) shard() int { return int(d[0] % placesShards) }

// place is where the newest of a key is: alone, or twice the number of a pack, from 2 on,
// and one more when it says that the key was deleted.
type place uint64

const alone place = 0

func (p place) deleted() bool { return p&1 != 0 }

// of is the place in this pack of what it says of a key.
func (p place) of(e entry) place {
	if e.deleted() {
		return p | 1
	}
	return p
}

// holds is 1 for an entry of a pack that says what a key holds, else 0.
func (p place) holds() int {
	if p == alone || p.deleted() {
		return 0
	}
	return 1
}

// kept is what is known of a pack.
type kept struct {
	name           string
	entries, bytes int
}

func newPlaces() *places {
	p := &places{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, oldest: 2}
	for i := range p.at {
		p.at[i] = make(map[digest]place)
	}
	return p
}

func (p *places) digest(key []byte) digest {
	return digest{maphash.Bytes(p.seeds[0], key), maphash.Bytes(p.seeds[1], key)}
}

func (p *places) digestOf(key string) digest {
	return digest{maphash.String(p.seeds[0], key), maphash.String(p.seeds[1], key)}
}

// fill reads packs, the oldest first, and notes where the newest of each of their keys is.
func (p *places) fill(packs []*pack) error {
	if err := p.unpack(packs); err != nil {
		return err
	}
	onEach(placesShards, func(shard int) { p.fillShard(shard, packs) })
	return nil
}

// unpack reads packs.
func (p *places) unpack(packs []*pack) error {
	for _, it := range packs {
		it.number = p.next(0)
		p.packs = append(p.packs, kept{name: it.name, bytes: len(it.value)})
	}
	err := tryEach(len(packs), func(number int) (err error) {
		it := packs[number]
		it.entries, it.digests, err = p.entriesOf(it.value)
		return err
	})
	for i, it := range packs {
		p.packs[i].entries = len(it.entries)
		p.entries += len(it.entries)
	}
	return err
}

func (p *places) fillShard(shard int, packs []*pack) {
	for _, it := range packs {
		for i, of := range it.digests {
			if of.shard() == shard {
				p.put(of, it.number.of(it.entries[i]))
			}
		}
	}
}

// newestOf returns what packs say that is the newest of its key, without what was deleted.
func (p *places) newestOf(packs []*pack) []Pair {
	var list []Pair
	for _, it := range packs {
		for i, e := range it.entries {
			if at, _ := p.find(it.digests[i]); at == it.number {
				list = append(list, e.Pair)
			}
		}
	}
	return list
}

// entriesOf reads a pack, without copying it, and the digests of its keys.
func (p *places) entriesOf(pack []byte) (entries []entry, digests []digest, err error) {
	if entries, _, err = entriesOf(pack); err != nil {
		return nil, nil, err
	}
	digests = make([]digest, len(entries))
	for i, e := range entries {
		digests[i] = p.digest(e.Key)
	}
	return entries, digests, nil
}

func (p *places) find(of digest) (at place, known bool) {
	at, known = p.at[of.shard()][of]
	return at, known
}

// next is the place in a pack that comes after all others and so many more.
func (p *places) next(more int) place { return p.oldest + 2*place(len(p.packs)+more) }

// put notes where the newest of a key is.
func (p *places) put(of digest, at place) {
	shard := of.shard()
	p.held[shard] += at.holds() - p.at[shard][of].holds()
	p.at[shard][of] = at
}

func (p *places) forget(of digest) {
	shard := of.shard()
	p.held[shard] -= p.at[shard][of].holds()
	delete(p.at[shard], of)
}

// needed is how many entries of packs say what a key holds.
func (p *places) needed() (sum int) {
	for _, n := range p.held {
		sum += n
	}
	return sum
}

// plan is what etcd writes for a commit, and what the places become by it.
type plan struct {
	writes  []Op // their keys begin with dataPart or packPart
	placed  []placed
	packs   []kept // that are written
	removed int    // of the oldest
}

// placed is where a key will be; gone if nothing will be known of it any more.
type placed struct {
	of   digest
	at   place
	gone bool
}

// plan finds out what is written for ops, no two of one key. The keys that are new share
// packs when ops are at least so many; else only those do that have been in one. What is
// not there is not deleted. The packs get the names that name gives.
func (p *places) plan(ops []Op, packFrom int, name func(part int) string) plan {
	var next plan
	b := packer{places: p, plan: &next, kind: packWritten, name: name}
	for _, op := range ops {
		of := p.digestOf(op.Key)
		at, known := p.find(of)
		switch {
		case op.Delete && (!known || at.deleted()):
		case known && at != alone, !known && len(ops) >= packFrom && len(op.Value) <= packBytes:
			b.add(of, op)
		default:
			next.writes = append(next.writes, Op{Key: dataPart + op.Key, Value: op.Value, Delete: op.Delete})
			next.placed = append(next.placed, placed{of: of, at: alone, gone: op.Delete})
		}
	}
	b.end()
	return next
}

// worn reports whether the oldest packs should be gone through.
func (p *places) worn(packFrom int) bool {
	needed := p.needed()
	return p.entries > wornEntries*needed+wornEntriesSpare*packFrom || len(p.packs) > needed/wornPacks+wornPacksSpare*packFrom
}

// stale returns the oldest packs, as many as are gone through at a time.
func (p *places) stale() []kept {
	n, entries, bytes := 0, 0, 0
	for _, k := range p.packs {
		if entries, bytes = entries+k.entries, bytes+k.bytes; n > 0 && (entries > tidyEntries || bytes > tidyBytes || n == tidyPacks) {
			break
		}
		n++
	}
	return p.packs[:n]
}

// move finds out what is written to do without the oldest packs, whose entries these are.
// What says that a key was deleted is not needed any more: no older pack has it.
func (p *places) move(packs [][]entry, name func(part int) string) plan {
	next := plan{removed: len(packs)}
	b := packer{places: p, plan: &next, kind: packMoved, name: name}
	for i, entries := range packs {
		own := p.oldest + 2*place(i)
		for _, e := range entries {
			of := p.digest(e.Key)
			if at, _ := p.find(of); at == own {
				b.add(of, Op{Key: string(e.Key), Value: e.Value})
			} else if at == own|1 {
				next.placed = append(next.placed, placed{of: of, gone: true})
			}
		}
		next.writes = append(next.writes, Op{Key: packPart + p.packs[i].name, Delete: true})
	}
	b.end()
	return next
}

// apply has the places be as they are when what was planned is written.
func (p *places) apply(next plan) {
	for _, k := range p.packs[:next.removed] {
		p.entries -= k.entries
	}
	for _, k := range next.packs {
		p.entries += k.entries
	}
	p.packs = append(p.packs, next.packs...)[next.removed:]
	p.oldest += 2 * place(next.removed)
	for _, it := range next.placed {
		if it.gone {
			p.forget(it.of)
		} else {
			p.put(it.of, it.at)
		}
	}
}

// packer writes packs into a plan.
type packer struct {
	places  *places
	plan    *plan
	kind    byte
	name    func(part int) string
	pack    []byte // that grows
	entries int    // in it
}

func (b *packer) add(of digest, op Op) {
	if b.entries > 0 && (len(b.pack)+op.bytes() > packBytes || b.entries == portionPairs) {
		b.end()
	}
	if b.entries == 0 {
		b.pack = append(make([]byte, 0, min(packBytes, 4*op.bytes())), b.kind)
	}
	at := b.places.next(len(b.plan.packs))
	if op.Delete {
		at |= 1
	}
	b.pack = appendEntry(b.pack, op)
	b.entries++
	b.plan.placed = append(b.plan.placed, placed{of: of, at: at})
}

func (b *packer) end() {
	if b.entries == 0 {
		return
	}
	name := b.name(len(b.plan.packs))
	b.plan.writes = append(b.plan.writes, Op{Key: packPart + name, Value: b.pack})
	b.plan.packs = append(b.plan.packs, kept{name, b.entries, len(b.pack)})
	b.pack, b.entries = nil, 0
}
