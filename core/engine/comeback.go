package engine

import (
	"slices"

	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// takeBack takes back a task that was given up while its agent was silent, and
// that the agent still has. Then there may be more instances than are wanted, and
// two tasks of one copy: the plans of their services keep the best ones and stop
// the rest as they stop everything. It is false when the task is of no use any
// more, or its claim has been given to others; then it is a stray.
func (e *Engine) takeBack(m *machine, report Report, rebooted bool) bool {
	t := e.tasks[report.Task]
	if t == nil || t.record.Claim.Agent != m.record.ID || !t.owner.wouldTakeBack(t) {
		return false
	}
	if rebooted && report.Status.State == task.Backoff {
		return false // it did not survive
	}
	next, returns := task.Return(t.record.Status, e.inTime(t.record.Status, report.Status))
	switch {
	case !returns:
		return false
	case next.State != task.Finished && t.spec().OnPartition == spec.EndOff:
		return false // it was ended off, and another one may run
	case next.State == task.Finished:
		before := t.record.Status
		e.putTask(t, func(r *Task) { r.Status = next })
		e.tell(t, before)
		return false // it is to be forgotten
	}
	if err := e.giveBack(t, next); err != nil {
		return false
	}
	e.release(m, t.record.ID)
	e.note(Note{Kind: TaskReturned, Service: t.record.Service, Task: t.record.ID, Agent: m.record.ID, Text: "its agent still has it"})
	return true
}

// wouldTakeBack reports whether a service still has a use for a lost task. That of
// a run that is over has none: its copies are counted.
func (s *service) wouldTakeBack(t *entry) bool {
	switch s.record.Kind {
	case spec.Job, spec.Cron:
		return slices.Contains(s.record.Runs, t.record.Run)
	default:
		return true
	}
}
