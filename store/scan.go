package store

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// portionPairs is how many pairs are visited by one goroutine, while others visit
// those before and after.
const portionPairs = 2_000

// Pair is a key and its value.
type Pair struct{ Key, Value []byte }

// scanner is a Backend that has a faster way than Load to read everything.
type scanner interface {
	Scan(ctx context.Context, prefix string, visit func(portion int, pairs []Pair) error) (revision int64, err error)
}

// Scan is the fast way to Load everything: it visits each pair whose key begins
// with prefix, once, as they all were at the one revision that it returns, but in
// no order. The pairs come in portions, numbered from 0, several of which are
// visited at once by goroutines of their own. The visitor must not keep the pairs,
// nor change them. Scan stops at the first error of visit and returns it, when no
// visit is under way any more; then what was visited is to be dropped.
func (t *Term) Scan(ctx context.Context, prefix string, visit func(portion int, pairs []Pair) error) (revision int64, err error) {
	ctx, done := t.store.call(ctx, t.hold.Lost)
	defer done()
	if backend, ok := t.store.backend.(scanner); ok {
		revision, err = backend.Scan(ctx, prefix, visit)
	} else {
		revision, err = scanByLoad(ctx, t.store.backend, prefix, visit)
	}
	if err != nil {
		return 0, fmt.Errorf("scan of %q: %w", prefix, err)
	}
	return revision, nil
}

// scanByLoad scans a Backend that has no way of its own.
func scanByLoad(ctx context.Context, backend Backend, prefix string, visit func(portion int, pairs []Pair) error) (revision int64, err error) {
	ctx, p := newPortions(ctx, visit)
	revision, err = backend.Load(ctx, prefix, func(key string, value []byte) error {
		p.add(Pair{Key: []byte(key), Value: value})
		return nil
	})
	if visited := p.wait(); visited != nil {
		return 0, visited
	}
	return revision, err
}

// portions hands pairs out to goroutines.
type portions struct {
	visit   func(portion int, pairs []Pair) error
	running *errgroup.Group
	begun   int
	next    []Pair
}

// newPortions returns a context, too, which is done when a visit ends with an error:
// then no other visit begins.
func newPortions(ctx context.Context, visit func(portion int, pairs []Pair) error) (context.Context, *portions) {
	ctx, running := onAllCores(ctx)
	return ctx, &portions{running: running, visit: func(portion int, pairs []Pair) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return visit(portion, pairs)
	}}
}

// add hands out a pair with those before, when they are enough.
func (p *portions) add(pair Pair) {
	if p.next == nil {
		p.next = make([]Pair, 0, portionPairs)
	}
	if p.next = append(p.next, pair); len(p.next) == portionPairs {
		p.begin()
	}
}

// begin waits until a goroutine is free for the pairs that are there.
func (p *portions) begin() {
	number, pairs := p.begun, p.next
	p.begun, p.next = p.begun+1, nil
	p.running.Go(func() error { return p.visit(number, pairs) })
}

// wait hands out the last pairs, waits for all visits, and returns the first error.
func (p *portions) wait() error {
	if len(p.next) > 0 {
		p.begin()
	}
	return p.running.Wait()
}
