package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

func (v DrainAgent) fold(e *Engine) (Answer, error) {
	m := e.agents[v.Agent]
	switch {
	case m == nil:
		return Answer{}, unknown("agent", v.Agent)
	case v.Deadline < 0:
		return Answer{}, invalid("a deadline of %v, want more than 0", v.Deadline)
	}
	if v.Leaving {
		if m.record.Draining {
			return Answer{}, nil
		}
		e.putAgent(m, func(a *Agent) { a.Draining, a.Leaving = true, true })
		e.tellDrain(m)
		return Answer{Changed: true}, nil
	}
	var by time.Time
	if v.Deadline > 0 {
		by = e.now.Add(v.Deadline)
	}
	if m.record.Draining && !m.record.Leaving && by.Equal(m.record.DrainedBy) && v.Force == m.record.DrainForced {
		return Answer{}, nil
	}
	missing, err := e.missingWithout(m)
	if err != nil {
		return Answer{}, err
	}
	if len(missing) > 0 && !v.Force && !m.record.Draining {
		return Answer{}, conflict("agent %s cannot be drained: %s; force drains it all the same", v.Agent, strings.Join(missing, "; "))
	}
	e.putAgent(m, func(a *Agent) { a.Draining, a.DrainedBy, a.DrainForced, a.Leaving = true, by, v.Force, false })
	e.tellDrain(m)
	return Answer{Changed: true, Missing: missing}, nil
}

// tellDrain tells that a drain has begun, and if that is so that it is over.
func (e *Engine) tellDrain(m *machine) {
	text := resource.Count(len(m.tasks), "task") + " to move away"
	if m.record.Leaving {
		text = "it says goodbye, with " + text
	}
	e.note(Note{Kind: AgentDraining, Agent: m.record.ID, Text: text})
	e.settleAgent(m)
}

func (v UndrainAgent) fold(e *Engine) (Answer, error) {
	m := e.agents[v.Agent]
	switch {
	case m == nil:
		return Answer{}, unknown("agent", v.Agent)
	case !m.record.Draining:
		return Answer{}, nil
	}
	e.putAgent(m, (*Agent).stay)
	e.note(Note{Kind: AgentUndrained, Agent: v.Agent, Text: "takes tasks again"})
	e.touchDaemons()
	return Answer{Changed: true}, nil
}

// stay ends a drain, whoever asked for it.
func (a *Agent) stay() {
	a.Draining, a.DrainedBy, a.DrainForced, a.Leaving = false, time.Time{}, false, false
}

func (v RemoveAgent) fold(e *Engine) (Answer, error) {
	m := e.agents[v.Agent]
	switch {
	case m == nil:
		return Answer{}, unknown("agent", v.Agent)
	case !m.silent():
		return Answer{}, conflict("agent %s is connected; stop it first", v.Agent)
	case len(m.tasks) > 0:
		return Answer{}, conflict("agent %s has %s; drain it first, or wait until they are given up", v.Agent, resource.Count(len(m.tasks), "task"))
	}
	for name, t := range e.resting {
		if t.record.Claim.Agent == v.Agent {
			e.endRest(name) // nothing is placed there any more
		}
	}
	if err := e.books.RemoveAgent(v.Agent); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrConflict, err)
	}
	e.countTotals()
	for name := range m.lost {
		e.release(m, name)
	}
	delete(e.agents, v.Agent)
	delete(e.silent, v.Agent)
	e.timers.set(timerKey{agentTimer, string(v.Agent)}, time.Time{})
	e.batch.put(Key{AgentKind, string(v.Agent)}, nil)
	e.note(Note{Kind: AgentRemoved, Agent: v.Agent, Text: "forgotten"})
	e.touchDaemons()
	return Answer{Changed: true}, nil
}

// settleAgent goes on with the drain of an agent that has lost a task, and tells
// when it is empty. Daemons leave last.
func (e *Engine) settleAgent(m *machine) {
	if !m.record.Draining {
		return
	}
	e.touchDaemons()
	if len(m.tasks) == 0 {
		e.note(Note{Kind: AgentDrained, Agent: m.record.ID, Text: "no tasks are left"})
	}
}

// leavesAgent reports whether a task must leave its agent.
func (e *Engine) leavesAgent(t *entry) bool {
	m := e.agents[t.record.Claim.Agent]
	return m != nil && m.record.Draining
}

// overdue reports whether an instance must leave its agent m now, although nothing
// is there in its place: the deadline of a drain by force has passed. When it has
// not yet, it is asked again then.
func (e *Engine) overdue(m *machine, t *entry) bool {
	if !m.record.Draining || !m.record.DrainForced || m.record.DrainedBy.IsZero() {
		return false
	}
	if e.now.Before(m.record.DrainedBy) {
		t.owner.wakeBy(m.record.DrainedBy)
		return false
	}
	return true
}

// suspect reports whether a task's agent is silent, and when it was last heard of.
func (e *Engine) suspect(agent id.Agent) (time.Time, bool) {
	m := e.agents[agent]
	if m == nil || !m.silent() {
		return time.Time{}, false
	}
	return m.record.SilentSince, true
}
