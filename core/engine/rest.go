package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// rest keeps the ports of a task that has ended from other tasks for as long as a
// router may still send requests there: one that is cut off has the old table, and
// they would reach whoever got the port. It is over when every router has confirmed a
// table without the task, or is forgotten. On the books the task goes on to hold these
// ports, and nothing else.
//
// Ports that the spec names are not kept: they are the service's wherever it runs.
func (e *Engine) rest(t *entry) {
	if e.drained(t) {
		return
	}
	ports := e.unnamedPorts(t)
	if len(ports) == 0 {
		return
	}
	if err := e.books.Restore(ledger.Claim{Task: t.record.ID, Agent: t.record.Claim.Agent, Slices: ports}); err != nil {
		return // loaded: they have been given to another task already, or the agent has them no more
	}
	e.resting[t.record.ID] = t
	if t.leaving().left.Seq == 0 {
		e.leaving = append(e.leaving, t)
	}
}

// unnamedPorts returns the slices of a task that are ports of the agent's choice.
func (e *Engine) unnamedPorts(t *entry) []ledger.Slice {
	on := e.agents[t.record.Claim.Agent]
	if on == nil {
		return nil
	}
	ports := t.spec().Ports
	var list []ledger.Slice
	for _, s := range t.record.Claim.Slices {
		if !slices.ContainsFunc(on.record.Partitions, func(p ledger.Partition) bool { return p.ID == s.Partition && p.Type == resource.Ports }) {
			continue
		}
		for _, p := range ports {
			if p.Number != 0 {
				s.Quantity = s.Quantity.Without(resource.Number(int64(p.Number)))
			}
		}
		if !s.Quantity.IsZero() {
			list = append(list, s)
		}
	}
	return list
}

// endRest gives back the ports of an ended task, if they are kept.
func (e *Engine) endRest(name id.Task) {
	if _, rests := e.resting[name]; rests {
		delete(e.resting, name)
		e.books.Release(name)
		e.roomGrew()
	}
}

// endRests gives back the ports that no router needs any more. It reports whether
// there are any.
func (e *Engine) endRests() (freed bool) {
	for _, name := range slices.Sorted(maps.Keys(e.resting)) {
		if e.drained(e.resting[name]) {
			e.endRest(name)
			freed = true
		}
	}
	return freed
}

// restLoaded has the ports rest that the leader before may have kept: the routers
// that it knew have not come yet, and may have any of its tables.
func (e *Engine) restLoaded() {
	var ended []*entry
	for _, s := range e.services {
		for _, t := range s.ended {
			if t.routed && t.record.Claim.Agent != "" && e.now.Sub(t.record.Status.Since) < 2*e.config.RouterForget {
				ended = append(ended, t)
			}
		}
	}
	slices.SortFunc(ended, func(a, b *entry) int { return cmp.Compare(a.record.ID, b.record.ID) })
	for _, t := range ended {
		e.rest(t)
	}
}
