package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
	"github.com/aloft-run/aloft/wire"
)

// restore takes up what an earlier agent left: what its files say, as far as
// they can be read, and what the runtime knows. It may take its time: the loop
// has not begun.
func (a *Agent) restore(ctx context.Context) error {
	a.restoreEpoch(ctx)
	known, err := a.runtime.List(ctx)
	if err != nil {
		return err
	}
	others, err := a.restoreTasks(ctx)
	if err != nil {
		return err
	}
	programs := make(map[runtime.Key]*runtime.Exit, len(known)) // nil: it runs
	for _, program := range known {
		a.match(ctx, program)
		programs[program.Key] = program.Exit
	}
	rebooted := a.rebooted(ctx)
	for _, name := range slices.Sorted(maps.Keys(a.tasks)) {
		in := a.tasks[name]
		exit, started := programs[in.key()]
		if rebooted && in.status.State == task.Starting && !started {
			a.end(ctx, in, &task.Exit{Code: -1, Error: "its machine was started anew; whether it ran is not known", At: time.Now()}, true)
			continue
		}
		a.goOn(ctx, in, started, exit)
	}
	for _, name := range others {
		if a.tasks[name] == nil {
			a.tidying.gone = append(a.tidying.gone, leaving{task: name, ran: true}) // it may have
		}
	}
	pages := a.pages()
	a.folder.write(pages)
	a.written(ctx, pages)
	if err := replaceFile(a.folder.boot(), []byte(a.cfg.BootID+"\n")); err != nil {
		a.cfg.Log.WarnContext(ctx, "boot not kept on disk", slog.Any("error", err))
	}
	return nil
}

// rebooted reports whether the machine was started anew since an agent last used the
// folder. Then nobody knows any more whether an attempt ran that was about to start.
func (a *Agent) rebooted(ctx context.Context) bool {
	text, err := os.ReadFile(a.folder.boot())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		a.cfg.Log.WarnContext(ctx, "boot not read", slog.Any("error", err))
		return true
	}
	return err == nil && strings.TrimSpace(string(text)) != strings.TrimSpace(a.cfg.BootID)
}

