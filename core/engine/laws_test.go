package engine_test

import (
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// watch holds a change of a task to the laws of stopping.
func (w *world) watch(c engine.Change) {
	w.Helper()
	before, _ := w.durable[c.Key].(*engine.Task)
	after, _ := c.Record.(*engine.Task)
	if after != nil && after.Status.State.HoldsClaim() && (before == nil || !before.Status.State.HoldsClaim()) {
		w.watchPorts(after)
	}
	if before == nil || after == nil || before.Status.State == after.Status.State {
		return
	}
	w.watchFrozen(after)
	w.watchSpared(before, after)
	left := after.Status.State == task.Draining || after.Status.State == task.Stopping || after.Status.State == task.Stopped
	if before.Status.State == task.Ready && left && after.Status.Last == before.Status.Last {
		w.watchGap(after)
	}
	if after.Status.State == task.Stopping && w.runs(after) {
		w.watchDrain(before, after)
	}
	if after.Status.State == task.Lost {
		w.watchLost(after)
	}
	if before.Status.State.Ended() {
		w.watchReturn(before, after)
	}
}

// watchLost fails if a task was given up that its agent still has, before the
// agent was silent for as long as the spec says. A task that was ordered from an
// agent that is gone is in nobody's hands.
func (w *world) watchLost(lost *engine.Task) {
	w.Helper()
	m, after := w.machines[lost.Claim.Agent], w.engine.SpecOf(lost.ID).Spec.OnLost.After
	if m != nil && m.tasks[lost.ID] != nil && (m.connected || w.now.Before(m.last.Add(after))) {
		w.Fatalf("%s was given up, and %s was last heard of at %v\n%s", lost.ID, m.agent.ID, m.last.Sub(noon), w.story.String())
	}
}

// watchReturn fails if a task comes back from another end than being lost, or one
// comes back that its agent does not have.
func (w *world) watchReturn(before, after *engine.Task) {
	w.Helper()
	m := w.machines[after.Claim.Agent]
	if before.Status.State != task.Lost || m == nil || m.tasks[after.ID] == nil {
		w.Fatalf("%s was %s and is %s\n%s", after.ID, before.Status.State, after.Status.State, w.story.String())
	}
	if after.Status.State.HoldsClaim() {
		w.returned[after.Service]++
	}
}

// watchGap fails if we stopped a good instance and left fewer than promised.
func (w *world) watchGap(stopped *engine.Task) {
	w.Helper()
	s := w.engine.Service(stopped.Service)
	if s == nil || s.Kind != spec.Service || s.Stopped || s.Revision == 0 {
		return
	}
	agent := w.engine.Agent(stopped.Claim.Agent)
	if agent.DrainForced && !agent.DrainedBy.IsZero() && !w.now.Before(agent.DrainedBy) {
		return // an operator wants it
	}
	if !agent.SilentSince.IsZero() {
		return // nobody knows whether it was good
	}
	_, unavailable := rollout.Limits(w.engine.Revision(s.Name, s.Revision).Spec.Deploy, s.Instances)
	if good := w.good(s.Name); good < s.Instances-unavailable {
		w.Fatalf("%s was stopped (%s) and left %d good instances of %d\n%s", stopped.ID, stopped.Status.Reason, good, s.Instances, w.story.String())
	}
}

// runs reports whether a task's program runs on its agent.
func (w *world) runs(t *engine.Task) bool {
	m := w.machines[t.Claim.Agent]
	return m != nil && m.tasks[t.ID] != nil && m.tasks[t.ID].status.State >= task.Starting && m.tasks[t.ID].status.State <= task.Ready
}

// good returns how many instances of a service are ready, as far as is known.
func (w *world) good(name id.Service) int {
	live, _ := w.engine.Tasks(name)
	n := 0
	for _, t := range live {
		if t.Status.State == task.Ready && w.engine.Agent(t.Claim.Agent).SilentSince.IsZero() {
			n++
		}
	}
	return n
}

// watchDrain fails if an agent is told to stop a task to which a router may
// still send requests, or has some in flight, unless it drained for long enough.
func (w *world) watchDrain(before, after *engine.Task) {
	w.Helper()
	drained := w.engine.SpecOf(after.ID).Spec.Deploy.Drain
	started := before.Status.Since
	if before.Status.State != task.Draining {
		started = w.now
	}
	if !w.now.Before(started.Add(drained)) {
		return
	}
	for _, r := range w.routers {
		_, busy := r.left[after.ID]
		if known := w.knows(r.name); known && (busy || endpointsOf(r.applied)[after.ID]) {
			w.Fatalf("%s is stopped at %v, and router %s still needs it:\n%+v\n%+v\n%s", after.ID, w.now, r.name, before.Status, after.Status, w.story.String())
		}
	}
}

func (w *world) knows(name id.Router) bool {
	for _, r := range w.engine.Routers() {
		if r.Confirmation.Router == name {
			return true
		}
	}
	return false
}

// checkClaims fails if we gave a service more claims than it may have. Tasks that
// were given up and came back are not ours to give.
func (w *world) checkClaims(s *engine.Service) {
	w.Helper()
	live, _ := w.engine.Tasks(s.Name)
	claims := 0
	for _, t := range live {
		if t.Status.State.HoldsClaim() {
			claims++
		}
	}
	before := w.claims[s.Name] + w.returned[s.Name]
	w.claims[s.Name], w.returned[s.Name] = claims, 0
	if s.Kind != spec.Service || s.Revision == 0 || claims <= before {
		return
	}
	surge, _ := rollout.Limits(w.engine.Revision(s.Name, s.Revision).Spec.Deploy, s.Instances)
	if claims > s.Instances+surge {
		w.Fatalf("service %s has %d claims, %d instances are wanted\n%s", s.Name, claims, s.Instances, w.story.String())
	}
}
