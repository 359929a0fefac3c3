package engine

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/task"
)

// ErrRecords is the error for records that do not make a cluster: they were
// damaged, or written by something else.
var ErrRecords = errors.New("the records do not fit together")

// Load rebuilds a cluster from its records, in any order, into an engine that is
// new. The routing table is the first of the new epoch then. The error wraps
// ErrRecords and joins all problems; then the engine is not to be used.
func (e *Engine) Load(records iter.Seq[Record]) error {
	var problems []error
	problem := func(of string, err error) {
		if err != nil {
			problems = append(problems, damaged(of, err))
		}
	}
	all, tasks := inOrder(records)
	for _, record := range all {
		problem(record.Key().ID, e.load(record))
	}
	entries := make([]*entry, 0, len(tasks))
	var of ofTask
	for _, r := range tasks {
		t, err := e.loadTask(r, &of)
		if err != nil {
			problem(string(r.ID), err)
			continue
		}
		entries = append(entries, t)
	}
	held := e.countLoaded(problem)
	var refused, unsettled []error
	e.config.Together(
		func() { refused = e.restoreClaims(held) },
		func() {
			e.nameLoaded(entries)
			if unsettled = e.settleAll(); len(problems)+len(unsettled) == 0 {
				e.makeTable()
			}
		},
	)
	if problems = slices.Concat(problems, refused, unsettled); len(problems) > 0 {
		return errors.Join(problems...)
	}
	for _, m := range e.agents {
		m.loaded = nil
		e.closeAsNeeded(m)
	}
	e.countTotals()
	e.recall()
	e.batch.reset()
	return nil
}

// damaged returns the error for a record, or what belongs to it.
func damaged(of string, err error) error { return fmt.Errorf("%w: %s: %w", ErrRecords, of, err) }

// inOrder parts the tasks, of which there are most, from the other records, and
// sorts these by kind and name. What the order of tasks decides waits until they are
// with their services.
func inOrder(records iter.Seq[Record]) (others []Record, tasks []*Task) {
	for record := range records {
		if t, ok := record.(*Task); ok {
			tasks = append(tasks, t)
		} else {
			others = append(others, record)
		}
	}
	slices.SortFunc(others, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Key().Kind, b.Key().Kind), cmp.Compare(a.Key().ID, b.Key().ID))
	})
	return others, tasks
}

// inOrder sorts the tasks that were loaded of a service, and returns the live ones.
func (s *service) inOrder() []*entry {
	slices.SortFunc(s.live, func(a, b *entry) int {
		if order := compareEntries(a, b); order != 0 {
			return order
		}
		return cmp.Compare(a.record.ID, b.record.ID) // of damaged records alone
	})
	slices.SortFunc(s.ended, func(a, b *entry) int {
		return cmp.Or(a.record.Status.Since.Compare(b.record.Status.Since), compareEntries(a, b), cmp.Compare(a.record.ID, b.record.ID))
	})
	return s.live
}

func (e *Engine) load(record Record) error {
	switch r := record.(type) {
	case *Cluster:
		e.cluster = r
		for _, name := range r.Routers {
			e.routers[name] = &router{confirmation: route.Confirmation{Router: name}}
		}
		return nil
	case *Agent:
		return e.loadAgent(r)
	case *Pool:
		e.pools[r.ID] = r
		e.queue.shares.SetPool(r.ID, r.Priority, r.weight())
		return e.books.SetPool(r.Pool)
	case *Service:
		e.addService(r)
		return nil
	case *Revision:
		s := e.services[r.Service]
		switch {
		case s == nil:
			return unknown("service", r.Service)
		case r.Spec == nil:
			return errors.New("a revision with no spec")
		}
		s.revisions[r.Number] = r
		return nil
	case *Deployment:
		s := e.services[r.Service]
		if s == nil {
			return unknown("service", r.Service)
		}
		s.deployments = append(s.deployments, r)
		e.deployments[r.ID] = s
		return nil
	default:
		return fmt.Errorf("a record of type %T", record)
	}
}

