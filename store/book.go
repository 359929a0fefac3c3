package store

import (
	"context"
	"sync"
)

// book holds the places as they are in a term of this process.
type book struct {
	mu     sync.Mutex // guards all below
	epoch  uint64     // of the term that places is of
	places *places    // owned by whoever commits; nil: nothing is known
	drops  int        // how often it became unknown
}

// of returns what is known in a term, or nil.
func (b *book) of(epoch uint64) *places {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch != epoch {
		return nil
	}
	return b.places
}

// drop forgets what was known in a term.
func (b *book) drop(epoch uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch == epoch {
		b.places, b.drops = nil, b.drops+1
	}
}

// dropped returns how often it became unknown what was known.
func (b *book) dropped() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.drops
}

// fill makes places known that were read in a term, when nothing is, unless that became
// unknown since drops: a commit may have been written after what was read. As long as
// nothing is known, none begins.
func (b *book) fill(epoch uint64, p *places, drops int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if epoch < b.epoch || b.drops != drops || b.epoch == epoch && b.places != nil {
		return
	}
	b.epoch, b.places = epoch, p
}

// placesOf returns the places for a commit in a term; if they are not known, all is read.
func (e *etcd) placesOf(ctx context.Context, epoch uint64) (*places, error) {
	if p := e.book.of(epoch); p != nil {
		return p, nil
	}
	if _, err := e.Scan(ctx, "", func(int, []Pair) error { return nil }); err != nil {
		return nil, err
	}
	if p := e.book.of(epoch); p != nil {
		return p, nil
	}
	return nil, ErrDeposed
}
