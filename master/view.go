package master

import (
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
)

// view is the published state: what is durable, and nothing else. Readers see
// it without waiting for the loop. The records are those of the engine, which
// never change once they are here.
type view struct {
	mu        sync.RWMutex // guards all below
	revision  int64
	records   map[engine.Key]engine.Record
	byService map[id.Service]*serviceIndex
	byAgent   map[id.Agent]map[id.Task]*engine.Task
	story     story
	published chan struct{} // closed and made anew at each publication
}

// serviceIndex finds what belongs to a service.
type serviceIndex struct {
	tasks       map[id.Task]*engine.Task
	revisions   map[id.Revision]*engine.Revision
	deployments map[id.Deployment]*engine.Deployment
}

func newView(cfg Config, records []engine.Record, revision int64) *view {
	v := &view{
		revision:  revision,
		records:   make(map[engine.Key]engine.Record, len(records)),
		byService: make(map[id.Service]*serviceIndex),
		byAgent:   make(map[id.Agent]map[id.Task]*engine.Task),
		story:     newStory(cfg, revision),
		published: make(chan struct{}),
	}
	for _, record := range records {
		v.put(record.Key(), record)
	}
	return v
}

// apply publishes changes that are durable at revision.
func (v *view) apply(revision int64, changes engine.Changes) {
	if len(changes.Records) == 0 && len(changes.Notes) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.revision = revision
	for _, change := range changes.Records {
		v.put(change.Key, change.Record)
	}
	v.story.add(revision, changes)
	close(v.published)
	v.published = make(chan struct{})
}

// put replaces what stands under key; nil takes it away.
func (v *view) put(key engine.Key, record engine.Record) {
	old := v.records[key]
	if record == nil {
		delete(v.records, key)
	} else {
		v.records[key] = record
	}
	switch r := cmpOr(record, old).(type) {
	case *engine.Task:
		v.indexTask(r, record == nil)
	case *engine.Revision:
		set(v.service(r.Service).revisions, r.Number, r, record == nil)
	case *engine.Deployment:
		set(v.service(r.Service).deployments, r.ID, r, record == nil)
	case *engine.Service:
		if v.service(r.Name); record == nil {
			delete(v.byService, r.Name)
		}
	}
}

func cmpOr(record, old engine.Record) engine.Record {
	if record != nil {
		return record
	}
	return old
}

func set[K comparable, V any](m map[K]V, key K, value V, gone bool) {
	if gone {
		delete(m, key)
	} else {
		m[key] = value
	}
}

func (v *view) indexTask(t *engine.Task, gone bool) {
	set(v.service(t.Service).tasks, t.ID, t, gone)
	if t.Claim.Agent == "" {
		return
	}
	tasks, ok := v.byAgent[t.Claim.Agent]
	if !ok {
		tasks = make(map[id.Task]*engine.Task)
		v.byAgent[t.Claim.Agent] = tasks
	}
	set(tasks, t.ID, t, gone)
}

func (v *view) service(name id.Service) *serviceIndex {
	index, ok := v.byService[name]
	if !ok {
		index = &serviceIndex{
			tasks:       make(map[id.Task]*engine.Task),
			revisions:   make(map[id.Revision]*engine.Revision),
			deployments: make(map[id.Deployment]*engine.Deployment),
		}
		v.byService[name] = index
	}
	return index
}

// at returns the revision of the store that the view shows.
func (v *view) at() int64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.revision
}

// find returns the record of that kind and name, or false.
func find[R engine.Record](v *view, key engine.Key) (R, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r, ok := v.records[key].(R)
	return r, ok
}

// all returns the records of one type that pass keep, in no order.
func all[R engine.Record](v *view, keep func(R) bool) []R {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var list []R
	for _, record := range v.records {
		if r, ok := record.(R); ok && keep(r) {
			list = append(list, r)
		}
	}
	return list
}

// parts is what belongs to one service.
type parts struct {
	tasks       []*engine.Task       // by name
	revisions   []*engine.Revision   // newest first
	deployments []*engine.Deployment // newest first
}

func (v *view) parts(service id.Service) parts {
	v.mu.RLock()
	defer v.mu.RUnlock()
	index, ok := v.byService[service]
	if !ok {
		return parts{}
	}
	p := parts{
		tasks:       sorted(index.tasks),
		revisions:   sorted(index.revisions),
		deployments: slices.Collect(maps.Values(index.deployments)),
	}
	slices.Reverse(p.revisions)
	slices.SortFunc(p.deployments, newestFirst)
	return p
}

func newestFirst(a, b *engine.Deployment) int {
	if c := b.StartedAt.Compare(a.StartedAt); c != 0 {
		return c
	}
	return len(b.ID) - len(a.ID)
}

func sorted[K interface{ ~string | ~int64 }, V any](m map[K]V) []V {
	list := make([]V, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[key])
	}
	return list
}

// tasksOf returns the tasks of an agent that are not over, and those that are
// and stand in the history.
func (v *view) tasksOf(agent id.Agent) iter.Seq[id.Task] {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return maps.Keys(maps.Clone(v.byAgent[agent]))
}

// countTasks returns how many tasks hold a claim on an agent.
func (v *view) countTasks(agent id.Agent) int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	count := 0
	for _, t := range v.byAgent[agent] {
		if t.Status.State.HoldsClaim() {
			count++
		}
	}
	return count
}

// taskWithRevision returns a task and its revision, nil where there is none.
func (v *view) taskWithRevision(name id.Task) (*engine.Task, *engine.Revision) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	t, ok := v.records[engine.Key{Kind: engine.TaskKind, ID: string(name)}].(*engine.Task)
	if !ok {
		return nil, nil
	}
	rev, _ := v.records[engine.RevisionKey(t.Service, t.Revision)].(*engine.Revision)
	return t, rev
}

// claimed returns what a task holds by type, ports included.
func (v *view) claimed(t *engine.Task) resource.Vector {
	agent, ok := find[*engine.Agent](v, engine.Key{Kind: engine.AgentKind, ID: string(t.Claim.Agent)})
	if !ok {
		return resource.Vector{}
	}
	types := make(map[id.Partition]ledger.Partition, len(agent.Partitions))
	for _, p := range agent.Partitions {
		types[p.ID] = p
	}
	var held resource.Vector
	for _, slice := range t.Claim.Slices {
		item := resource.Vector{}.With(types[slice.Partition].Type, slice.Quantity)
		if sum, err := held.Add(item); err == nil { // slices of one claim are apart
			held = sum
		}
	}
	return held
}

// live returns the tasks that hold a claim or wait for one.
func live(tasks []*engine.Task) []*engine.Task {
	return slices.DeleteFunc(slices.Clone(tasks), func(t *engine.Task) bool {
		return t.Status.State.Ended()
	})
}

// ready counts the tasks that are in service.
func ready(tasks []*engine.Task) int {
	count := 0
	for _, t := range tasks {
		if t.Status.State == task.Ready {
			count++
		}
	}
	return count
}