func (e *Engine) loadAgent(r *Agent) error {
	m := newMachine()
	e.agents[r.ID] = m
	loaded := *r
	m.record, m.awaited = &loaded, r.SilentSince.IsZero()
	loaded.Closed = m.closed()
	e.listSilent(m)
	return e.books.SetAgent(loaded.Agent)
}

// ofTask is the service and the revision of a task, and whether that has routes: most
// tasks have those of the task before.
type ofTask struct {
	service *service
	number  id.Revision
	routed  bool
}

// find finds what a task is of.
func (o *ofTask) find(e *Engine, r *Task) error {
	if o.service != nil && o.service.record.Name == r.Service && o.number == r.Revision {
		return nil
	}
	s := e.services[r.Service]
	if s == nil {
		return unknown("service", r.Service)
	}
	wanted := s.revisions[r.Revision]
	if wanted == nil {
		return fmt.Errorf("%w revision %d of %s", ErrUnknown, r.Revision, r.Service)
	}
	*o = ofTask{s, r.Revision, len(wanted.Spec.Routes) > 0}
	return nil
}

func (e *Engine) loadTask(r *Task, of *ofTask) (*entry, error) {
	if err := of.find(e, r); err != nil {
		return nil, err
	}
	t := &entry{record: r, owner: of.service, number: taskNumber(r.ID), told: true, routed: of.routed}
	if r.Status.State.Ended() {
		t.owner.ended = append(t.owner.ended, t)
	} else {
		t.owner.live = append(t.owner.live, t)
	}
	return t, nil
}

// countLoaded counts the tasks that were loaded and hold claims with their services, and
// lists them with their agents. It returns how many there are.
func (e *Engine) countLoaded(problem func(of string, err error)) (held int) {
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		s := e.services[name]
		s.on = make(map[id.Agent]int, min(len(s.live), len(e.agents)))
		for _, t := range s.inOrder() {
			if !t.state().HoldsClaim() {
				continue
			}
			m := e.agents[t.record.Claim.Agent]
			if m == nil {
				problem(string(t.record.ID), unknown("agent", t.record.Claim.Agent))
				continue
			}
			held++
			m.loaded = append(m.loaded, t)
			e.countOne(t)
		}
	}
	return held
}

func (e *Engine) countOne(t *entry) {
	s, state := t.owner, t.state()
	s.claims++
	if staying(state) {
		s.count(t.record.Claim.Agent, true)
	}
	if state == task.Draining {
		e.draining[t] = struct{}{}
		e.leaving = append(e.leaving, t)
	}
	t.charge(e.queue.shares.Charge)
}

// restoreClaims books the claims that were counted, and touches nothing but the books.
// It goes from agent to agent: all that a claim touches is of one.
func (e *Engine) restoreClaims(held int) (refused []error) {
	e.books.Reserve(held)
	var claims []ledger.Claim
	for _, name := range e.agentNames() {
		claims = claims[:0]
		for _, t := range e.agents[name].loaded { // by itself, the walk from record to record waits for many at a time
			claims = append(claims, t.record.Claim)
		}
		for _, claim := range claims {
			if err := e.books.Restore(claim); err != nil {
				refused = append(refused, damaged(string(claim.Task), err))
			}
		}
	}
	return refused
}

// nameLoaded has the tasks that were loaded found by their names: by all, and by those
// of their agents.
func (e *Engine) nameLoaded(entries []*entry) {
	e.tasks = make(map[id.Task]*entry, len(entries))
	for _, t := range entries {
		e.tasks[t.record.ID] = t
	}
	for _, m := range e.agents {
		m.tasks = make(map[*entry]struct{}, len(m.loaded))
		for _, t := range m.loaded {
			m.tasks[t] = struct{}{}
		}
	}
}

// settleAll settles all services that were loaded. It does not touch the books.
func (e *Engine) settleAll() (problems []error) {
	for _, s := range e.services {
		e.claimWanted(s)
	}
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		if err := e.settleLoaded(e.services[name]); err != nil {
			problems = append(problems, damaged(string(name), err))
		}
	}
	return problems
}

