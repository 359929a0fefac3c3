package fairshare

import (
	"iter"

	"github.com/aloft-run/aloft/core/ordered"
)

// Line is items that wait, each for an account, in the order of their turns:
// pools by priority and share, in a pool users by share, and the items of a user
// in an order of their own. Make one with NewLine.
type Line[T any] struct {
	tree    *Tree
	number  int
	compare func(a, b T) int
	items   map[*user]*ordered.Set[T]
}

// NewLine returns an empty line of the accounts of a tree. It lives as long as the
// tree. No two items of one account may be equal by compare.
func NewLine[T any](tree *Tree, compare func(a, b T) int) *Line[T] {
	l := &Line[T]{tree: tree, number: len(tree.waiting), compare: compare, items: make(map[*user]*ordered.Set[T])}
	tree.waiting = append(tree.waiting, ordered.New(comparePools))
	for _, p := range tree.pools {
		p.waiting = append(p.waiting, ordered.New(compareUsers))
		for _, u := range p.users {
			u.waits = append(u.waits, false)
		}
	}
	return l
}

// Add puts an item in line.
func (l *Line[T]) Add(a Account, item T) {
	l.tree.settle()
	u := l.tree.user(a)
	if !u.waits[l.number] {
		u.waits[l.number] = true
		l.items[u] = ordered.New(l.compare)
		users, pools := u.pool.waiting[l.number], l.tree.waiting[l.number]
		if users.Len() == 0 {
			pools.Add(u.pool)
		}
		users.Add(u)
	}
	l.items[u].Add(item)
}

// Remove takes an item out of the line. It reports whether it was there.
func (l *Line[T]) Remove(a Account, item T) bool {
	l.tree.settle()
	u := l.tree.user(a)
	items := l.items[u]
	if items == nil || !items.Remove(item) {
		u.forget()
		return false
	}
	if items.Len() > 0 {
		return true
	}
	delete(l.items, u)
	u.waits[l.number] = false
	users, pools := u.pool.waiting[l.number], l.tree.waiting[l.number]
	if users.Remove(u); users.Len() == 0 {
		pools.Remove(u.pool)
	}
	u.forget()
	return true
}

// First returns the item whose turn it is, and the priority of its pool. It is
// false if none waits.
func (l *Line[T]) First() (item T, priority int, ok bool) {
	l.tree.settle()
	p, ok := l.tree.waiting[l.number].First()
	if !ok {
		return item, 0, false
	}
	u, _ := p.waiting[l.number].First()
	item, _ = l.items[u].First()
	return item, p.priority, true
}

// All iterates over the items as they stand: whose turn would come if none before
// had one. The line and its tree must not change meanwhile.
func (l *Line[T]) All() iter.Seq2[Account, T] {
	l.tree.settle()
	return func(yield func(Account, T) bool) {
		for p := range l.tree.waiting[l.number].All() {
			for u := range p.waiting[l.number].All() {
				for item := range l.items[u].All() {
					if !yield(Account{p.name, u.name}, item) {
						return
					}
				}
			}
		}
	}
}
