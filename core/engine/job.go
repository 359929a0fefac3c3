package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// startRun begins a run of a job or cron. Unless a cron's runs may overlap, the
// ones before end.
func (e *Engine) startRun(s *service) {
	e.putService(s, func(r *Service) {
		r.Run, r.Result = r.Run+1, Underway
		r.Runs = append(slices.Clone(r.Runs), r.Run)
	})
	if s.record.Kind == spec.Job {
		e.note(Note{Kind: JobStarted, Service: s.record.Name, Text: fmt.Sprintf("run %d", s.record.Run)})
	}
}

// planRuns takes the next steps of a job, or of a cron's runs.
func (e *Engine) planRuns(s *service) {
	if s.record.Kind == spec.Cron {
		e.planSchedule(s)
	}
	s.waiting = ""
	for _, run := range slices.Clone(s.record.Runs) {
		e.planRun(s, run)
	}
}

// planRun takes the next steps of one run.
func (e *Engine) planRun(s *service, run int64) {
	e.stopLate(s, run)
	plan := rollout.NextCopies(s.batch(run), e.copies(s, run), e.now)
	s.wakeBy(plan.AskAgain)
	for _, list := range [][]id.Task{plan.Cancel, plan.Stop} {
		for _, name := range list {
			e.stopTask(e.tasks[name], e.runStopReason(s, e.tasks[name]))
		}
	}
	for _, number := range plan.Start {
		e.newTask(s, Task{Revision: s.revisionOfRun(run), Run: run, Copy: number, Retry: s.tries(run, number)})
	}
	if run == s.record.Run {
		s.waiting = plan.Waiting
	}
	if plan.Verdict.Outcome != rollout.Going {
		e.endRun(s, run, plan.Verdict)
	}
}

// batch returns what a run shall come to. A run that another one took the place
// of has stopped; so has every run of a service that is stopped.
func (s *service) batch(run int64) rollout.Batch {
	r := s.revisions[s.revisionOfRun(run)]
	replaced := run != s.record.Run && (s.record.Kind == spec.Job || r.Spec.Schedule.Overlap == spec.Replace)
	return rollout.Batch{
		Copies: r.Spec.Instances, Retries: r.Spec.Retries, Stopped: s.record.Stopped || replaced,
	}
}

// revisionOfRun returns the revision that a run began with: that of its tasks,
// or of the wanted one if it has none yet.
func (s *service) revisionOfRun(run int64) id.Revision {
	for _, list := range [][]*entry{s.live, s.ended} {
		for _, t := range list {
			if t.record.Run == run {
				return t.record.Revision
			}
		}
	}
	return s.record.Revision
}

// tries returns how many tasks a copy has had that say something of its program.
func (s *service) tries(run int64, number int) int {
	n := 0
	for _, t := range s.ended {
		if t.record.Run == run && t.record.Copy == number && t.state() == task.Failed {
			n++
		}
	}
	return n
}

// copies shows the tasks of a run to rollout.
func (e *Engine) copies(s *service, run int64) []rollout.Copy {
	var seen []rollout.Copy
	for _, list := range [][]*entry{s.live, s.ended} {
		for _, t := range list {
			if t.record.Run == run {
				seen = append(seen, rollout.Copy{
					Task: t.record.ID, Number: t.record.Copy, State: t.state(), Since: t.record.Status.Since,
					Leaving: e.mustLeave(t), Blocked: t.blocked(),
				})
			}
		}
	}
	return seen
}

// mustLeave reports whether the time is up that a job may go on for on an agent
// that is drained. When it is not yet, it is asked again then.
func (e *Engine) mustLeave(t *entry) bool {
	if t.state().Ended() || !e.leavesAgent(t) {
		return false
	}
	by := e.agents[t.record.Claim.Agent].record.DrainedBy
	if by.IsZero() || e.now.Before(by) {
		t.owner.wakeBy(by)
		return false
	}
	return true
}

func (e *Engine) runStopReason(s *service, t *entry) string {
	switch {
	case s.record.Stopped:
		return "the service is stopped"
	case t.record.Run != s.record.Run:
		return fmt.Sprintf("run %d takes its place", s.record.Run)
	case e.leavesAgent(t):
		return fmt.Sprintf("agent %s is drained", t.record.Claim.Agent)
	default:
		return "another task of the copy came back and is further on"
	}
}

// stopLate stops the tasks of a run that took longer than they may, from when
// the program was last seen to start or to become ready.
func (e *Engine) stopLate(s *service, run int64) {
	for _, t := range s.snapshot() {
		limit := s.revisions[t.record.Revision].Spec.Timeout
		running := t.state() >= task.Starting && t.state() < task.Draining
		if t.record.Run != run || limit == 0 || !running {
			continue
		}
		if due := t.record.Status.Since.Add(limit); e.now.Before(due) {
			s.wakeBy(due)
			continue
		}
		e.stopTask(t, lateReason(limit))
	}
}

func lateReason(limit time.Duration) string { return fmt.Sprintf("ran longer than %v", limit) }

// judgeEnd returns what the end of a task says of its program: one that was
// stopped because it took too long has failed.
func (s *service) judgeEnd(t *entry, status task.Status) task.Status {
	limit := s.revisions[t.record.Revision].Spec.Timeout
	if status.State == task.Stopped && limit > 0 && status.Reason == lateReason(limit) {
		status.State = task.Failed
	}
	return status
}

// endRun ends a run that has come to its end.
func (e *Engine) endRun(s *service, run int64, verdict rollout.Verdict) {
	e.putService(s, func(r *Service) {
		r.Runs = slices.DeleteFunc(slices.Clone(r.Runs), func(open int64) bool { return open == run })
	})
	e.trimEnded(s)
	if run != s.record.Run || s.record.Result != Underway {
		return
	}
	result, kind := Succeeded, JobSucceeded
	if verdict.Outcome == rollout.Failed {
		result, kind = Unsuccessful, JobFailed
	}
	e.putService(s, func(r *Service) { r.Result = result })
	text := fmt.Sprintf("run %d", run)
	if verdict.Reason != "" {
		text += ": " + verdict.Reason
	}
	e.note(Note{Kind: kind, Service: s.record.Name, Text: text})
}