// settleLoaded brings what was loaded of a service into order, and has all of it
// planned.
func (e *Engine) settleLoaded(s *service) error {
	if s.record.Revision != 0 && s.wanted() == nil {
		return fmt.Errorf("%w revision %d", ErrUnknown, s.record.Revision)
	}
	if s.record.Deployment != "" {
		d := s.deployment()
		if d == nil {
			return unknown("deployment", s.record.Deployment)
		}
		if d.State.Ended() { // its end was written in two parts, and the second is lost: it is judged again
			e.putDeployment(s, d, revive)
		}
	}
	slices.SortFunc(s.deployments, func(a, b *Deployment) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	for _, t := range s.live {
		if t.state() == task.Pending {
			e.enqueue(t)
			if t.group.refusal == nil && t.record.Status.Reason != "" {
				t.group.refusal = errors.New(t.record.Status.Reason)
			}
		}
	}
	for _, t := range s.ended {
		if m := e.agents[t.record.Claim.Agent]; m != nil && t.state() == task.Lost {
			m.lost[t.record.ID] = s
			s.stray++
		}
	}
	if runs := s.openRuns(); !slices.Equal(runs, s.record.Runs) {
		e.putService(s, func(r *Service) { r.Runs = runs })
	}
	s.unjudged = true
	e.claimRules(s)
	e.tableStale[s.record.Name] = struct{}{}
	e.touch(s)
	return nil
}

// revive takes back the end of a deployment. One that was paused is again.
func revive(d *Deployment) {
	d.State, d.Reason, d.EndedAt = Going, "", time.Time{}
	if !d.PausedAt.IsZero() {
		d.State, d.Reason, d.Progress.Paused = Paused, "paused, and its end was not recorded", true
	}
}

// openRuns returns the runs that are not over: those of the record, the newest
// while it is underway, and those that have a live task, of which the record may
// not tell when a commit broke off.
func (s *service) openRuns() []int64 {
	if !s.record.Kind.RunsToCompletion() {
		return nil
	}
	runs := slices.Clone(s.record.Runs)
	if s.record.Result == Underway {
		runs = append(runs, s.record.Run)
	}
	for _, t := range s.live {
		runs = append(runs, t.record.Run)
	}
	slices.Sort(runs)
	return slices.Compact(runs)
}

// Records iterates over every record, in the order of their kinds and names: all
// that Load needs to rebuild the cluster.
func (e *Engine) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, list := range [][]Record{e.clusterRecords(), e.agentRecords(), e.poolRecords(), e.serviceRecords()} {
			for _, record := range list {
				if !yield(record) {
					return
				}
			}
		}
	}
}

func (e *Engine) clusterRecords() []Record {
	if e.cluster == nil {
		return nil
	}
	return []Record{e.cluster}
}

func (e *Engine) agentRecords() []Record {
	var list []Record
	for _, name := range slices.Sorted(maps.Keys(e.agents)) {
		list = append(list, e.agents[name].record)
	}
	return list
}

func (e *Engine) poolRecords() []Record {
	var list []Record
	for _, name := range slices.Sorted(maps.Keys(e.pools)) {
		list = append(list, e.pools[name])
	}
	return list
}

// serviceRecords returns services, revisions, deployments and tasks.
func (e *Engine) serviceRecords() []Record {
	var services, revisions, deployments, tasks []Record
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		s := e.services[name]
		services = append(services, s.record)
		for _, number := range s.numbers() {
			revisions = append(revisions, s.revisions[number])
		}
		for _, d := range s.deployments {
			deployments = append(deployments, d)
		}
		for _, t := range slices.Concat(s.ended, s.live) {
			tasks = append(tasks, t.record)
		}
	}
	return slices.Concat(services, revisions, deployments, tasks)
}

// taskRecords returns the records of some tasks.
func taskRecords(entries []*entry) []*Task {
	list := make([]*Task, len(entries))
	for i, t := range entries {
		list[i] = t.record
	}
	return list
}

// agentNames returns the names of all agents, in order.
func (e *Engine) agentNames() []id.Agent { return slices.Sorted(maps.Keys(e.agents)) }
