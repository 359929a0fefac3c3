package master

import (
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
	kinds     [engine.TaskKind + 1]map[string]engine.Record // by kind and name
	byService map[id.Service]*serviceIndex
	byAgent   map[id.Agent]*hosted
	states    [task.Lost + 1]int         // how many tasks are in each
	names     [engine.TaskKind + 1]names // of kinds
	story     story
	published chan struct{} // closed and made anew at each publication
}

// serviceIndex finds what belongs to a service.
type serviceIndex struct {
	tasks       map[id.Task]*engine.Task
	revisions   map[id.Revision]*engine.Revision
	deployments map[id.Deployment]*engine.Deployment
}

func (x *serviceIndex) empty() bool { return len(x.tasks)+len(x.revisions)+len(x.deployments) == 0 }

// hosted is the tasks that hold a claim on an agent, in no order: a list, which a new
// leader fills faster than a set. They are hundreds at most.
type hosted struct{ tasks []id.Task }

// count is 0 for nil.
func (h *hosted) count() int {
	if h == nil {
		return 0
	}
	return len(h.tasks)
}

func (h *hosted) remove(name id.Task) {
	if at := slices.Index(h.tasks, name); at >= 0 {
		last := len(h.tasks) - 1
		h.tasks[at], h.tasks[last] = h.tasks[last], ""
		h.tasks = h.tasks[:last]
	}
}

// newView returns a view of records, each of which has a key of its own.
func newView(cfg Config, records []engine.Record, revision int64) *view {
	v := &view{
		revision:  revision,
		byService: make(map[id.Service]*serviceIndex),
		byAgent:   make(map[id.Agent]*hosted),
		story:     newStory(cfg, revision),
		published: make(chan struct{}),
	}
	var sizes [engine.TaskKind + 1]int // maps that grow record by record would take twice the time
	tasks, held := make(map[id.Service]int), make(map[id.Agent]int)
	for _, record := range records {
		t, ok := record.(*engine.Task)
		if !ok {
			sizes[record.Key().Kind]++
			continue
		}
		sizes[engine.TaskKind]++
		tasks[t.Service]++
		if t.Status.State.HoldsClaim() {
			held[t.Claim.Agent]++
		}
	}
	for kind := range v.kinds {
		v.kinds[kind] = make(map[string]engine.Record, sizes[kind])
		v.names[kind].added = make([]string, 0, sizes[kind])
	}
	for service, n := range tasks {
		v.byService[service] = newServiceIndex(n)
	}
	for agent, n := range held {
		v.byAgent[agent] = &hosted{make([]id.Task, 0, n)}
	}
	for _, record := range records {
		key := record.Key()
		v.kinds[key.Kind][key.ID] = record
		v.names[key.Kind].add(key.ID)
		v.index(record, true)
	}
	return v
}

