package engine

import (
	"cmp"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
)

// batch gathers what changed since the last Take. A record that is put twice
// is there once, with its last value, at the place of its first change.
type batch struct {
	changes []Change
	place   map[Key]int
	notes   []Note
	orders  map[id.Agent]struct{}
	forget  []Ended
}

func (b *batch) put(key Key, record Record) {
	if i, found := b.place[key]; found {
		b.changes[i].Record = record
		return
	}
	if b.place == nil {
		b.place = make(map[Key]int)
	}
	b.place[key] = len(b.changes)
	b.changes = append(b.changes, Change{key, record})
}

// order says that what an agent should run or stop has changed.
func (b *batch) order(agent id.Agent) {
	if agent == "" {
		return
	}
	if b.orders == nil {
		b.orders = make(map[id.Agent]struct{})
	}
	b.orders[agent] = struct{}{}
}

// take hands out what was gathered and begins anew.
func (b *batch) take() Changes {
	slices.SortFunc(b.forget, func(x, y Ended) int { return cmp.Or(cmp.Compare(x.Agent, y.Agent), cmp.Compare(x.Task, y.Task)) })
	changes := Changes{
		Records: b.changes,
		Notes:   b.notes,
		Agents:  slices.Sorted(maps.Keys(b.orders)),
		Forget:  slices.Compact(b.forget),
	}
	*b = batch{}
	return changes
}
