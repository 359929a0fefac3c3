package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// tellEvery is how often the reason why a task waits is written down anew: in a
// busy cluster it changes all the time.
const tellEvery = 10 * time.Second

// placedMax bounds how many tasks one Take places, so that a large deployment
// does not hold up the cluster: the rest is for the next Take, which is due at
// once.
const placedMax = 500

// queue is the tasks that wait for a place. Those that ask for the same are a
// group: when the first of them has no place, none has.
type queue struct {
	groups map[groupKey]*group
	placed int  // by this Take
	fresh  bool // a group may be there that was not tried
	grown  bool // there may be room for groups that were refused
}

// groupKey is what tasks that ask for the same have in common.
type groupKey struct {
	service  id.Service
	revision id.Revision
	only     id.Agent // of a daemon
}

type group struct {
	key      groupKey
	owner    *service
	priority int
	waiting  []*entry // oldest first
	tried    bool     // refused since there was more room
	refusal  string   // why there is no place, "" if that is not known
	toldAt   time.Time
}

// blocked reports whether a task waits and was refused a place.
func (t *entry) blocked() bool { return t.group != nil && t.group.refusal != "" }

// enqueue has a pending task wait for a place.
func (e *Engine) enqueue(t *entry) {
	key := groupKey{t.record.Service, t.record.Revision, t.record.Claim.Agent}
	g := e.queue.groups[key]
	if g == nil {
		g = &group{key: key, owner: t.owner, priority: e.priority(t.owner.revisions[key.revision].Spec.Pools)}
		if e.queue.groups == nil {
			e.queue.groups = make(map[groupKey]*group)
		}
		e.queue.groups[key] = g
	}
	t.group, e.queue.fresh = g, true
	at, _ := slices.BinarySearchFunc(g.waiting, t, compareEntries)
	g.waiting = slices.Insert(g.waiting, at, t)
}

// dequeue takes a task out of the queue, if it is there.
func (e *Engine) dequeue(t *entry) {
	g := t.group
	if g == nil {
		return
	}
	t.group = nil
	at, found := slices.BinarySearchFunc(g.waiting, t, compareEntries)
	if found {
		g.waiting = slices.Delete(g.waiting, at, at+1)
	}
	switch {
	case len(g.waiting) == 0:
		delete(e.queue.groups, g.key)
	case at == 0 && g.refusal != "":
		e.tellRefusal(g) // the next one is the first now
	}
}

// priority returns that of the highest pool of several.
func (e *Engine) priority(pools []id.Pool) int {
	highest := 0
	for i, name := range pools {
		if p := e.pools[name]; p != nil && (i == 0 || p.Priority > highest) {
			highest = p.Priority
		}
	}
	return highest
}

// roomGrew has every task in the queue tried again: something was given back,
// or a pool or agent changed.
func (e *Engine) roomGrew() { e.queue.grown, e.queue.fresh = true, true }

// rank sets the groups' priorities anew, after a pool has changed.
func (e *Engine) rank() {
	for _, g := range e.queue.groups {
		g.priority = e.priority(g.owner.revisions[g.key.revision].Spec.Pools)
	}
}

// inOrder returns the groups in the order in which they are served: the highest
// priority first, then the one whose first task is the oldest.
func (q *queue) inOrder() []*group {
	return slices.SortedFunc(maps.Values(q.groups), func(a, b *group) int {
		return cmp.Or(
			cmp.Compare(b.priority, a.priority),
			a.waiting[0].record.CreatedAt.Compare(b.waiting[0].record.CreatedAt),
			cmp.Compare(a.key.service, b.key.service),
			cmp.Compare(a.key.revision, b.key.revision),
			cmp.Compare(a.key.only, b.key.only),
		)
	})
}

// place finds places for the tasks that wait. Each group goes on until it is
// refused; one that is refused does not hold up those behind it, which may fit
// elsewhere.
func (e *Engine) place() {
	if !e.queue.fresh {
		return
	}
	e.queue.fresh = false
	if e.queue.grown {
		e.queue.grown = false
		for _, g := range e.queue.groups {
			g.tried = false
		}
	}
	for _, g := range e.queue.inOrder() {
		for !g.tried && len(g.waiting) > 0 {
			if e.queue.placed == placedMax {
				e.queue.fresh = true
				return
			}
			e.placeFirst(g)
		}
	}
}

