package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// planService does what is due for one service: it gives up what is lost, lets
// go what has drained, and takes the next steps towards what is wanted. What it
// changes makes the service dirty again, until nothing is left to do.
func (e *Engine) planService(s *service) {
	if e.services[s.record.Name] != s {
		return // it was forgotten
	}
	s.wakeAt = time.Time{}
	e.giveUp(s)
	e.tendService(s)
	e.letGo(s)
	e.tellRefusals(s)
	switch s.record.Kind {
	case spec.Service:
		e.planInstances(s)
	case spec.Daemon:
		e.planDaemon(s)
	case spec.Job, spec.Cron:
		e.planRuns(s)
	}
	e.trimOld(s)
	e.timers.set(timerKey{serviceTimer, string(s.record.Name)}, s.wakeAt)
	e.forgetRemoved(s)
}

// giveUp loses the tasks whose agents have been silent for too long.
func (e *Engine) giveUp(s *service) {
	if len(e.silent) == 0 {
		return
	}
	for _, t := range s.snapshot() {
		since, silent := e.suspect(t.record.Claim.Agent)
		if !silent || !t.state().HoldsClaim() {
			continue
		}
		if waited := e.agents[t.record.Claim.Agent].waited; since.Before(waited) {
			since = waited
		}
		if e.cluster != nil && since.Before(e.cluster.Regained) {
			since = e.cluster.Regained // the others may be on their way back, too
		}
		due := e.lostAt(t, since)
		switch {
		case e.now.Before(due):
			s.wakeBy(due)
			continue
		case e.frozen() || !e.connected():
			continue // its programs may serve on, and nobody knows whether they do, or nothing could take their place
		case e.doubts():
			s.wakeBy(e.now.Add(doubtFor))
			continue
		}
		e.lose(t, fmt.Sprintf("agent %s has been silent for %v", t.record.Claim.Agent, e.now.Sub(since).Round(100*time.Millisecond)))
	}
}

// lostAt returns when a task is given up whose agent is silent since then. With one
// that its agent ends off meanwhile it is no earlier than the spec says that the
// agent has of it, and by the clock of this leader alone: a leader before may have
// had another.
func (e *Engine) lostAt(t *entry, since time.Time) time.Time {
	own, after := t.spec(), t.owner.specOf(t).OnLost.After
	if own.OnPartition != spec.EndOff {
		return since.Add(after)
	}
	if since.Before(e.began) {
		since = e.began
	}
	return since.Add(max(after, own.OnLost.After))
}

// planInstances takes the next steps of a service.
func (e *Engine) planInstances(s *service) {
	e.checkMoves(s)
	plan := rollout.Next(s.goal(), e.instances(s), e.now)
	if e.judge(s, plan) {
		return // another plan is due
	}
	if r := s.wanted(); plan.Done && r != nil && s.record.LastGood == 0 && !s.record.Stopped && s.deployment() == nil {
		e.putService(s, func(record *Service) { record.LastGood = r.Number }) // it was given up too early
	}
	s.waiting = plan.Waiting
	s.wakeBy(plan.AskAgain)
	e.carryOut(s, plan)
	if plan.Start == 0 {
		return
	}
	first := e.number(s, plan.Start)
	for i := range plan.Start {
		next := s.follower()
		next.Revision = s.revisionOf(plan.Revision)
		e.newTask(s, first+int64(i), next)
	}
}

// carryOut stops what a plan stops.
func (e *Engine) carryOut(s *service, plan rollout.Plan) {
	for _, list := range [][]id.Task{plan.Cancel, plan.Stop} {
		for _, name := range list {
			t := e.tasks[name]
			e.stopTask(t, e.stopReason(s, t))
		}
	}
}

