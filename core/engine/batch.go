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
	round   uint64 // counts the batches
	changes []Change
	place   map[Key]int // of those that are not tasks
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

// putTask is put for the record that a task has now, or no longer.
func (b *batch) putTask(t *entry) {
	if t.round == b.round && t.at >= 0 {
		b.changes[t.at].Record = t.record
		return
	}
	t.round, t.at, t.told = b.round, int32(len(b.changes)), true
	b.changes = append(b.changes, Change{t.record.Key(), t.record})
}

// dropTask says that a task's record is to be deleted.
func (b *batch) dropTask(t *entry) {
	b.putTask(t)
	b.changes[t.at].Record = nil
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
		Batch:   b.round,
		Records: b.changes,
		Notes:   b.notes,
		Agents:  slices.Sorted(maps.Keys(b.orders)),
		Forget:  slices.Compact(b.forget),
	}
	if len(b.changes) == 0 {
		changes.Records = nil
	}
	if len(b.notes) == 0 {
		changes.Notes = nil
	}
	b.reset()
	return changes
}

// reset begins the next batch. It is likely to be about as large as this one.
func (b *batch) reset() {
	*b = batch{round: b.round + 1, changes: make([]Change, 0, len(b.changes)), notes: make([]Note, 0, len(b.notes))}
}
