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
	s.waiting, s.stirred, s.doubled = "", false, false
	for _, run := range slices.Clone(s.record.Runs) {
		e.planRun(s, run)
	}
}

// unconcerned reports whether no plan of a service depends on the step that a task
// has taken from a state. In a job that is so for most steps: a copy goes on, or has
// finished and is not the last of its run. Of many thousand copies each would else be
// looked at for each step of one of them.
func (s *service) unconcerned(t *entry, before task.State) bool {
	r := s.record
	if !r.Kind.RunsToCompletion() || r.Stopped || r.Removing || s.doubled || !before.Live() {
		return false
	}
	if len(r.Runs) != 1 || r.Runs[0] != t.record.Run || t.record.Run != r.Run || t.spec().Timeout > 0 {
		return false
	}
	return t.state().Live() || t.state() == task.Finished && len(s.live) > 1
}

// waitsFor says what a service waits for, "" for nothing.
func (e *Engine) waitsFor(s *service) string {
	if s.stirred {
		s.stirred = false
		s.waiting = rollout.NextCopies(s.batch(s.record.Run), e.copies(s, s.record.Run), e.now).Waiting
	}
	return s.waiting
}

// planRun takes the next steps of one run.
func (e *Engine) planRun(s *service, run int64) {
	e.stopLate(s, run)
	seen := e.copies(s, run)
	plan := rollout.NextCopies(s.batch(run), seen, e.now)
	s.doubled = s.doubled || living(seen) > plan.Live
	s.wakeBy(plan.AskAgain)
	for _, list := range [][]id.Task{plan.Cancel, plan.Stop} {
		for _, name := range list {
			e.stopTask(e.tasks[name], e.runStopReason(s, e.tasks[name]))
		}
	}
	e.startCopies(s, run, plan.Start)
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

// startCopies adds a task for each of the copies.
func (e *Engine) startCopies(s *service, run int64, numbers []int) {
	if len(numbers) == 0 {
		return
	}
	tries := make(map[int]int) // how many tasks a copy has had that say something of its program
	for _, t := range s.ended {
		if t.record.Run == run && t.state() == task.Failed {
			tries[t.record.Copy]++
		}
	}
	revision, first := s.revisionOfRun(run), e.number(s, len(numbers))
	for i, number := range numbers {
		e.newTask(s, first+int64(i), Task{Revision: revision, Run: run, Copy: number, Retry: int32(tries[number])})
	}
}

// copies shows the tasks of a run to rollout.
func (e *Engine) copies(s *service, run int64) []rollout.Copy {
	seen := make([]rollout.Copy, 0, len(s.live)+len(s.ended))
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

// living returns how many of the tasks have not ended.
func living(seen []rollout.Copy) int {
	n := 0
	for i := range seen {
		if !seen[i].State.Ended() {
			n++
		}
	}
	return n
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
	if s.revisions[s.revisionOfRun(run)].Spec.Timeout == 0 {
		return
	}
	for _, t := range s.snapshot() {
		limit := t.spec().Timeout
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
func (t *entry) judgeEnd(status task.Status) task.Status {
	limit := t.spec().Timeout
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