// stopReason says in words why a task is stopped.
func (e *Engine) stopReason(s *service, t *entry) string {
	switch {
	case s.record.Stopped:
		return "the service is stopped"
	case s.record.Revision == 0:
		return fmt.Sprintf("revision %d failed", t.record.Revision)
	case !s.current(t):
		return fmt.Sprintf("revision %d takes its place", s.record.Revision)
	case e.leavesAgent(t):
		return fmt.Sprintf("agent %s is drained", t.record.Claim.Agent)
	case s.restarts(t):
		return "restarted by an operator"
	case t.moves():
		return fmt.Sprintf("it moves to agent %s", t.record.Moves.To)
	case t.record.Status.IsUnhealthy() && !e.spares(s):
		return t.record.Status.Unhealthy
	default:
		return fmt.Sprintf("%s wanted", resource.Count(s.record.Instances, "instance"))
	}
}

// goal returns what a service shall come to. Revisions that differ only in
// settings have the same instances: rollout is told of generations.
func (s *service) goal() rollout.Goal {
	r := s.wanted()
	if r == nil || s.record.Stopped {
		return rollout.Goal{}
	}
	goal := goalOf(r, s.record.Instances)
	if d := s.deployment(); d != nil {
		goal.Base, goal.Paused = s.generation(s.record.LastGood), d.State == Paused
	}
	return goal
}

// goalOf returns the goal of so many instances of a revision, by its spec.
func goalOf(r *Revision, instances int) rollout.Goal {
	surge, unavailable := rollout.Limits(r.Spec.Deploy, instances)
	return rollout.Goal{
		Revision: r.Generation, Base: r.Generation, Instances: instances,
		Surge: surge, Unavailable: unavailable, Settle: r.Spec.Deploy.Settle,
	}
}

// revisionOf returns the revision whose spec new instances of a generation get.
func (s *service) revisionOf(generation id.Revision) id.Revision {
	for _, number := range []id.Revision{s.record.Revision, s.record.LastGood} {
		if s.generation(number) == generation {
			return number
		}
	}
	return generation
}

// restarts reports whether an operator asked for a task to be replaced.
func (s *service) restarts(t *entry) bool {
	return t.record.Restart || t.record.CreatedAt.Before(s.record.RestartedAt)
}

// instances shows the tasks of a service to rollout: those that live, and the
// ones that ended not long ago.
func (e *Engine) instances(s *service) []rollout.Instance {
	seen := make([]rollout.Instance, 0, len(s.live)+len(s.ended))
	crowd, moving := make(map[id.Agent]int, len(s.on)), s.moving()
	for _, t := range s.live {
		i := e.instance(s, t)
		if !i.Leaving && slices.Contains(moving, t) {
			i.Leaving, i.Held = true, s.heldBack(t, len(moving))
		}
		if agent := t.record.Claim.Agent; agent != "" {
			i.Crowd = crowd[agent]
			crowd[agent]++
		}
		seen = append(seen, i)
	}
	for _, t := range s.ended {
		seen = append(seen, e.instance(s, t))
	}
	return seen
}

func (e *Engine) instance(s *service, t *entry) rollout.Instance {
	status := t.record.Status
	i := rollout.Instance{
		Task: t.record.ID, Revision: s.generation(t.record.Revision), State: status.State, Since: status.Since,
		ReadySince: status.ReadySince, Failures: status.Failures, Blocked: t.blocked(), Unhealthy: status.IsUnhealthy(),
	}
	if status.State.Ended() {
		return i
	}
	i.Leaving = s.restarts(t) || i.Unhealthy && !e.spares(s)
	if m := e.agents[t.record.Claim.Agent]; m != nil {
		i.Suspect, i.Overdue = m.silent(), e.overdue(m, t)
		i.Leaving = i.Leaving || m.record.Draining
	}
	return i
}