// restoreEpoch reads the newest epoch that was seen. Without it a deposed leader
// could be believed once more, which is no reason to leave the tasks alone.
func (a *Agent) restoreEpoch(ctx context.Context) {
	text, err := os.ReadFile(a.folder.epoch())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var seen uint64
	if err == nil {
		seen, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	if err != nil {
		a.cfg.Log.ErrorContext(ctx, "epoch not read; the next one is believed", slog.Any("error", err))
		return
	}
	a.epoch = epoch{newest: seen, kept: seen}
}

// restoreTasks reads the task files. It returns the folders that have none, or
// none that can be read, the oldest first.
func (a *Agent) restoreTasks(ctx context.Context) (others []id.Task, err error) {
	entries, err := os.ReadDir(a.folder.tasks())
	if err != nil {
		return nil, err
	}
	changed := make(map[id.Task]time.Time, len(entries))
	for _, entry := range entries {
		name := id.Task(entry.Name())
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || id.Check(name) != nil {
			continue // none of ours
		}
		in, err := a.readTask(name)
		if err == nil {
			a.tasks[name] = in
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			a.cfg.Log.ErrorContext(ctx, "task file cannot be read; its task is given up", slog.String("task", string(name)),
				slog.Any("error", errors.Join(err, os.Rename(a.folder.file(name), a.folder.damaged(name)))))
		}
		changed[name] = info.ModTime()
	}
	others = slices.Sorted(maps.Keys(changed))
	slices.SortStableFunc(others, func(x, y id.Task) int { return changed[x].Compare(changed[y]) })
	return others, nil
}

// readTask returns the task of a task file. The error wraps fs.ErrNotExist when
// there is none.
func (a *Agent) readTask(name id.Task) (*instance, error) {
	kept, records, err := a.folder.readTask(name)
	if err != nil {
		return nil, err
	}
	status, err := wire.ToStatus(kept.GetStatus())
	if err != nil {
		return nil, err
	}
	over := status.State.Ended() || status.State == task.Stopping
	switch {
	case kept.GetOrder().GetTask() != string(name):
		return nil, fmt.Errorf("it is of task %q", kept.GetOrder().GetTask())
	case status.State == task.Pending || status.State == task.Draining || status.State == task.Lost:
		return nil, fmt.Errorf("an agent has no task that is %s", status.State)
	case kept.GetSpec() == nil && over:
		in := newRemnant(name, status)
		in.kept, in.records, in.grace, in.ran = kept.GetStatus(), records, strayGrace, status.Attempt > 0
		return in, nil
	}
	s, err := wire.ToSpec(kept.GetSpec())
	if err != nil {
		return nil, err
	}
	in, err := newInstance(kept.GetOrder(), &revision{spec: s, wire: kept.GetSpec()}, status.Since)
	if err != nil {
		return nil, err
	}
	in.status, in.kept, in.records, in.grace, in.ran = status, kept.GetStatus(), records, s.Deploy.Grace, status.Attempt > 0
	return in, nil
}

// match finds the task of a program that the runtime knows. One that no file
// tells of is ended: without its spec it cannot be watched or started again.
func (a *Agent) match(ctx context.Context, program runtime.Task) {
	in, ok := a.tasks[program.Key.Task]
	runs := program.Exit == nil
	switch {
	case !ok && runs:
		a.cfg.Log.ErrorContext(ctx, "a program runs of which there is no task file; it is stopped",
			slog.String("task", string(program.Key.Task)))
		in = newRemnant(program.Key.Task, task.Status{
			State: task.Stopping, Since: time.Now(), Attempt: program.Key.Attempt, Reason: "its task file is lost",
		})
		in.grace = strayGrace
		a.tasks[in.task] = in
		a.writing.changed[in.task] = true
	case !ok, in.status.Attempt > program.Key.Attempt && !runs:
		a.forgetEnds(ctx, []runtime.Key{program.Key})
	case in.status.Attempt > program.Key.Attempt, in.status.State.Ended() && runs:
		a.stopForgotten(ctx, program.Key)
	case in.status.Attempt < program.Key.Attempt && !in.status.State.Ended(): // its file is of an earlier time
		in.status.Attempt = program.Key.Attempt
		if in.status.State != task.Stopping {
			in.status.State = task.Starting
		}
		a.writing.changed[in.task] = true
	}
}

// stopForgotten ends a program that should have ended before.
func (a *Agent) stopForgotten(ctx context.Context, key runtime.Key) {
	a.workers.Go(func() {
		if err := a.runtime.Stop(ctx, key, strayGrace); err != nil && ctx.Err() == nil {
			a.cfg.Log.ErrorContext(ctx, "program not stopped", slog.String("task", string(key.Task)), slog.Any("error", err))
		}
	})
}

// goOn takes up a restored task, whose newest attempt was started or not, and
// has ended if there is an exit. One that was ready stays ready: its program
// served all the while.
func (a *Agent) goOn(ctx context.Context, in *instance, started bool, exit *runtime.Exit) {
	if exit != nil {
		a.exited(ctx, *exit) // it comes again as an event, and counts once
		return
	}
	switch in.status.State {
	case task.Assigned:
		a.begin(ctx, in)
	case task.Starting:
		if started {
			a.started(ctx, in)
			return
		}
		in.launchDue = true
		a.writing.changed[in.task] = true
	case task.Running, task.Ready:
		if started {
			a.watchHealth(ctx, in)
			return
		}
		a.end(ctx, in, &task.Exit{Code: -1, Error: "its supervisor does not know it", At: time.Now()}, true)
	case task.Stopping:
		if started {
			a.stopProgram(ctx, in, in.grace)
			return
		}
		a.end(ctx, in, nil, false)
	case task.Backoff: // a clock that was set back must not keep it waiting
		latest := time.Now().Add(task.RetryDelay(in.status.Failures))
		if in.status.RetryAt.After(latest) {
			in.status.RetryAt = latest
		}
		a.alarms.set(in.status.RetryAt, in.task)
	default: // an end waits to be forgotten
	}
}
