package engine

import (
	"iter"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/task"
)

// Desired returns what an agent should run, and of what it may run what it
// should stop, both by service and age. Only what has been handed out by Take
// and made durable may be told to the agent.
func (e *Engine) Desired(agent id.Agent) (run, stop []*Task) {
	m := e.agents[agent]
	if m == nil {
		return nil, nil
	}
	for _, t := range sortedEntries(m.tasks) {
		if t.state() == task.Stopping {
			stop = append(stop, t.record)
		} else {
			run = append(run, t.record)
		}
	}
	return run, stop
}

// Strays returns the tasks that an agent has and should not: it stops and
// forgets them.
func (e *Engine) Strays(agent id.Agent) []id.Task {
	m := e.agents[agent]
	if m == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.strays))
}

// Table returns the newest routing table. In an engine that is new and empty its
// number is 0.
func (e *Engine) Table() route.Table { return e.table }

// Agent returns an agent; nil if there is none of that name.
func (e *Engine) Agent(name id.Agent) *Agent {
	if m := e.agents[name]; m != nil {
		return m.record
	}
	return nil
}

// Agents iterates over the agents, in order.
func (e *Engine) Agents() iter.Seq[*Agent] {
	return func(yield func(*Agent) bool) {
		for _, name := range e.agentNames() {
			if !yield(e.agents[name].record) {
				return
			}
		}
	}
}

// AgentState tells in one word how an agent stands, as Agent.State does.
func (e *Engine) AgentState(name id.Agent) string {
	m := e.agents[name]
	if m == nil {
		return "unknown"
	}
	return m.record.State(len(m.tasks))
}

// AgentTasks returns the tasks that hold a claim on an agent, by service and age.
func (e *Engine) AgentTasks(name id.Agent) []*Task {
	if m := e.agents[name]; m != nil {
		return taskRecords(sortedEntries(m.tasks))
	}
	return nil
}

// Pool returns a pool; nil if there is none of that name.
func (e *Engine) Pool(name id.Pool) *Pool { return e.pools[name] }

// Service returns a service; nil if there is none of that name.
func (e *Engine) Service(name id.Service) *Service {
	if s := e.services[name]; s != nil {
		return s.record
	}
	return nil
}

// Services iterates over the services, in order.
func (e *Engine) Services() iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for _, name := range slices.Sorted(maps.Keys(e.services)) {
			if !yield(e.services[name].record) {
				return
			}
		}
	}
}

// Revision returns one revision of a service; nil if it is not kept.
func (e *Engine) Revision(name id.Service, number id.Revision) *Revision {
	if s := e.services[name]; s != nil {
		return s.revisions[number]
	}
	return nil
}

// Revisions returns the revisions of a service that are kept, oldest first.
func (e *Engine) Revisions(name id.Service) []*Revision {
	s := e.services[name]
	if s == nil {
		return nil
	}
	var list []*Revision
	for _, number := range s.numbers() {
		list = append(list, s.revisions[number])
	}
	return list
}

// SpecOf returns the revision whose settings a task lives by: such as grace and
// drain may have changed without new instances. It is nil for an unknown task.
func (e *Engine) SpecOf(name id.Task) *Revision {
	t := e.tasks[name]
	switch {
	case t == nil:
		return nil
	case t.owner.current(t):
		return t.owner.wanted()
	default:
		return t.owner.revisions[t.record.Revision]
	}
}

// Deployment returns a deployment; nil if it is not kept.
func (e *Engine) Deployment(name id.Deployment) *Deployment {
	if s := e.deployments[name]; s != nil {
		return s.findDeployment(name)
	}
	return nil
}

// Deployments returns the deployments of a service that are kept, oldest first.
func (e *Engine) Deployments(name id.Service) []*Deployment {
	if s := e.services[name]; s != nil {
		return slices.Clone(s.deployments)
	}
	return nil
}

// Task returns a task; nil if it is not kept.
func (e *Engine) Task(name id.Task) *Task {
	if t := e.tasks[name]; t != nil {
		return t.record
	}
	return nil
}

// Tasks returns the tasks of a service: the live ones, oldest first, and the
// ended ones that are kept, in the order of their ends.
func (e *Engine) Tasks(name id.Service) (live, ended []*Task) {
	if s := e.services[name]; s != nil {
		return taskRecords(s.live), taskRecords(s.ended)
	}
	return nil, nil
}

// Waiting says what a service waits for, as in "web-2-5 to become ready"; "" if
// it is as it should be.
func (e *Engine) Waiting(name id.Service) string {
	if s := e.services[name]; s != nil {
		return e.waitsFor(s)
	}
	return ""
}

// Routers returns the newest confirmation of every router that is known, by
// name, and whether it is connected.
func (e *Engine) Routers() []RouterState {
	var list []RouterState
	for _, name := range slices.Sorted(maps.Keys(e.routers)) {
		r := e.routers[name]
		list = append(list, RouterState{Confirmation: r.confirmation, Connected: r.goneAt.IsZero()})
	}
	return list
}

// RouterState is a router as this leader knows it.
type RouterState struct {
	Confirmation route.Confirmation
	Connected    bool
}

// Books returns the books of agents and pools, to read only: whoever changed
// them would break the laws that the engine keeps.
func (e *Engine) Books() *ledger.Ledger { return &e.books }

// Capacity is the account of one resource type over the whole cluster.
type Capacity struct {
	Type     resource.Type
	Kind     resource.Kind
	Weighted float64 // R: the sum over partitions of weight x available, in the smallest unit
	ledger.Balance
}

// Capacity returns the account of every resource type, in order.
func (e *Engine) Capacity() []Capacity {
	kinds := make(map[resource.Type]resource.Kind)
	for agent := range e.books.Agents() {
		for p := range agent.Partitions() {
			kinds[p.Type] = p.Quantity.Kind()
		}
	}
	var list []Capacity
	for _, t := range e.books.Types() {
		list = append(list, Capacity{Type: t, Kind: kinds[t], Weighted: e.books.R(t), Balance: e.books.Balance(t)})
	}
	return list
}