// placeFirst finds a place for the first task of a group, or notes why not.
func (e *Engine) placeFirst(g *group) {
	t := g.waiting[0]
	err := g.owner.full()
	if err == nil {
		err = e.placeTask(t)
	}
	if err == nil {
		return
	}
	g.tried = true
	if g.refusal == "" {
		e.touch(g.owner) // its plan may go on without
	}
	g.refusal = err.Error()
	e.tellRefusal(g)
}

// full returns an error if a service has all the claims that it may have. Its
// plans start no more, but tasks may still wait that were planned when it was
// allowed more.
func (s *service) full() error {
	if s.record.Kind != spec.Service {
		return nil
	}
	if goal := s.goal(); s.claims >= goal.Instances+goal.Surge {
		return fmt.Errorf("%s may have no more than %s for %s", s.record.Name, resource.Count(s.claims, "claim"), resource.Count(goal.Instances, "instance"))
	}
	return nil
}

// placeTask finds a place for a task and has it take it.
func (e *Engine) placeTask(t *entry) error {
	choice, err := e.choose(t)
	if err != nil {
		return err
	}
	t.group.refusal = ""
	return e.hold(t, choice)
}

// tellRefusal writes down why a group waits, with its first task. Those behind
// it ask for the same.
func (e *Engine) tellRefusal(g *group) {
	first := g.waiting[0]
	if first.record.Status.Reason == g.refusal {
		return
	}
	due := g.toldAt.Add(tellEvery)
	if first.record.Status.Reason != "" && e.now.Before(due) {
		g.owner.tellAt = earliest(g.owner.tellAt, due)
		e.touch(g.owner)
		return
	}
	g.toldAt = e.now
	e.move(first, task.Block{At: e.now, Reason: g.refusal})
}

// tellRefusals writes down the reasons that were held back, once that is due.
func (e *Engine) tellRefusals(s *service) {
	due := s.tellAt
	if due.IsZero() {
		return
	}
	if e.now.Before(due) {
		s.wakeBy(due)
		return
	}
	s.tellAt = time.Time{}
	for _, t := range s.live {
		if t.blocked() && t.group.waiting[0] == t {
			e.tellRefusal(t.group)
		}
	}
}

// request returns what a task asks for, by the spec that it was created with.
func request(t *entry) placement.Request {
	wanted := t.owner.revisions[t.record.Revision].Spec
	ports := make([]ledger.PortWish, len(wanted.Ports))
	for i, p := range wanted.Ports {
		ports[i] = ledger.PortWish{Name: p.Name, Number: int64(p.Number)}
	}
	return placement.Request{
		Service: wanted.Name, Resources: wanted.Resources, Ports: ports, Where: wanted.Placement.Where,
		Spread: wanted.Placement.Spread, Pools: wanted.Pools, Siblings: t.owner.on, Avoid: t.owner.failedOn(t),
		Only: t.record.Claim.Agent,
	}
}

// failedOn returns the agents on which a copy of a job has failed before.
func (s *service) failedOn(t *entry) []id.Agent {
	if t.record.Retry == 0 {
		return nil
	}
	var agents []id.Agent
	for _, before := range s.ended {
		same := before.record.Run == t.record.Run && before.record.Copy == t.record.Copy
		if same && before.state() == task.Failed {
			agents = append(agents, before.record.Claim.Agent)
		}
	}
	return agents
}

// hold books the claim of a place, and has the task take it.
func (e *Engine) hold(t *entry, choice placement.Choice) error {
	claim := choice.Claim(t.record.ID)
	if err := e.books.Claim(claim); err != nil {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	ports := make(map[string]int, len(choice.Ports))
	for _, p := range choice.Ports {
		ports[p.Name] = int(p.Number)
	}
	e.dequeue(t)
	e.queue.placed++
	t.owner.claims++
	e.agents[claim.Agent].tasks[t.record.ID] = t
	t.why = choice.Why.String()
	e.putTask(t, func(r *Task) { r.Claim, r.Ports = claim, ports })
	e.move(t, task.Assign{At: e.now})
	e.note(Note{
		Kind: TaskPlaced, Service: t.record.Service, Task: t.record.ID, Agent: claim.Agent, Pool: claim.Pool, Text: t.why,
	})
	return nil
}
