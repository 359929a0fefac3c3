package rollout

import (
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// DaemonGoal is what a daemon shall come to: one instance on each agent that
// fits.
type DaemonGoal struct {
	Revision    id.Revision
	Base        id.Revision   // as in Goal
	Agents      []id.Agent    // those that fit, any order; one that is silent still fits
	Unavailable int           // agents that may be without because of us; less than 1 counts as 1
	Settle      time.Duration // as in Goal
	Paused      bool          // as in Goal
}

// Member is an instance of a daemon and where it is.
type Member struct {
	Instance
	Agent id.Agent
}

// DaemonPlan is what to do now for a daemon. Start is the length of On.
type DaemonPlan struct {
	Plan
	On []id.Agent // where to start new instances, sorted
}

// NextDaemon returns the plan that brings a daemon one step closer to its goal.
//
// A daemon stops before it starts: two of one kind on an agent would want the
// same ports and files. So it has no surge, and at least one agent at a time is
// without while a revision replaces another. Instances on agents that no longer
// fit are stopped at once.
func NextDaemon(goal DaemonGoal, seen []Member, now time.Time) DaemonPlan {
	agents := slices.Compact(slices.Sorted(slices.Values(goal.Agents)))
	service := goal.spread(len(agents))
	r := muster(service, agents, seen, now)
	c := count(service, r.instances, now)
	doubles := r.doubles(c)
	plan := DaemonPlan{Plan: c.plan(slices.Concat(r.astray, c.replaced(doubles), doubles), now)}
	plan.Old += len(r.astray)
	plan.Done = plan.Done && len(r.astray) == 0
	for _, agent := range agents {
		switch until := r.startAfter(agent); {
		case r.taken[agent]:
		case now.Before(until):
			plan.AskAgain = earliest(plan.AskAgain, until)
		default:
			plan.On = append(plan.On, agent)
		}
	}
	plan.Start = len(plan.On)
	return plan
}

// spread returns the goal of a service with one instance for each agent.
func (g DaemonGoal) spread(agents int) Goal {
	return Goal{
		Revision: g.Revision, Base: g.Base, Settle: g.Settle, Paused: g.Paused,
		Instances: agents, Unavailable: max(1, g.Unavailable),
	}
}
