// Package fairshare says whose turn it is: weighted dominant resource fairness
// (Ghodsi et al., NSDI 2011) over pools and, within each pool, over users.
//
// The share of a pool or user is the largest part of the cluster's total of any
// resource type that it holds, over its weight. The turn is the lowest share's,
// and of equals the first by name. A Tree keeps shares as things are charged
// and refunded, a Line keeps who waits in the order of their turns: both answer
// as if all was counted anew each time, in time by the logarithm of how many
// there are.
//
// Neither is safe for concurrent use: the master's loop owns them.
package fairshare

import (
	"cmp"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ordered"
	"github.com/aloft-run/aloft/core/resource"
)

// Account is what tasks are charged to: a user's part of a pool. Pool "" is a pool
// as any other, for what draws from none; so is user "" for what names no user.
type Account struct {
	Pool id.Pool
	User string
}

// Tree is the shares of all accounts. Make one with New.
type Tree struct {
	types   []resource.Type // that there is something of, or that something was charged of
	totals  []int64         // beside types
	pools   map[id.Pool]*pool
	waiting []*ordered.Set[*pool] // of each line, the pools that wait in it
	stale   bool                  // totals, weights or priorities changed: shares are to be counted anew
}

// holding is what a pool or user holds.
type holding struct {
	amounts []int64 // beside the tree's types, and maybe shorter
	share   float64 // over the weight
}

// pool is a node of the tree.
type pool struct {
	name     id.Pool
	priority int
	weight   float64
	holding
	users   map[string]*user
	waiting []*ordered.Set[*user] // of each line, the users that wait in it
}

// user is a leaf of the tree. Users of a pool have equal weights.
type user struct {
	name string
	pool *pool
	holding
	waits []bool // in each line
}

// New returns a tree without accounts, of a cluster without resources.
func New() *Tree { return &Tree{pools: make(map[id.Pool]*pool)} }

func comparePools(a, b *pool) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(a.share, b.share), cmp.Compare(a.name, b.name))
}

func compareUsers(a, b *user) int {
	return cmp.Or(cmp.Compare(a.share, b.share), cmp.Compare(a.name, b.name))
}

// SetTotal sets how much of a type the cluster has.
func (t *Tree) SetTotal(of resource.Type, amount int64) {
	if i := t.typeIndex(of); t.totals[i] != amount {
		t.totals[i], t.stale = amount, true
	}
}

// SetPool sets a pool's priority, by which its accounts come before those of
// others whatever their shares, and its weight, which is above zero. A pool that is
// not set has priority 0 and weight 1.
func (t *Tree) SetPool(name id.Pool, priority int, weight float64) {
	if p := t.pool(name); p.priority != priority || p.weight != weight {
		p.priority, p.weight, t.stale = priority, weight, true
	}
}

// Charge books on an account what a task takes.
func (t *Tree) Charge(a Account, amounts resource.Vector) { t.book(a, amounts, 1) }

// Refund takes off an account what a task gives back. It must have been charged.
func (t *Tree) Refund(a Account, amounts resource.Vector) { t.book(a, amounts, -1) }

// Share returns the share of a user within its pool.
func (t *Tree) Share(a Account) float64 {
	t.settle()
	if p := t.pools[a.Pool]; p != nil && p.users[a.User] != nil {
		return p.users[a.User].share
	}
	return 0
}

// PoolShare returns the share of a pool.
func (t *Tree) PoolShare(name id.Pool) float64 {
	t.settle()
	if p := t.pools[name]; p != nil {
		return p.share
	}
	return 0
}

// Compare orders two accounts by their turns: below zero if a comes before b.
func (t *Tree) Compare(a, b Account) int {
	t.settle()
	first, second := t.user(a), t.user(b)
	return cmp.Or(comparePools(first.pool, second.pool), compareUsers(first, second))
}

