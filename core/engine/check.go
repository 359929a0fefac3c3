package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// Check returns every law of the cluster that is broken, for tests and for the
// master's self-check. It looks at everything, and so is slow in a large cluster.
func (e *Engine) Check() error {
	var broken []error
	if err := e.books.Imbalance(); err != nil {
		broken = append(broken, err)
	}
	for claim := range e.books.Claims() {
		t := e.tasks[claim.Task]
		if _, rests := e.resting[claim.Task]; !rests && (t == nil || !t.state().HoldsClaim()) {
			broken = append(broken, fmt.Errorf("task %s holds a claim and is not live", claim.Task))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.tasks)) {
		broken = append(broken, e.checkTask(e.tasks[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		broken = append(broken, e.services[name].check(), e.checkRuns(e.services[name]))
	}
	return errors.Join(append(broken, e.checkTable(), e.checkRouters(), e.checkQueue())...)
}

// checkRouters wants the next leader to know every router.
func (e *Engine) checkRouters() error {
	var remembered []id.Router
	if e.cluster != nil {
		remembered = e.cluster.Routers
	}
	if known := slices.Sorted(maps.Keys(e.routers)); !slices.Equal(known, remembered) {
		return fmt.Errorf("the routers are %v, and remembered are %v", known, remembered)
	}
	return nil
}

func (e *Engine) checkTask(t *entry) error {
	name, state := t.record.ID, t.state()
	_, held := e.books.ClaimOf(name)
	if e.resting[name] != nil {
		held = false // only its ports are
	}
	_, listed := slices.BinarySearchFunc(t.owner.live, t, compareEntries)
	switch {
	case e.resting[name] != nil && state.HoldsClaim():
		return fmt.Errorf("task %s is %s, and its ports rest", name, state)
	case state.HoldsClaim() != held:
		return fmt.Errorf("task %s is %s, holding a claim: %t", name, state, held)
	case listed == state.Ended():
		return fmt.Errorf("task %s is %s, among the live: %t", name, state, listed)
	case (t.group != nil) != (state == task.Pending):
		return fmt.Errorf("task %s is %s, in the queue: %t", name, state, t.group != nil)
	case t.number > t.owner.record.Tasks:
		return fmt.Errorf("task %s has a number beyond %d: it will be given out again", name, t.owner.record.Tasks)
	case t.owner.record.Kind == spec.Service && state == task.Pending && t.record.Claim.Agent != "" && !t.owner.awaits(t):
		return fmt.Errorf("task %s waits for a place on agent %s, and %q does not move there", name, t.record.Claim.Agent, t.record.Follows)
	case t.owner.revisions[t.record.Revision] == nil:
		return fmt.Errorf("task %s: revision %d is forgotten", name, t.record.Revision)
	}
	return nil
}

// checkRuns wants nothing to be left to do for the runs of a job: each step that its
// plans were not told of was none of their concern.
func (e *Engine) checkRuns(s *service) error {
	if due := e.AskAgain(); !due.IsZero() && !due.After(e.now) {
		return nil // to be planned by the next Take
	}
	for _, run := range s.record.Runs {
		plan := rollout.NextCopies(s.batch(run), e.copies(s, run), e.now)
		if len(plan.Start)+len(plan.Stop)+len(plan.Cancel) > 0 || plan.Verdict.Outcome != rollout.Going {
			return fmt.Errorf("run %d of %s was left as it is, and its plan is %+v", run, s.record.Name, plan)
		}
	}
	return nil
}

// awaits reports whether an instance moves to the place that a task waits for. It
// is asked after a plan.
func (s *service) awaits(t *entry) bool {
	return slices.ContainsFunc(s.live, func(before *entry) bool {
		return before.record.ID == t.record.Follows && before.record.Moves.To == t.record.Claim.Agent
	})
}

// check returns what is wrong with a service's own accounts.
func (s *service) check() error {
	running := 0
	for _, d := range s.deployments {
		if !d.State.Ended() {
			running++
		}
	}
	on, claims := make(map[id.Agent]int), 0
	for _, t := range s.live {
		if t.state().HoldsClaim() {
			claims++
		}
		if staying(t.state()) {
			on[t.record.Claim.Agent]++
		}
	}
	switch d := s.deployment(); {
	case running > 1:
		return fmt.Errorf("service %s has %d deployments under way", s.record.Name, running)
	case running == 1 && (d == nil || d.State.Ended()), running == 0 && s.record.Deployment != "":
		return fmt.Errorf("service %s: deployment %q does not run", s.record.Name, s.record.Deployment)
	case s.record.Revision != 0 && s.wanted() == nil:
		return fmt.Errorf("service %s: revision %d is forgotten", s.record.Name, s.record.Revision)
	case claims != s.claims:
		return fmt.Errorf("service %s: %d tasks hold claims, counted %d", s.record.Name, claims, s.claims)
	case !maps.Equal(on, s.on):
		return fmt.Errorf("service %s: tasks on agents are %v, counted %v", s.record.Name, on, s.on)
	}
	return nil
}

// checkTable returns what is in the table and not ready, or not suspect exactly
// while its agent is silent.
func (e *Engine) checkTable() error {
	if len(e.tableStale)+len(e.sights.late) > 0 {
		return nil // it is made anew by the next Take, or in its time
	}
	for _, part := range e.table.Services {
		for _, endpoint := range part.Endpoints {
			if t := e.tasks[endpoint.Task]; t == nil || t.state() != task.Ready {
				return fmt.Errorf("task %s is in the table and not ready", endpoint.Task)
			} else if silent := e.agents[t.record.Claim.Agent].silent(); silent != endpoint.Suspect {
				return fmt.Errorf("task %s is suspect %t in the table, its agent is silent %t", endpoint.Task, endpoint.Suspect, silent)
			}
		}
	}
	return nil
}
