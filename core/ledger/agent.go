package ledger

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// WeightOne is the weight of a partition that is neither preferred nor avoided.
// WeightMax is the highest weight.
const (
	WeightOne = 1000
	WeightMax = 1_000_000 * WeightOne
)

// Partition is a share of one resource type on one agent.
type Partition struct {
	ID       id.Partition
	Type     resource.Type
	Quantity resource.Quantity
	Weight   int64 // in thousandths, from 1 to WeightMax; a heavier partition is chosen first
}

// Agent is one machine and what it offers.
type Agent struct {
	ID         id.Agent
	Attributes map[string]string
	Partitions []Partition
	Closed     bool // takes no new claims: it drains or is out of reach
}

// problems returns what is wrong with a, whatever the books say.
func (a Agent) problems() []error {
	var found []error
	if err := id.Check(a.ID); err != nil {
		found = append(found, err)
	}
	seen := make(map[id.Partition]bool, len(a.Partitions))
	for _, p := range a.Partitions {
		if err := p.check(); err != nil {
			found = append(found, fmt.Errorf("partition %s: %w", p.ID, err))
		}
		if seen[p.ID] {
			found = append(found, fmt.Errorf("partition %s is there twice", p.ID))
		}
		seen[p.ID] = true
	}
	return found
}

func (p Partition) check() error {
	if err := id.Check(p.ID); err != nil {
		return err
	}
	if p.Weight < 1 || p.Weight > WeightMax {
		return fmt.Errorf("weight %d thousandths, want 1 to %d", p.Weight, WeightMax)
	}
	if p.Quantity.Amount() < 0 {
		return fmt.Errorf("%s is below zero", p.Type)
	}
	if ranges := p.Quantity.Ranges(); p.Type == resource.Ports && len(ranges) > 0 &&
		(ranges[0].First < 1 || ranges[len(ranges)-1].Last > resource.PortMax) {
		return fmt.Errorf("ports %v are not within 1-%d", p.Quantity, resource.PortMax)
	}
	_, err := resource.NewVector(resource.Item{Type: p.Type, Quantity: p.Quantity})
	return err
}

// SetAgent adds an agent, or replaces what it offers and keeps its claims. An
// agent with less than before may become overcommitted: then its claims stay,
// and it takes no new ones until there is room. A partition that is gone but
// claimed stays, with nothing of its type, until the last claim is given back.
//
// The error joins all problems. It wraps ErrInvalid, or ErrInUse if a claimed
// partition has another type, or what is claimed on one is now in another.
func (l *Ledger) SetAgent(agent Agent) error {
	if problems := agent.problems(); len(problems) > 0 {
		return fmt.Errorf("%w agent %q: %w", ErrInvalid, agent.ID, errors.Join(problems...))
	}
	old, known := l.agent(agent.ID)
	if !known {
		old = &account{id: agent.ID, rows: new(rows)}
	}
	next := newAccount(len(agent.Partitions), old.claims)
	next.id, next.slot, next.all, next.closed = agent.ID, old.slot, &l.claims, agent.Closed
	next.attributes = l.alike.sameAttributes(agent.Attributes)
	var err error
	if next.shares, err = old.replaced(next.shares, l.alike.sameParts(agent.Partitions)); err != nil {
		return fmt.Errorf("agent %s: %w", agent.ID, err)
	}
	l.rule(next)
	if err := l.roomInTotals(old, next); err != nil {
		return fmt.Errorf("%w agent %s: %w", ErrInvalid, agent.ID, err)
	}
	l.detach(old)
	l.attach(next)
	l.seat(next, known)
	l.changed(next)
	return nil
}

// seat puts an agent's account where the one before stands, or among the others.
func (l *Ledger) seat(a *account, known bool) {
	at := l.at(a.id)
	if known {
		l.agents[at] = a
	} else {
		l.agents = slices.Insert(l.agents, at, a)
		a.slot = l.slots.take()
		l.slots.rank(l.agents, at)
	}
	l.slots.accounts[a.slot] = a
	if l.named == nil {
		l.named = make(map[id.Agent]*account)
	}
	l.named[a.id], l.recent = a, nil
}

// roomInTotals returns an error if the cluster would have more than 64 bits of
// a type.
func (l *Ledger) roomInTotals(old, next *account) error {
	left := make(map[resource.Type]int64)
	for _, r := range *next.rows {
		left[r.of] = math.MaxInt64 - l.Total(r.of)
	}
	for _, r := range *old.rows {
		left[r.of] += old.balance(&r).Quantity
	}
	for i := range next.shares {
		s := &next.shares[i]
		if s.Quantity.Amount() > left[s.Type] {
			return fmt.Errorf("%s of the cluster: %w", s.Type, resource.ErrOverflow)
		}
		left[s.Type] -= s.Quantity.Amount()
	}
	return nil
}

// attach adds an agent's account to the totals.
func (l *Ledger) attach(a *account) {
	for i := range a.shares {
		s := &a.shares[i]
		s.total = l.total(s.Type)
		s.total.shares++
		s.total.change(s.Weight, s.balance(a.closed))
	}
}

// detach takes an agent's account out of the totals.
func (l *Ledger) detach(a *account) {
	for i := range a.shares {
		s := &a.shares[i]
		sum := l.total(s.Type)
		sum.shares--
		sum.change(s.Weight, Balance{}.minus(s.balance(a.closed)))
		if sum.shares == 0 {
			delete(l.totals, s.Type)
		}
	}
}

// CloseAgent makes an agent refuse new claims. Those it has stay. The error is
// ErrUnknownAgent.
func (l *Ledger) CloseAgent(agent id.Agent) error { return l.setClosed(agent, true) }

// OpenAgent makes an agent take claims again. The error is ErrUnknownAgent.
func (l *Ledger) OpenAgent(agent id.Agent) error { return l.setClosed(agent, false) }

func (l *Ledger) setClosed(agent id.Agent, closed bool) error {
	a, ok := l.agent(agent)
	if !ok {
		return fmt.Errorf("%w: %s", ErrUnknownAgent, agent)
	}
	l.detach(a)
	a.closed = closed
	l.rule(a)
	l.attach(a)
	l.changed(a)
	return nil
}

// RemoveAgent forgets an agent. The error is ErrUnknownAgent, or ErrInUse while
// tasks hold claims on it.
func (l *Ledger) RemoveAgent(agent id.Agent) error {
	a, ok := l.agent(agent)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s", ErrUnknownAgent, agent)
	case len(a.claims) > 0:
		return fmt.Errorf("agent %s: %w by %s", agent, ErrInUse, resource.Count(len(a.claims), "task"))
	}
	l.detach(a)
	at := l.at(agent)
	l.agents = slices.Delete(l.agents, at, at+1)
	delete(l.named, agent)
	l.recent = nil
	l.slots.give(a.slot)
	l.changed(a)
	return nil
}