// Clone returns a tree with the same shares and no lines.
func (t *Tree) Clone() *Tree {
	next := &Tree{pools: make(map[id.Pool]*pool, len(t.pools)), stale: t.stale}
	next.types = append(next.types, t.types...)
	next.totals = append(next.totals, t.totals...)
	for name, p := range t.pools {
		copied := &pool{name: name, priority: p.priority, weight: p.weight, holding: p.clone(), users: make(map[string]*user, len(p.users))}
		for name, u := range p.users {
			copied.users[name] = &user{name: name, pool: copied, holding: u.clone()}
		}
		next.pools[name] = copied
	}
	return next
}

func (h *holding) clone() holding {
	return holding{amounts: append([]int64(nil), h.amounts...), share: h.share}
}

func (t *Tree) typeIndex(of resource.Type) int {
	for i, known := range t.types {
		if known == of {
			return i
		}
	}
	t.types, t.totals = append(t.types, of), append(t.totals, 0)
	return len(t.types) - 1
}

func (t *Tree) pool(name id.Pool) *pool {
	p := t.pools[name]
	if p == nil {
		p = &pool{name: name, weight: 1, users: make(map[string]*user)}
		for range t.waiting {
			p.waiting = append(p.waiting, ordered.New(compareUsers))
		}
		t.pools[name] = p
	}
	return p
}

func (t *Tree) user(a Account) *user {
	p := t.pool(a.Pool)
	u := p.users[a.User]
	if u == nil {
		u = &user{name: a.User, pool: p, waits: make([]bool, len(t.waiting))}
		p.users[a.User] = u
	}
	return u
}

// book adds to what an account and its pool hold, and keeps the lines in order.
func (t *Tree) book(a Account, amounts resource.Vector, sign int64) {
	t.settle()
	u := t.user(a)
	for of, q := range amounts.All() {
		i := t.typeIndex(of)
		u.add(i, sign*q.Amount())
		u.pool.add(i, sign*q.Amount())
	}
	share, poolShare := t.shareOf(&u.holding, 1), t.shareOf(&u.pool.holding, u.pool.weight)
	if share == u.share && poolShare == u.pool.share {
		u.forget()
		return
	}
	for i := range t.waiting {
		if u.waits[i] {
			u.pool.waiting[i].Remove(u)
		}
		if u.waits[i] || u.pool.waiting[i].Len() > 0 {
			t.waiting[i].Remove(u.pool)
		}
	}
	u.share, u.pool.share = share, poolShare
	for i := range t.waiting {
		if u.waits[i] {
			u.pool.waiting[i].Add(u)
		}
		if u.pool.waiting[i].Len() > 0 {
			t.waiting[i].Add(u.pool)
		}
	}
	u.forget()
}

func (h *holding) add(i int, amount int64) {
	for len(h.amounts) <= i {
		h.amounts = append(h.amounts, 0)
	}
	h.amounts[i] += amount
}

// shareOf returns the dominant share of what is held. Of a type of which the
// cluster has nothing at the moment, nobody has a share.
func (t *Tree) shareOf(h *holding, weight float64) float64 {
	share := 0.0
	for i, amount := range h.amounts {
		if t.totals[i] > 0 {
			share = max(share, float64(amount)/float64(t.totals[i]))
		}
	}
	return share / weight
}

// forget drops a user who holds nothing and waits for nothing.
func (u *user) forget() {
	for _, amount := range u.amounts {
		if amount != 0 {
			return
		}
	}
	for _, waits := range u.waits {
		if waits {
			return
		}
	}
	delete(u.pool.users, u.name)
}

// settle counts all shares anew, if what they depend on has changed.
func (t *Tree) settle() {
	if !t.stale {
		return
	}
	t.stale = false
	for i := range t.waiting {
		t.waiting[i] = ordered.New(comparePools)
	}
	for _, p := range t.pools { // in any order: the sets have one of their own
		p.share = t.shareOf(&p.holding, p.weight)
		for i := range p.waiting {
			p.waiting[i] = ordered.New(compareUsers)
		}
		for _, u := range p.users {
			u.share = t.shareOf(&u.holding, 1)
			for i, waits := range u.waits {
				if waits {
					p.waiting[i].Add(u)
				}
			}
		}
		for i, users := range p.waiting {
			if users.Len() > 0 {
				t.waiting[i].Add(p)
			}
		}
	}
}
