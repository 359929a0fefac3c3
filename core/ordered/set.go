// Package ordered keeps items in an order of their own while they come and go.
//
// Adding, removing and finding the first or the next item take time by the
// logarithm of how many there are. The shape of a Set follows from what was done
// to it and nothing else, so that equal histories cost and give the same.
//
// A Set is not safe for concurrent use. What an item is ordered by must not
// change while the item is in a Set.
package ordered

import "iter"

// Set is items in order, no two of which are equal. Make one with New. It is a
// treap: a search tree by the items and a heap by the nodes' ranks.
type Set[T any] struct {
	compare func(a, b T) int
	root    *node[T]
	size    int
	seed    uint32 // of the newest rank
}

type node[T any] struct {
	item        T
	rank        uint32
	left, right *node[T]
}

// New returns an empty set in the order of compare.
func New[T any](compare func(a, b T) int) *Set[T] { return &Set[T]{compare: compare, seed: 2463534242} }

// Len returns how many items there are.
func (s *Set[T]) Len() int { return s.size }

// Add puts an item in. It must not be there.
func (s *Set[T]) Add(item T) {
	s.seed ^= s.seed << 13 // xorshift: ranks only have to look drawn
	s.seed ^= s.seed >> 17
	s.seed ^= s.seed << 5
	s.size++
	added := &node[T]{item: item, rank: s.seed}
	at := &s.root
	for *at != nil && (*at).rank >= added.rank {
		at = s.side(*at, item)
	}
	added.left, added.right = s.split(*at, item)
	*at = added
}

// side returns the link of a node behind which an item belongs.
func (s *Set[T]) side(n *node[T], item T) **node[T] {
	if s.compare(item, n.item) < 0 {
		return &n.left
	}
	return &n.right
}

// split parts a tree into what comes before an item and what comes after.
func (s *Set[T]) split(n *node[T], item T) (before, after *node[T]) {
	left, right := &before, &after
	for n != nil {
		if s.compare(item, n.item) < 0 {
			*right, right, n = n, &n.left, n.left
		} else {
			*left, left, n = n, &n.right, n.right
		}
	}
	*left, *right = nil, nil
	return before, after
}

// Remove takes an item out. It reports whether it was there.
func (s *Set[T]) Remove(item T) bool {
	at := &s.root
	for *at != nil {
		if c := s.compare(item, (*at).item); c == 0 {
			*at = join((*at).left, (*at).right)
			s.size--
			return true
		}
		at = s.side(*at, item)
	}
	return false
}

// join makes one tree of two, the first of which comes before the second.
func join[T any](before, after *node[T]) *node[T] {
	var root *node[T]
	at := &root
	for before != nil && after != nil {
		if before.rank >= after.rank {
			*at, at, before = before, &before.right, before.right
		} else {
			*at, at, after = after, &after.left, after.left
		}
	}
	if *at = before; before == nil {
		*at = after
	}
	return root
}

// First returns the first item. It is false if there is none.
func (s *Set[T]) First() (item T, ok bool) {
	n := s.root
	if n == nil {
		return item, false
	}
	for n.left != nil {
		n = n.left
	}
	return n.item, true
}

// After returns the first item that comes after the given one, which need not be
// there. It is false if there is none.
func (s *Set[T]) After(item T) (next T, ok bool) {
	for n := s.root; n != nil; {
		if s.compare(item, n.item) < 0 {
			next, ok, n = n.item, true, n.left
		} else {
			n = n.right
		}
	}
	return next, ok
}

// All iterates over the items, in order. The set must not change meanwhile.
func (s *Set[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) { s.root.walk(yield) }
}

func (n *node[T]) walk(yield func(T) bool) bool {
	return n == nil || n.left.walk(yield) && yield(n.item) && n.right.walk(yield)
}
