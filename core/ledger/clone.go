package ledger

import (
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/resource"
)

// Clone returns books that say the same and can be changed without these, to try
// things on.
func (l *Ledger) Clone() *Ledger {
	books := &Ledger{claims: maps.Clone(l.claims)} // what is booked of a claim is never changed
	for _, a := range l.agents {
		copied := *a
		copied.attributes = maps.Clone(a.attributes)
		copied.shares, copied.rows, copied.tasks = slices.Clone(a.shares), slices.Clone(a.rows), maps.Clone(a.tasks)
		books.agents = append(books.agents, &copied)
	}
	for _, p := range l.pools {
		copied := *p
		copied.used = slices.Clone(p.used)
		books.pools = append(books.pools, &copied)
	}
	if l.totals != nil {
		books.totals = make(map[resource.Type]*total, len(l.totals))
	}
	for of, sum := range l.totals {
		copied := *sum
		copied.weights = maps.Clone(sum.weights)
		books.totals[of] = &copied
	}
	return books
}
