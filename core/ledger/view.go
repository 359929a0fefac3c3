package ledger

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// AgentView reads the books of one agent. It is good until the agent is set or
// removed.
type AgentView struct {
	account *account
}

// PartitionView is one partition as the books have it.
type PartitionView struct {
	Partition
	Claimed resource.Quantity
	Free    resource.Quantity // of the quantity; a scalar below zero is overcommitted
	Balance Balance
	Retired bool // its agent no longer has it: it goes with its last claim
}

// Agent returns the books of one agent.
func (l *Ledger) Agent(name id.Agent) (AgentView, bool) {
	a, ok := l.agent(name)
	return AgentView{a}, ok
}

// Agents iterates over the agents, in the order of their names.
func (l *Ledger) Agents() iter.Seq[AgentView] {
	return func(yield func(AgentView) bool) {
		for _, a := range l.agents {
			if !yield(AgentView{a}) {
				return
			}
		}
	}
}

// AgentCount returns how many agents there are.
func (l *Ledger) AgentCount() int { return len(l.agents) }

// ID returns the agent's name.
func (v AgentView) ID() id.Agent { return v.account.id }

// Closed reports whether the agent takes no new claims.
func (v AgentView) Closed() bool { return v.account.closed }

// Attribute returns one attribute of the agent.
func (v AgentView) Attribute(name string) (string, bool) {
	for i := range v.account.attributes {
		if a := &v.account.attributes[i]; a.name == name {
			return a.value, true
		}
	}
	return "", false
}

// Balance returns the account of one type on the agent.
func (v AgentView) Balance(t resource.Type) Balance {
	if r, ok := v.account.row(t); ok {
		return v.account.balance(r)
	}
	return Balance{}
}

// Available returns what new claims may take of one type.
func (v AgentView) Available(t resource.Type) int64 {
	if r, ok := v.account.row(t); ok {
		return v.account.available(r)
	}
	return 0
}

// Types iterates over the types that the agent has, in order.
func (v AgentView) Types() iter.Seq[resource.Type] {
	return func(yield func(resource.Type) bool) {
		for _, r := range *v.account.rows {
			if !yield(r.of) {
				return
			}
		}
	}
}

// Partitions iterates over the agent's partitions: by type, heavier first, then
// by name.
func (v AgentView) Partitions() iter.Seq[PartitionView] {
	return func(yield func(PartitionView) bool) {
		for i := range v.account.shares {
			s := &v.account.shares[i]
			if !yield(PartitionView{s.Partition, s.claimed, s.free, s.balance(v.account.closed), s.retired}) {
				return
			}
		}
	}
}

// Agent returns the agent as SetAgent takes it. It has the partitions that are
// retired but claimed, with nothing in them, so that its claims can be restored
// on what is returned.
func (v AgentView) Agent() Agent {
	a := v.account
	agent := Agent{ID: a.id, Closed: a.closed}
	if len(a.attributes) > 0 {
		agent.Attributes = make(map[string]string, len(a.attributes))
	}
	for _, has := range a.attributes {
		agent.Attributes[has.name] = has.value
	}
	for i := range a.shares {
		agent.Partitions = append(agent.Partitions, a.shares[i].Partition)
	}
	return agent
}

// Claims iterates over the claims that are on the agent now, in the order of their
// tasks. The claims are the ledger's own and not to be changed.
func (v AgentView) Claims() iter.Seq[Claim] {
	return func(yield func(Claim) bool) {
		list := make([]Claim, 0, len(v.account.claims))
		for _, cell := range v.account.claims {
			list = append(list, v.account.all.claim(v.account.all.at(cell), v.account.id))
		}
		slices.SortFunc(list, func(a, b Claim) int { return cmp.Compare(a.Task, b.Task) })
		for _, claim := range list {
			if !yield(claim) {
				return
			}
		}
	}
}

// ClaimCount returns how many claims are on the agent.
func (v AgentView) ClaimCount() int { return len(v.account.claims) }

// PoolView reads the books of one pool. It is good until the pool is deleted.
type PoolView struct {
	account *poolAccount
}

// Pool returns the books of one pool.
func (l *Ledger) Pool(name id.Pool) (PoolView, bool) {
	p, _, ok := l.pool(name)
	return PoolView{p}, ok
}

// Pools iterates over the pools, in the order of their names.
func (l *Ledger) Pools() iter.Seq[PoolView] {
	return func(yield func(PoolView) bool) {
		for _, p := range l.pools {
			if !yield(PoolView{p}) {
				return
			}
		}
	}
}

// Pool returns the pool as SetPool takes it.
func (v PoolView) Pool() Pool { return v.account.Pool }

// Balance returns the account of one type in the pool. It is false for a type
// that the pool does not limit: then it says only what is claimed.
func (v PoolView) Balance(t resource.Type) (Balance, bool) { return v.account.balance(t) }

// Types returns the types that the pool limits or of which it has given, in
// order.
func (v PoolView) Types() []resource.Type {
	types := slices.Collect(v.account.Quantity.Types())
	for _, used := range v.account.used {
		types = append(types, used.of)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// ClaimCount returns how many claims draw from the pool.
func (v PoolView) ClaimCount() int { return v.account.claims }

// Overcommitted reports whether the pool has less of a type than was taken.
func (v PoolView) Overcommitted() bool { return v.account.overcommitted() }

// Shortage returns what keeps the pool from giving what is wanted with so many
// ports, or nil.
func (v PoolView) Shortage(wanted resource.Vector, ports int) *ShortageError {
	var few [4]need // so that the usual few need no memory
	needs := few[:0]
	for t, q := range wanted.All() {
		if q.Amount() > 0 {
			needs = addNeed(needs, need{t, q.Kind(), q.Amount()})
		}
	}
	if ports > 0 {
		needs = addNeed(needs, need{resource.Ports, resource.KindRanges, int64(ports)})
	}
	return v.account.shortage(needs)
}

// ClaimOf returns what a task holds. The claim is the ledger's own and not to
// be changed.
func (l *Ledger) ClaimOf(task id.Task) (Claim, bool) {
	own := l.claims.get(task)
	if own == nil {
		return Claim{}, false
	}
	return l.claims.claim(own, l.slots.accounts[own.slot].id), true
}

// Claims iterates over all claims, in the order of their tasks. The claims are
// the ledger's own and not to be changed.
func (l *Ledger) Claims() iter.Seq[Claim] {
	return func(yield func(Claim) bool) {
		for _, task := range slices.Sorted(l.claims.tasks) {
			if claim, holds := l.ClaimOf(task); holds && !yield(claim) {
				return
			}
		}
	}
}

// Types returns the types that the cluster has, in order.
func (l *Ledger) Types() []resource.Type { return slices.Sorted(maps.Keys(l.totals)) }
