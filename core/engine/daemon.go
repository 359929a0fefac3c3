package engine

import (
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
)

// planDaemon takes the next steps of a daemon.
func (e *Engine) planDaemon(s *service) {
	goal := e.daemonGoal(s)
	if s.record.Instances != len(goal.Agents) {
		e.putService(s, func(r *Service) { r.Instances = len(goal.Agents) })
	}
	plan := rollout.NextDaemon(goal, e.members(s), e.now)
	if why := e.fitsNowhere(s, goal); why != "" {
		plan = rollout.DaemonPlan{Plan: rollout.Plan{Wanted: len(e.agents), Paused: goal.Paused, Waiting: why}}
	}
	if e.judge(s, plan.Plan) {
		return // another plan is due
	}
	s.waiting = plan.Waiting
	s.wakeBy(plan.AskAgain)
	e.carryOut(s, plan.Plan)
	if len(plan.On) == 0 {
		return
	}
	first := e.number(s, len(plan.On))
	for i, agent := range plan.On {
		e.newTask(s, first+int64(i), Task{Revision: s.revisionOf(plan.Revision), Claim: ledger.Claim{Agent: agent}})
	}
}

func (e *Engine) daemonGoal(s *service) rollout.DaemonGoal {
	goal := s.goal()
	if goal.Revision == 0 {
		return rollout.DaemonGoal{}
	}
	return rollout.DaemonGoal{
		Revision: goal.Revision, Base: goal.Base, Agents: e.fitting(s), Unavailable: goal.Unavailable,
		Settle: goal.Settle, Paused: goal.Paused,
	}
}

// fitsNowhere says why a revision that is on its way suits no agent, "" if it suits
// one, or there is none yet. It would be in service at once, on no agent, and what
// serves would be stopped for it.
func (e *Engine) fitsNowhere(s *service, goal rollout.DaemonGoal) string {
	if s.deployment() == nil || goal.Revision == 0 || len(goal.Agents) > 0 || len(e.agents) == 0 {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(e.agents)) {
		if known := e.agents[name].daemons[s.record.Name]; known.why != "" {
			return "an agent that suits it: " + known.why
		}
	}
	return "an agent that is neither drained nor silent"
}

// fitting returns the agents on which a daemon shall run.
func (e *Engine) fitting(s *service) []id.Agent {
	there := make(map[id.Agent]bool)
	for _, t := range s.live {
		if t.state().Live() {
			there[t.record.Claim.Agent] = true
		}
	}
	var agents []id.Agent
	for _, name := range slices.Sorted(maps.Keys(e.agents)) {
		if e.agents[name].suits(s, there[name]) {
			agents = append(agents, name)
		}
	}
	return agents
}

// suits reports whether a daemon shall run on an agent. It leaves one that is
// drained as the last; on a silent one it stays, but does not begin.
func (m *machine) suits(s *service, there bool) bool {
	switch {
	case m.record.Draining:
		return there && m.hasOthers()
	case m.silent():
		return there
	default:
		return m.fits(s.wanted())
	}
}

// fit is whether an agent suits a daemon.
type fit struct {
	revision *Revision
	why      string // it does not; "" if it does
}

// fits reports whether a task of that revision would have a place on the agent
// if it were empty.
func (m *machine) fits(r *Revision) bool {
	if known := m.daemons[r.Service]; known.revision == r {
		return known.why == ""
	}
	var books ledger.Ledger
	empty := m.record.Agent
	empty.Closed = false
	wanted := request(&entry{owner: &service{revisions: map[id.Revision]*Revision{r.Number: r}}, record: &Task{Revision: r.Number}})
	wanted.Pools = nil
	err := books.SetAgent(empty)
	if err == nil {
		_, err = placement.Choose(&books, wanted)
	}
	known := fit{revision: r}
	if err != nil {
		known.why = err.Error()
	}
	m.daemons[r.Service] = known
	return err == nil
}

// hasOthers reports whether tasks other than daemons are on the agent.
func (m *machine) hasOthers() bool {
	for t := range m.tasks {
		if t.owner.record.Kind != spec.Daemon {
			return true
		}
	}
	return false
}

// members shows the tasks of a daemon to rollout.
func (e *Engine) members(s *service) []rollout.Member {
	seen := make([]rollout.Member, 0, len(s.live)+len(s.ended))
	for _, list := range [][]*entry{s.live, s.ended} {
		for _, t := range list {
			i := e.instance(s, t)
			i.Leaving = !t.state().Ended() && s.restarts(t) // whether its agent is right is decided by suits
			seen = append(seen, rollout.Member{Instance: i, Agent: t.record.Claim.Agent})
		}
	}
	return seen
}
