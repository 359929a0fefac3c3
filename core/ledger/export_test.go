package ledger

import (
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// rankedAfter adds an agent whose name is behind all others.
func (l *Ledger) rankedAfter(name id.Agent) *account {
	a := &account{id: name, rows: new(rows)}
	l.seat(a, false)
	return a
}

// Breakages are ways to falsify books that have agent a1 with a claim of task t1
// on its first partition, and a pool: each by what Imbalance should say of it.
func Breakages() map[string]func(l *Ledger) {
	first := func(l *Ledger) *share { return &l.agents[0].shares[0] }
	return map[string]func(l *Ledger){
		"agents are out of order":       func(l *Ledger) { l.agents = append(l.agents, &account{id: "a0", rows: new(rows)}) },
		"by its name":                   func(l *Ledger) { delete(l.named, "a1") },
		"is ranked before":              func(l *Ledger) { l.slots.ranks[l.rankedAfter("a2").slot] = 0 },
		"names and":                     func(l *Ledger) { l.slots.unused = append(l.slots.unused, 0) },
		"does not know its claim":       func(l *Ledger) { l.agents[0].claims = nil },
		"agents know of 2 claims":       func(l *Ledger) { l.agents[0].claims = append(l.agents[0].claims, l.agents[0].claims[0]) },
		"claims add up to":              func(l *Ledger) { first(l).claimed = resource.Scalar(7) },
		"is free of":                    func(l *Ledger) { first(l).free = resource.Scalar(7) },
		"partitions add up to":          func(l *Ledger) { (*l.agents[0].rows)[0].end++ },
		"types are booked, 4 are there": func(l *Ledger) { *l.agents[0].rows = (*l.agents[0].rows)[:3] },
		"claims draw":                   func(l *Ledger) { l.pools[0].claims++ },
		"agents add up to":              func(l *Ledger) { l.totals["mem"].Free++ },
		"types are booked, 4":           func(l *Ledger) { l.totals["more"] = &total{} },
		"on partitions that are not there": func(l *Ledger) {
			l.claims.get("t1").slices[0].Partition = "none"
			first(l).claimed = resource.Quantity{}
			first(l).free = first(l).Quantity
			l.rule(l.agents[0])
		},
		"on pools that are not there": func(l *Ledger) { l.pools = nil },
		"overlap": func(l *Ledger) {
			double := *l.claims.get("t1")
			double.task = "t9"
			at, of, _ := l.claims.find("t9")
			l.agents[0].claims = append(l.agents[0].claims, l.claims.add(double, at, of))
		},
		"claims draw [": func(l *Ledger) { l.pools[0].used = addNeed(l.pools[0].used, need{of: "disk", amount: 1}) },
		"have ports in common": func(l *Ledger) {
			a := l.agents[0]
			twin := a.shares[len(a.shares)-1]
			named := *twin.part
			named.ID = id.Partition("twin")
			twin.part, twin.claimed, twin.free = &named, resource.Quantity{}, twin.Quantity
			a.shares = append(a.shares, twin)
			l.rule(a)
		},
	}
}
