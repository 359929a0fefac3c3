package agent

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// writeAgain is how long after the disk took no more it is tried again.
const writeAgain = time.Second

// recordsMax is how many records a task file gets before it is written anew.
const recordsMax = 100

// writing is what the disk must still be told. One batch is written at a time:
// what changes meanwhile waits, and of each task only the newest status is
// written.
type writing struct {
	changed map[id.Task]bool // since they were last written
	failed  map[id.Task]bool // could not be written
	again   time.Time        // when those are tried again; zero: there are none
	busy    bool             // a batch is being written
}

// page is what the disk is told of one task, and what waits for that.
type page struct {
	task    id.Task
	kept    *pb.KeptTask  // nil: the task is forgotten
	records int           // in the task's file
	launch  bool          // the newest attempt may be started then
	ended   []runtime.Key // attempts whose ends the runtime may forget then
	err     error
}

// write begins to write what has changed, unless a batch is being written: the
// end of that one begins the next.
func (a *Agent) write(ctx context.Context) {
	if a.writing.busy || len(a.writing.changed) == 0 {
		return
	}
	pages := a.pages()
	a.writing.busy = true
	a.workers.Go(func() {
		a.folder.write(pages)
		a.do(ctx, func() {
			a.writing.busy = false
			a.written(ctx, pages)
		})
	})
}

// pages takes all that has changed.
func (a *Agent) pages() []page {
	pages := make([]page, 0, len(a.writing.changed))
	for _, name := range slices.Sorted(maps.Keys(a.writing.changed)) {
		p := page{task: name}
		if in, ok := a.tasks[name]; ok {
			if in.launchDue && in.status.State == task.Starting {
				in.status.Reason = "" // kept says it again
			}
			p.kept = &pb.KeptTask{Order: in.order, Spec: in.rev.wire, Status: wire.FromStatus(in.status)}
			p.records = in.records % recordsMax
			p.launch, in.launchDue = in.launchDue, false
			p.ended = slices.Clone(in.ended)
		}
		pages = append(pages, p)
	}
	clear(a.writing.changed)
	return pages
}

func (f folder) write(pages []page) {
	for i, p := range pages {
		if p.kept == nil {
			pages[i].err = f.dropTask(p.task)
		} else {
			pages[i].err = f.keepTask(p.task, p.kept, p.records)
		}
	}
}

// written does what had to wait for the disk.
func (a *Agent) written(ctx context.Context, pages []page) {
	for _, p := range pages {
		a.noteWritten(ctx, p)
		in, here := a.tasks[p.task]
		switch {
		case here && p.kept != nil:
			a.kept(ctx, in, p)
		case p.kept != nil: // forgotten meanwhile: the next batch removes it
			a.forgetEnds(ctx, p.ended)
		case !here && p.err == nil:
			a.tidying.gone = append(a.tidying.gone, leaving{task: p.task, ran: a.tidying.ran[p.task]})
			delete(a.tidying.ran, p.task)
		}
	}
}

// kept reports what the disk knows now of a task, and goes on with it. One that
// the disk does not take runs on, and its ends stay with the runtime, so that
// they are not lost; but no attempt is started of which the disk does not know:
// the next agent would take its program for nobody's.
func (a *Agent) kept(ctx context.Context, in *instance, p page) {
	in.kept = p.kept.GetStatus()
	a.outbox.add(p.task)
	in.records = 0
	if p.err == nil {
		in.records = p.records + 1
		in.ended = in.ended[len(p.ended):]
		a.forgetEnds(ctx, p.ended)
	}
	wanted := p.launch && in.status.State == task.Starting && in.status.Attempt == int(in.kept.GetAttempt())
	switch {
	case wanted && p.err == nil:
		a.launch(ctx, in)
	case wanted:
		in.launchDue = true
		in.status.Reason = words("the data folder cannot be written: " + p.err.Error())
		in.kept = wire.FromStatus(in.status)
	}
}

// noteWritten keeps in mind what the disk did not take, and says so once.
func (a *Agent) noteWritten(ctx context.Context, p page) {
	w := &a.writing
	switch {
	case p.err != nil:
		if len(w.failed) == 0 {
			a.cfg.Log.ErrorContext(ctx, "tasks not kept on disk; if the agent ends now, the next one misses their last changes",
				slog.String("task", string(p.task)), slog.Any("error", p.err))
			w.again = time.Now().Add(writeAgain)
		}
		w.failed[p.task] = true
	case w.failed[p.task]:
		delete(w.failed, p.task)
		if len(w.failed) == 0 {
			a.cfg.Log.InfoContext(ctx, "tasks are kept on disk again")
			w.again = time.Time{}
		}
	}
}

// retry has what the disk did not take written again, when it is time.
func (w *writing) retry(now time.Time) {
	if w.again.IsZero() || w.again.After(now) {
		return
	}
	maps.Copy(w.changed, w.failed)
	w.again = now.Add(writeAgain)
}

// forgetEnds drops the runtime's records of attempts that ended.
func (a *Agent) forgetEnds(ctx context.Context, keys []runtime.Key) {
	if len(keys) == 0 {
		return
	}
	a.workers.Go(func() {
		for _, key := range keys {
			if err := a.runtime.Forget(ctx, key); err != nil && ctx.Err() == nil {
				a.cfg.Log.WarnContext(ctx, "exit not forgotten", slog.String("task", string(key.Task)), slog.Any("error", err))
			}
		}
	})
}
