package agent

import (
	"context"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// instance is a task on this agent. Only Run touches it.
type instance struct {
	task    id.Task
	order   *pb.RunOrder
	rev     *revision
	status  task.Status
	grace   time.Duration // of the stop that was asked
	stray   bool          // no master knows it: forgotten at its end
	killAt  time.Time     // an attempt that is not alive is stopped then; zero: none
	verdict string        // why we ended the attempt, for its exit

	cancelLaunch context.CancelFunc // of the fetch and start under way
	cancelProbes context.CancelFunc // nil while none run
}

// newInstance returns the task of an order, not yet started.
func newInstance(order *pb.RunOrder, rev *revision, now time.Time) *instance {
	return &instance{
		task: id.Task(order.GetTask()), order: order, rev: rev,
		status:       task.Status{State: task.Assigned, Since: now, Attempt: int(order.GetAttempts())},
		cancelLaunch: func() {},
	}
}

// key names the newest attempt.
func (in *instance) key() runtime.Key {
	return runtime.Key{Task: in.task, Attempt: in.status.Attempt}
}

// runsToCompletion reports whether a good exit is the aim.
func (in *instance) runsToCompletion() bool { return in.rev.spec.RunsToCompletion() }

func (in *instance) stopProbes() {
	in.killAt = time.Time{}
	if in.cancelProbes != nil {
		in.cancelProbes()
		in.cancelProbes = nil
	}
}

// end records that the newest attempt is over, with exit nil when its program
// never ran, and clears away what it leaves.
func (a *Agent) end(ctx context.Context, in *instance, exit *task.Exit) {
	in.stopProbes()
	if exit != nil && in.verdict != "" && exit.Error == "" {
		exit.Error = in.verdict
	}
	in.verdict = ""
	key := in.key()
	a.move(ctx, in, task.End{
		At: time.Now(), Exit: exit, Completes: in.runsToCompletion(), Again: !in.runsToCompletion(),
	})
	if exit != nil {
		a.forgetAttempt(ctx, key)
	}
	a.endAnswers(in.task)
	if in.stray && in.status.State.Ended() {
		a.forget(ctx, in.task)
	}
}

// exited folds in the end of a program. The same end may come again: then it
// was not forgotten in time.
func (a *Agent) exited(ctx context.Context, exit runtime.Exit) {
	in, ok := a.tasks[exit.Key.Task]
	if !ok || in.status.Attempt != exit.Key.Attempt || in.status.State.Ended() || in.status.State == task.Backoff {
		a.forgetAttempt(ctx, exit.Key)
		return
	}
	if in.status.State == task.Starting { // a short program ends before its start is known
		a.move(ctx, in, task.Start{At: exit.At})
	}
	a.end(ctx, in, &task.Exit{
		Code: exit.Code, Signal: exit.Signal, OOM: exit.OOM, Error: exit.StartError, At: exit.At, LastLogs: exit.LastLines,
	})
}

// nextDue returns when actOnDue has something to do, at the latest in an hour.
func (a *Agent) nextDue() time.Time {
	due := time.Now().Add(time.Hour)
	for _, in := range a.tasks {
		if in.status.State == task.Backoff && in.status.RetryAt.Before(due) {
			due = in.status.RetryAt
		}
		if !in.killAt.IsZero() && in.killAt.Before(due) {
			due = in.killAt
		}
	}
	return due
}

// actOnDue starts again what has waited long enough, and ends what was not
// alive for too long.
func (a *Agent) actOnDue(ctx context.Context, now time.Time) {
	for _, in := range a.tasks {
		if in.status.State == task.Backoff && !in.status.RetryAt.After(now) {
			a.begin(ctx, in)
		}
		if !in.killAt.IsZero() && !in.killAt.After(now) {
			in.stopProbes()
			a.stopProgram(ctx, in, in.rev.spec.Deploy.Grace)
		}
	}
}