// apply publishes changes that are durable at revision, and returns them with
// what they took the place of.
func (v *view) apply(revision int64, changes engine.Changes) []publishedChange {
	if len(changes.Records) == 0 && len(changes.Notes) == 0 {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.revision = revision
	list := make([]publishedChange, 0, len(changes.Records))
	for _, change := range changes.Records {
		before := v.put(change)
		if change.Record != nil || before != nil { // what came and went in one batch never was
			list = append(list, publishedChange{change, before})
		}
	}
	v.story.add(revision, list, changes.Notes)
	close(v.published)
	v.published = make(chan struct{})
	return list
}

// put replaces what stands under a key, and returns what stood there.
func (v *view) put(change engine.Change) (before engine.Record) {
	of, names := v.kinds[change.Key.Kind], &v.names[change.Key.Kind]
	before, there := of[change.Key.ID]
	if v.replaceTask(change.Record, before) {
		of[change.Key.ID] = change.Record
		return before
	}
	if there {
		v.index(before, false)
	}
	switch {
	case change.Record != nil:
		of[change.Key.ID] = change.Record
		v.index(change.Record, true)
		if !there {
			names.add(change.Key.ID)
		}
	case there:
		delete(of, change.Key.ID)
		names.remove()
	}
	return before
}

// replaceTask is index for most changes: a task is found where it was before. Else it
// does nothing, and returns false.
func (v *view) replaceTask(record, before engine.Record) bool {
	t, ok := record.(*engine.Task)
	old, was := before.(*engine.Task)
	if !ok || !was || t.Service != old.Service || t.Claim.Agent != old.Claim.Agent || t.Status.State.HoldsClaim() != old.Status.State.HoldsClaim() {
		return false
	}
	v.byService[t.Service].tasks[t.ID] = t
	v.states[old.Status.State]--
	v.states[t.Status.State]++
	return true
}

// index makes a record found by what it belongs to, or no longer.
func (v *view) index(record engine.Record, there bool) {
	service := serviceOf(record)
	switch r := record.(type) {
	case *engine.Task:
		set(v.indexOf(service).tasks, r.ID, r, there)
		v.indexTask(r, there)
	case *engine.Revision:
		set(v.indexOf(service).revisions, r.Number, r, there)
	case *engine.Deployment:
		set(v.indexOf(service).deployments, r.ID, r, there)
	default:
		return
	}
	if v.byService[service].empty() {
		delete(v.byService, service)
	}
}

func (v *view) indexTask(t *engine.Task, there bool) {
	if there {
		v.states[t.Status.State]++
	} else {
		v.states[t.Status.State]--
	}
	if !t.Status.State.HoldsClaim() {
		return
	}
	on, ok := v.byAgent[t.Claim.Agent]
	switch {
	case !ok && there:
		v.byAgent[t.Claim.Agent] = &hosted{[]id.Task{t.ID}}
	case there:
		on.tasks = append(on.tasks, t.ID)
	case ok:
		if on.remove(t.ID); len(on.tasks) == 0 {
			delete(v.byAgent, t.Claim.Agent)
		}
	}
}

func set[K comparable, V any](m map[K]V, key K, value V, there bool) {
	if there {
		m[key] = value
	} else {
		delete(m, key)
	}
}

func (v *view) indexOf(service id.Service) *serviceIndex {
	index, ok := v.byService[service]
	if !ok {
		index = newServiceIndex(0)
		v.byService[service] = index
	}
	return index
}

// newServiceIndex returns an index for about so many tasks.
func newServiceIndex(tasks int) *serviceIndex {
	return &serviceIndex{
		tasks:       make(map[id.Task]*engine.Task, tasks),
		revisions:   make(map[id.Revision]*engine.Revision),
		deployments: make(map[id.Deployment]*engine.Deployment),
	}
}

// serviceOf returns the service that a record belongs to, "" for those of none.
func serviceOf(record engine.Record) id.Service {
	switch r := record.(type) {
	case *engine.Service:
		return r.Name
	case *engine.Revision:
		return r.Service
	case *engine.Deployment:
		return r.Service
	case *engine.Task:
		return r.Service
	default:
		return ""
	}
}

// at returns the revision of the store that the view shows.
func (v *view) at() int64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.revision
}

// find returns the record of that kind and name, or false. The caller holds v.mu
// at least for reading.
func find[R engine.Record](v *view, key engine.Key) (R, bool) {
	r, ok := v.kinds[key.Kind][key.ID].(R)
	return r, ok
}

// has reports whether there is a record of that kind and name.
func (v *view) has(key engine.Key) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	_, ok := find[engine.Record](v, key)
	return ok
}

// job is a task with what its agent must know of it.
type job struct {
	task     *engine.Task
	revision *engine.Revision // that its program is of
	settings *engine.Revision // that it lives by now: settings change without new instances
}

// jobs finds tasks; the parts of each are nil where they are not there.
func (v *view) jobs(names []id.Task) []job {
	v.mu.RLock()
	defer v.mu.RUnlock()
	list := make([]job, len(names))
	for i, name := range names {
		list[i] = v.job(name)
	}
	return list
}

// job finds a task. The caller holds v.mu.
func (v *view) job(name id.Task) job {
	t, ok := find[*engine.Task](v, engine.Key{Kind: engine.TaskKind, ID: string(name)})
	if !ok {
		return job{}
	}
	revisions := v.byService[t.Service].revisions
	found := job{task: t, revision: revisions[t.Revision], settings: revisions[t.Revision]}
	if s, ok := find[*engine.Service](v, engine.Key{Kind: engine.ServiceKind, ID: string(t.Service)}); ok {
		wanted := revisions[s.Revision]
		if wanted != nil && found.revision != nil && wanted.Generation == found.revision.Generation {
			found.settings = wanted
		}
	}
	return found
}

// claimed returns what a task holds by type, ports included.
func (v *view) claimed(t *engine.Task) resource.Vector {
	v.mu.RLock()
	defer v.mu.RUnlock()
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

// tasksOn returns the tasks that hold a claim on an agent.
func (v *view) tasksOn(agent id.Agent) []id.Task {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if on, ok := v.byAgent[agent]; ok {
		return slices.Clone(on.tasks)
	}
	return nil
}
