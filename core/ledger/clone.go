package ledger

import (
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Clone returns books that say the same and can be changed without these, to try
// things on. They have no finder.
func (l *Ledger) Clone() *Ledger {
	books := &Ledger{
		claims: l.claims.clone(),
		named:  make(map[id.Agent]*account, len(l.agents)),
		slots:  l.slots.clone(),
	}
	if l.totals != nil {
		books.totals = make(map[resource.Type]*total, len(l.totals))
	}
	for of, sum := range l.totals {
		copied := *sum
		copied.weights = slices.Clone(sum.weights)
		books.totals[of] = &copied
	}
	books.agents = make([]*account, len(l.agents))
	for i, a := range l.agents {
		copied := *a // the attributes and rows of an account are never changed
		copied.all = &books.claims
		copied.shares, copied.claims = slices.Clone(a.shares), slices.Clone(a.claims)
		for j := range copied.shares {
			copied.shares[j].total = books.totals[copied.shares[j].Type]
		}
		books.agents[i], books.named[a.id], books.slots.accounts[a.slot] = &copied, &copied, &copied
	}
	for _, p := range l.pools {
		copied := *p
		copied.used = slices.Clone(p.used)
		books.pools = append(books.pools, &copied)
	}
	return books
}
