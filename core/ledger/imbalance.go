package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// Imbalance adds everything up again from the claims, slowly, and returns an
// error for the first sum that differs from the running one, in the order of
// names. It is for tests and for the master's self-check.
func (l *Ledger) Imbalance() error {
	if err := l.misplaced(); err != nil {
		return err
	}
	claimed, drawn, err := l.recount()
	if err != nil {
		return err
	}
	totals := make(map[resource.Type]*total)
	for _, a := range l.agents {
		if err := a.imbalance(claimed, totals); err != nil {
			return fmt.Errorf("agent %s: %w", a.id, err)
		}
	}
	known := 0
	for _, a := range l.agents {
		known += len(a.claims)
	}
	if known != l.claims.count {
		return fmt.Errorf("agents know of %d claims, the books of %d", known, l.claims.count)
	}
	if len(claimed) > 0 {
		return fmt.Errorf("claims on partitions that are not there: %d", len(claimed))
	}
	for _, p := range l.pools {
		if err := p.imbalance(drawn[p.ID]); err != nil {
			return fmt.Errorf("pool %s: %w", p.ID, err)
		}
		delete(drawn, p.ID)
	}
	if delete(drawn, ""); len(drawn) > 0 {
		return fmt.Errorf("claims on pools that are not there: %d", len(drawn))
	}
	return compareTotals(l.totals, totals)
}

// misplaced returns an error if an agent is not where it is looked for.
func (l *Ledger) misplaced() error {
	for i, a := range l.agents {
		if i > 0 && l.agents[i-1].id >= a.id {
			return errors.New("agents are out of order")
		}
		if l.named[a.id] != a || l.slots.accounts[a.slot] != a {
			return fmt.Errorf("agent %s is not found by its name or slot", a.id)
		}
		if i > 0 && l.slots.ranks[l.agents[i-1].slot] >= l.slots.ranks[a.slot] {
			return fmt.Errorf("agent %s is ranked before one of a smaller name", a.id)
		}
	}
	if len(l.named) != len(l.agents) || len(l.slots.accounts)-len(l.slots.unused) != len(l.agents) {
		return fmt.Errorf("%d agents have %d names and %d slots", len(l.agents), len(l.named), len(l.slots.accounts)-len(l.slots.unused))
	}
	return nil
}

// place names a partition in the cluster.
type place struct {
	agent     id.Agent
	partition id.Partition
}

// drawing is what claims draw from one pool.
type drawing struct {
	claims int
	needs  []need
}

// recount adds up all claims by partition and by pool.
func (l *Ledger) recount() (map[place]resource.Quantity, map[id.Pool]drawing, error) {
	claimed, drawn := make(map[place]resource.Quantity), make(map[id.Pool]drawing)
	for claim := range l.Claims() {
		a, ok := l.agent(claim.Agent)
		if !ok || !slices.ContainsFunc(a.claims, func(cell uint32) bool { return l.claims.at(cell).task == claim.Task }) {
			return nil, nil, fmt.Errorf("task %s: agent %s does not know its claim", claim.Task, claim.Agent)
		}
		d := drawn[claim.Pool]
		d.claims++
		for _, slice := range claim.Slices {
			at := place{claim.Agent, slice.Partition}
			sum, err := claimed[at].Add(slice.Quantity)
			if err != nil {
				return nil, nil, fmt.Errorf("task %s: partition %s of agent %s: %w", claim.Task, slice.Partition, claim.Agent, err)
			}
			claimed[at] = sum
			if s, ok := a.share(slice.Partition); ok {
				d.needs = addNeed(d.needs, need{s.Type, slice.Quantity.Kind(), slice.Quantity.Amount()})
			}
		}
		drawn[claim.Pool] = d
	}
	return claimed, drawn, nil
}

// imbalance checks an agent against what claims hold of it, which it takes out
// of the map, and adds it to the totals.
func (a *account) imbalance(claimed map[place]resource.Quantity, totals map[resource.Type]*total) error {
	rows := make(map[resource.Type]Balance)
	for i := range a.shares {
		s := &a.shares[i]
		at := place{a.id, s.ID}
		if !s.claimed.Equal(claimed[at]) {
			return fmt.Errorf("partition %s: claims add up to %s, the books say %s", s.ID, claimed[at], s.claimed)
		}
		delete(claimed, at)
		sum := s.balance(a.closed)
		scalar := s.kind() == resource.KindScalar
		if s.free.Meets(s.claimed) || !scalar && !s.free.FitsIn(s.Quantity) || scalar && sum.Outside != 0 ||
			!scalar && sum.Free+meeting(s.Quantity, s.claimed) != sum.Quantity {
			return fmt.Errorf("partition %s: %s is free of %s with %s claimed", s.ID, s.free, s.Quantity, s.claimed)
		}
		rows[s.Type] = rows[s.Type].plus(sum)
		if totals[s.Type] == nil {
			totals[s.Type] = new(total)
		}
		totals[s.Type].shares++
		totals[s.Type].change(s.Weight, sum)
	}
	for _, r := range *a.rows {
		if said := a.balance(&r); rows[r.of] != said || a.available(&r) != said.Available {
			return fmt.Errorf("%s: partitions add up to %+v, the books say %+v", r.of, rows[r.of], said)
		}
	}
	if len(rows) != len(*a.rows) {
		return fmt.Errorf("%d types are booked, %d are there", len(*a.rows), len(rows))
	}
	return checkApart(a.shares)
}

// meeting returns how many numbers or members a and b have in common.
func meeting(a, b resource.Quantity) int64 { return a.Amount() - a.Without(b).Amount() }

func (p *poolAccount) imbalance(drawn drawing) error {
	same := func(a, b need) bool { return a.of == b.of && a.amount == b.amount }
	if p.claims != drawn.claims || !slices.EqualFunc(p.used, drawn.needs, same) {
		return fmt.Errorf("%d claims draw %v, the books say %d and %v", drawn.claims, drawn.needs, p.claims, p.used)
	}
	return nil
}

func compareTotals(booked, counted map[resource.Type]*total) error {
	for _, t := range slices.Sorted(maps.Keys(counted)) {
		got, want := booked[t], counted[t]
		if got == nil || got.Balance != want.Balance || got.shares != want.shares || !slices.Equal(got.weights, want.weights) {
			return fmt.Errorf("%s of the cluster: agents add up to %+v, the books say %+v", t, want, got)
		}
	}
	if len(booked) != len(counted) {
		return fmt.Errorf("%d types are booked, %d are there", len(booked), len(counted))
	}
	return nil
}
