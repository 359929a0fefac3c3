package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

func (v SetPool) fold(e *Engine) (Answer, error) {
	old := e.pools[v.Pool.ID]
	switch {
	case old != nil && v.Create:
		return Answer{}, conflict("pool %s exists", v.Pool.ID)
	case old == nil && v.Version != 0:
		return Answer{}, unknown("pool", v.Pool.ID)
	case old != nil:
		if err := fresh("pool", v.Pool.ID, v.Version, old.Version); err != nil {
			return Answer{}, err
		}
		if old.Priority == v.Pool.Priority && old.Weight == v.Pool.Weight && samePool(old, v) {
			return Answer{Pool: old}, nil
		}
	}
	if err := e.books.SetPool(v.Pool); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	next := &Pool{Pool: v.Pool, Version: 1}
	if old != nil {
		next.Version = old.Version + 1
	}
	e.pools[next.ID] = next
	e.batch.put(next.Key(), next)
	e.note(Note{Kind: PoolSet, Pool: next.ID, Text: next.String()})
	if text := e.overcommitment(next.ID); text != "" {
		e.note(Note{Kind: PoolOvercommitted, Pool: next.ID, Text: text})
	}
	e.roomGrew()
	e.rank(next)
	return Answer{Changed: true, Pool: next}, nil
}

// String says what a pool is: "cpus 4, priority 2, weight 1.5".
func (p *Pool) String() string {
	text := fmt.Sprintf("%v, priority %d", p.Quantity, p.Priority)
	if p.weight() != 1 {
		text += fmt.Sprintf(", weight %g", p.weight())
	}
	return text
}

// overcommitment says of a pool what is claimed beyond what it has; "" if
// nothing is.
func (e *Engine) overcommitment(pool id.Pool) string {
	view, found := e.books.Pool(pool)
	if !found || !view.Overcommitted() {
		return ""
	}
	var parts []string
	for _, t := range view.Types() {
		if sum, limited := view.Balance(t); limited && sum.Overcommitted() {
			kind, _ := t.Kind()
			parts = append(parts, fmt.Sprintf("%s of %s %s are claimed", resource.FormatAmount(t, kind, sum.Claimed),
				resource.FormatAmount(t, kind, sum.Quantity), t))
		}
	}
	return strings.Join(parts, ", ") + "; nothing is stopped, and nothing starts until there is room"
}

// samePool reports whether the pool has the quantities that are asked for. A
// type with nothing of it is a limit, and so differs from an absent one.
func samePool(old *Pool, v SetPool) bool {
	if old.Quantity.Len() != v.Pool.Quantity.Len() {
		return false
	}
	for t, q := range v.Pool.Quantity.All() {
		if had, found := old.Quantity.Get(t); !found || !had.Equal(q) {
			return false
		}
	}
	return true
}

func (v DeletePool) fold(e *Engine) (Answer, error) {
	old := e.pools[v.Pool]
	if old == nil {
		return Answer{}, unknown("pool", v.Pool)
	}
	if err := fresh("pool", v.Pool, v.Version, old.Version); err != nil {
		return Answer{}, err
	}
	if users := e.poolUsers(v.Pool); len(users) > 0 {
		return Answer{}, conflict("pool %s is used by %s", v.Pool, strings.Join(users, ", "))
	}
	if err := e.books.DeletePool(v.Pool); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	delete(e.pools, v.Pool)
	e.batch.put(old.Key(), nil)
	e.note(Note{Kind: PoolDeleted, Pool: v.Pool, Text: "deleted"})
	return Answer{Changed: true}, nil
}

// poolUsers returns the names of the services that draw from a pool, or may: by
// the wanted revision or the one that a rollback goes to. Deleting a pool is
// rare, so all services are asked.
func (e *Engine) poolUsers(pool id.Pool) []string {
	var users []string
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		if e.services[name].draws(pool) {
			users = append(users, string(name))
		}
	}
	return users
}

func (s *service) draws(pool id.Pool) bool {
	for _, t := range s.live {
		if t.record.Claim.Pool == pool || slices.Contains(t.spec().Pools, pool) {
			return true
		}
	}
	if s.record.Stopped {
		return false
	}
	for _, number := range []id.Revision{s.record.Revision, s.record.LastGood} {
		if r := s.revisions[number]; r != nil && slices.Contains(r.Spec.Pools, pool) {
			return true
		}
	}
	return false
}

// poolNames says in words which pools there are.
func (e *Engine) poolNames() string {
	if len(e.pools) == 0 {
		return "no pool"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(e.pools)) {
		names = append(names, string(name))
	}
	return strings.Join(names, ", ")
}
