package ledger

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Pool is a share of the cluster that services draw from.
type Pool struct {
	ID       id.Pool
	Quantity resource.Vector // of each type; a type that is absent is not limited
	Priority int             // of several pools with room, the highest gives
	Weight   int64           // in thousandths: how much of what jobs get is its part, beside other pools of its priority; 0: WeightOne
}

func (p Pool) check() error {
	if err := id.Check(p.ID); err != nil {
		return err
	}
	if p.Weight < 0 || p.Weight > WeightMax {
		return fmt.Errorf("weight %d thousandths, want 1 to %d", p.Weight, WeightMax)
	}
	for t, q := range p.Quantity.All() {
		if q.Amount() < 0 {
			return fmt.Errorf("%s is below zero", t)
		}
	}
	return nil
}

// poolAccount is the books of one pool. Ports, other ranges and sets are
// counted: a pool does not say which.
type poolAccount struct {
	Pool
	number int32  // by which claims know it
	used   []need // by type; types of which nothing is claimed are not there
	claims int
}

// need is an amount of one type.
type need struct {
	of     resource.Type
	kind   resource.Kind
	amount int64
}

func findNeed(list []need, t resource.Type) (int, bool) {
	return slices.BinarySearchFunc(list, t, func(n need, t resource.Type) int { return cmp.Compare(n.of, t) })
}

// addNeed returns the list with more of one type. What adds up to nothing goes.
func addNeed(list []need, more need) []need {
	i, found := findNeed(list, more.of)
	if !found {
		return slices.Insert(list, i, more)
	}
	if list[i].amount += more.amount; list[i].amount == 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// balance returns the account of a type. It is false if the type is not
// limited: then only what is claimed is known.
func (p *poolAccount) balance(t resource.Type) (Balance, bool) {
	var sum Balance
	if i, found := findNeed(p.used, t); found {
		sum.Claimed = p.used[i].amount
	}
	limit, limited := p.Quantity.Get(t)
	if !limited {
		return sum, false
	}
	sum.Quantity = limit.Amount()
	sum.Free = sum.Quantity - sum.Claimed
	return sum, true
}

func (p *poolAccount) overcommitted() bool {
	for _, used := range p.used {
		if sum, limited := p.balance(used.of); limited && sum.Free < 0 {
			return true
		}
	}
	return false
}

// shortage returns what keeps the pool from giving what is needed, or nil. An
// overcommitted pool gives nothing at all, whatever it is short of.
func (p *poolAccount) shortage(needs []need) *ShortageError {
	for t, q := range p.Quantity.All() {
		sum, _ := p.balance(t)
		var wanted int64
		if i, found := findNeed(needs, t); found {
			wanted = needs[i].amount
		}
		if wanted > sum.Free { // also when nothing is wanted of what is overcommitted
			return &ShortageError{Pool: p.ID, Type: t, Kind: q.Kind(), Wanted: wanted, Free: sum.Free}
		}
	}
	return nil
}

// SetPool adds a pool, or resizes and re-prioritises it. A pool below its use
// is overcommitted: its claims stay, and it gives nothing until there is room.
// The error wraps ErrInvalid.
func (l *Ledger) SetPool(pool Pool) error {
	if err := pool.check(); err != nil {
		return fmt.Errorf("%w pool %q: %w", ErrInvalid, pool.ID, err)
	}
	p, at, known := l.pool(pool.ID)
	if known {
		p.Pool = pool
	} else {
		l.pools = slices.Insert(l.pools, at, &poolAccount{Pool: pool, number: l.claims.number(pool.ID)})
	}
	return nil
}

// DeletePool forgets a pool. The error is ErrUnknownPool, or ErrInUse while
// tasks hold claims on it.
func (l *Ledger) DeletePool(pool id.Pool) error {
	p, at, ok := l.pool(pool)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s", ErrUnknownPool, pool)
	case p.claims > 0:
		return fmt.Errorf("pool %s: %w by %s", pool, ErrInUse, resource.Count(p.claims, "task"))
	}
	l.pools = slices.Delete(l.pools, at, at+1)
	return nil
}