// judge ends the running deployment if it has come to its end. It reports
// whether the goal changed by that.
func (e *Engine) judge(s *service, plan rollout.Plan) bool {
	d := s.deployment()
	if d == nil {
		return false
	}
	deploy := s.specTo(d).Deploy
	progress, verdict := d.Progress, rollout.Verdict{}
	if d.State != Paused {
		if s.unjudged && !progress.At.IsZero() {
			progress = e.takeOver(progress, deploy, plan)
		}
		s.unjudged = false
		progress, verdict = rollout.Judge(progress, deploy, plan, e.now)
	}
	if peak := max(d.Peak, s.claims-s.record.Instances); progress != d.Progress || peak != d.Peak {
		d = e.putDeployment(s, d, func(d *Deployment) { d.Progress, d.Peak = progress, peak })
	}
	switch verdict.Outcome {
	case rollout.Done:
		e.endDeployment(s, d, Done, fmt.Sprintf("%s of revision %d", resource.Count(s.record.Instances, "instance"), d.To))
		e.trimRevisions(s)
		return true
	case rollout.Failed:
		e.failDeployment(s, d, verdict.Reason)
		return true
	case rollout.Going:
		if d.State == Going {
			s.wakeBy(progress.Due(deploy))
		}
	}
	return false
}

// overdueAfter is how long a new leader waits before a deployment fails whose
// deadline went by while nobody led.
const overdueAfter = 10 * time.Second

// takeOver returns the progress of a deployment that an earlier leader judged
// last. The failures that are seen are already counted. A deadline that went by
// while nobody led could not be met: it is put off until agents have had the time
// to come back and tell what they have done.
func (e *Engine) takeOver(progress rollout.Progress, deploy spec.Deploy, plan rollout.Plan) rollout.Progress {
	progress.FailuresSeen = plan.Failures
	if due := progress.Due(deploy); !due.IsZero() && due.Before(e.now) {
		progress.At = e.now.Add(min(overdueAfter, deploy.Deadline) - deploy.Deadline)
	}
	return progress
}

// forgetRemoved forgets a service that is to be removed, once it is empty and no
// silent agent can still run one of its tasks. The numbers that it gave out stay
// used up.
func (e *Engine) forgetRemoved(s *service) {
	if !s.record.Removing || len(s.live) > 0 || s.stray > 0 {
		return
	}
	for _, t := range s.ended {
		delete(e.tasks, t.record.ID)
		e.batch.dropTask(t)
	}
	for _, d := range s.deployments {
		delete(e.deployments, d.ID)
		e.batch.put(d.Key(), nil)
	}
	for _, number := range s.numbers() {
		delete(s.revisions, number)
		e.batch.put(RevisionKey(s.record.Name, number), nil)
	}
	e.retire(s.record.Tasks)
	e.claimRules(s)
	e.dropCopies(s)
	delete(e.services, s.record.Name)
	delete(e.daemons, s.record.Name)
	delete(e.dirty, s.record.Name)
	e.tableStale[s.record.Name] = struct{}{}
	e.timers.set(timerKey{serviceTimer, string(s.record.Name)}, s.wakeAt)
	e.batch.put(s.record.Key(), nil)
	e.note(Note{Kind: ServiceRemoved, Service: s.record.Name, Text: "forgotten with its history"})
}

// drainsUntil returns for how long a task waits for routers at most: for the drain of
// its spec, from when they were told. A new leader does not know when that was, and
// counts from the decision of the one before.
func (s *service) drainsUntil(t *entry) time.Time {
	since := t.record.Status.Since
	if told := t.leaving().toldAt; told.After(since) {
		since = told
	}
	return since.Add(s.specOf(t).Deploy.Drain)
}

// letGo takes tasks that drain one step on: a task that no router needs any
// more, or that has drained for as long as it may, is stopped.
func (e *Engine) letGo(s *service) {
	if len(e.draining) == 0 {
		return
	}
	for _, t := range s.snapshot() {
		if t.state() != task.Draining {
			continue
		}
		due := s.drainsUntil(t)
		switch {
		case e.drained(t):
		case t.leaving().untold > 0 && s.specOf(t).Deploy.Drain > 0:
			continue // the time that routers have has not begun
		case e.now.Before(due):
			s.wakeBy(due)
			continue
		}
		e.move(t, task.Stop{At: e.now})
	}
}
