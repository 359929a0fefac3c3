package agent

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/task"
)

// begin makes the next attempt of a task. It is launched when the disk knows of
// it.
func (a *Agent) begin(ctx context.Context, in *instance) {
	if a.move(ctx, in, task.Accept{At: time.Now(), Attempt: in.status.Attempt + 1}) {
		in.launchDue = true
	}
}

// launch prepares and starts the newest attempt of a task, apart from Run;
// launched hears of it.
func (a *Agent) launch(ctx context.Context, in *instance) {
	key := in.key()
	preparing, cancel := context.WithCancel(ctx)
	in.cancelLaunch = cancel
	launch, err := a.launchOf(in)
	wanted := sandbox{
		folder: a.folder, task: key.Task, attempt: key.Attempt, artifacts: in.rev.spec.Run.Fetch,
		address: a.cfg.Address, ports: in.ports(),
	}
	leased := in.endsOff()
	a.workers.Go(func() {
		defer cancel()
		if err == nil {
			err = wanted.prepare(preparing, a.noted(key))
		}
		if err == nil {
			err = context.Cause(preparing)
		}
		if err == nil && leased {
			err = a.awaitLease(preparing, &launch)
		}
		if err == nil {
			err = a.runtime.Start(ctx, launch) // not cancelled by a stop: then nobody would know whether it runs
		}
		a.do(ctx, func() { a.launched(ctx, key, err) })
	})
}

// launched goes on where launch left off.
func (a *Agent) launched(ctx context.Context, key runtime.Key, err error) {
	in, ok := a.tasks[key.Task]
	if !ok || in.status.Attempt != key.Attempt || in.cancelLaunch == nil {
		return // it has ended already
	}
	in.cancelLaunch, in.fetching = nil, ""
	in.ran = in.ran || err == nil || errors.Is(err, runtime.ErrNeverRan)
	stopping := in.status.State == task.Stopping
	switch {
	case errors.Is(err, runtime.ErrNeverRan): // its exit is on the way
	case err == nil && stopping:
		a.stopProgram(ctx, in, in.grace)
	case err == nil:
		a.started(ctx, in)
	case stopping:
		a.end(ctx, in, nil, false)
	default:
		a.refused(ctx, in, err)
	}
}

// started begins to watch a program that runs.
func (a *Agent) started(ctx context.Context, in *instance) {
	if a.move(ctx, in, task.Start{At: time.Now()}) {
		a.watchHealth(ctx, in)
	}
}

// refused ends an attempt whose program did not start. It is not tried again
// where that could not help: another port is needed, or the attempt was started
// before and its task is over.
func (a *Agent) refused(ctx context.Context, in *instance, err error) {
	a.cfg.Log.InfoContext(ctx, "task not started", slog.String("task", string(in.task)),
		slog.Int("attempt", in.status.Attempt), slog.Any("error", err))
	if errors.Is(err, errPortTaken) && in.takesAnyPort() && a.displaced.allows(time.Now()) {
		a.displace(ctx, in, err)
		return
	}
	hopeless := errors.Is(err, errPortTaken) || errors.Is(err, runtime.ErrAlreadyStarted)
	a.end(ctx, in, &task.Exit{Code: refusalCode(err), Error: words(err.Error()), At: time.Now()}, !hopeless)
}

// refusalCode returns the exit code with which a shell says that it could not
// start a program, -1 where it has none.
func refusalCode(err error) int {
	switch {
	case errors.Is(err, runtime.ErrNotFound):
		return 127
	case errors.Is(err, runtime.ErrNotExecutable):
		return 126
	default:
		return -1
	}
}

// exited folds in the end of a program. That of a short one may come before it is
// known to have started; and the same end may come again, when it was not
// forgotten in time.
func (a *Agent) exited(ctx context.Context, exit runtime.Exit) {
	in, ok := a.tasks[exit.Key.Task]
	if !ok || in.status.Attempt != exit.Key.Attempt || !in.hasProgram() {
		if !ok || !slices.Contains(in.ended, exit.Key) {
			a.forgetEnds(ctx, []runtime.Key{exit.Key})
		}
		return
	}
	in.ended, in.ran = append(in.ended, exit.Key), true
	a.end(ctx, in, exitOf(exit), true)
}

// exitOf returns an exit in the words of core.
func exitOf(exit runtime.Exit) *task.Exit {
	ended := &task.Exit{
		Code: exit.Code, Signal: exit.Signal, OOM: exit.OOM, Error: words(exit.StartError), At: exit.At,
	}
	for _, line := range exit.LastLines {
		ended.LastLogs = append(ended.LastLogs, words(line))
	}
	return ended
}

// end records that the newest attempt is over, with exit nil when there was no
// program to end. Unless it ran to completion it may be tried again.
func (a *Agent) end(ctx context.Context, in *instance, exit *task.Exit, again bool) {
	in.stopProbes()
	in.cancelLaunch, in.fetching = nil, ""
	if exit != nil && exit.Error == "" {
		exit.Error = in.verdict
	}
	in.verdict = ""
	a.move(ctx, in, task.End{
		At: time.Now(), Exit: exit, Completes: in.runsToCompletion(), Again: again && !in.runsToCompletion(),
	})
	if in.status.State == task.Backoff {
		a.alarms.set(in.status.RetryAt, in.task)
	}
	a.endAnswers(in.task)
}

// stopProgram asks the runtime to end the newest attempt. Its exit comes as an
// event.
func (a *Agent) stopProgram(ctx context.Context, in *instance, grace time.Duration) {
	key := in.key()
	a.workers.Go(func() {
		err := a.runtime.Stop(ctx, key, grace)
		if err == nil || ctx.Err() != nil {
			return
		}
		known := a.knows(ctx, key)
		a.do(ctx, func() { a.notStopped(ctx, key, known, err) })
	})
}

// knows reports whether the runtime has a record of the attempt, or may have.
func (a *Agent) knows(ctx context.Context, key runtime.Key) bool {
	list, err := a.runtime.List(ctx)
	return err != nil || slices.ContainsFunc(list, func(t runtime.Task) bool { return t.Key == key })
}

// notStopped says that a program could not be ended. If nobody knows of it any
// more no exit will come, and there is nothing left to end.
func (a *Agent) notStopped(ctx context.Context, key runtime.Key, known bool, err error) {
	in, ok := a.tasks[key.Task]
	if !ok || in.status.Attempt != key.Attempt || !in.hasProgram() {
		return // it ended meanwhile
	}
	a.cfg.Log.ErrorContext(ctx, "task not stopped", slog.String("task", string(key.Task)), slog.Any("error", err))
	if !known {
		a.end(ctx, in, &task.Exit{Code: -1, Error: "its supervisor does not know it", At: time.Now()}, true)
	}
}
