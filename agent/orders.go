package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// strayGrace is how long a task that the cluster does not know may take to end.
const strayGrace = 10 * time.Second

// epoch is the number of the newest leader's term that was seen.
type epoch struct {
	newest, kept uint64 // kept is the one on disk
}

// revisionKey names a revision of a service.
type revisionKey struct {
	service id.Service
	number  id.Revision
}

// receive acts on a message of a master. One from a deposed leader is refused:
// its epoch is older than one that was seen.
func (a *Agent) receive(ctx context.Context, message *pb.SessionResponse) {
	if message.GetEpoch() < a.epoch.newest {
		a.cfg.Log.WarnContext(ctx, "order of a deposed leader refused",
			slog.Uint64("epoch", message.GetEpoch()), slog.Uint64("newest_epoch", a.epoch.newest))
		return
	}
	a.keepEpoch(ctx, message.GetEpoch())
	a.joined.Store(a.outbox.open)
	if orders := message.GetOrders(); orders != nil {
		a.obey(ctx, orders)
	}
	if said := message.GetHeartbeat().GetStamp(); said > 0 {
		a.inTouch(ctx, time.Duration(said))
	}
	if logs := message.GetLogs(); logs != nil {
		a.answerLogs(ctx, logs)
	}
}

// keepEpoch remembers the term of a leader before anything of it is obeyed. Run
// writes it itself: that happens once a term.
func (a *Agent) keepEpoch(ctx context.Context, newest uint64) {
	a.epoch.newest = newest
	if a.epoch.kept == newest {
		return
	}
	if err := replaceFile(a.folder.epoch(), strconv.AppendUint(nil, newest, 10)); err != nil {
		a.cfg.Log.WarnContext(ctx, "epoch not kept on disk", slog.Any("error", err))
		return
	}
	a.epoch.kept = newest
}

// obey carries out orders. Each may come again, and then changes nothing.
func (a *Agent) obey(ctx context.Context, orders *pb.Orders) {
	specs := understand(orders.GetRevisions())
	named := make(map[id.Task]bool)
	name := func(text string) (id.Task, bool) {
		if err := id.Check(text); err != nil {
			a.cfg.Log.ErrorContext(ctx, "order for what cannot be a task", slog.Any("error", err))
			return "", false
		}
		named[id.Task(text)] = true
		return id.Task(text), true
	}
	for _, order := range orders.GetRun() {
		if name, ok := name(order.GetTask()); ok {
			a.run(ctx, name, order, specs)
		}
	}
	for _, order := range orders.GetStop() {
		if name, ok := name(order.GetTask()); ok {
			a.obeyStop(ctx, name, order.GetGrace().AsDuration())
		}
	}
	for _, text := range orders.GetForget() {
		if name, ok := name(text); ok {
			a.forget(ctx, name)
		}
	}
	if orders.GetComplete() {
		a.stopStrays(ctx, named)
	}
}

// understood is a revision of an order, or why it cannot be carried out here.
type understood struct {
	rev *revision
	err error
}

// understand reads the specs of orders.
func understand(revisions []*pb.RevisionSpec) map[revisionKey]understood {
	specs := make(map[revisionKey]understood, len(revisions))
	for _, r := range revisions {
		s, err := wire.ToSpec(r.GetSpec())
		key := revisionKey{id.Service(r.GetService()), id.Revision(r.GetRevision())}
		specs[key] = understood{&revision{spec: s, wire: r.GetSpec()}, err}
	}
	return specs
}

// run starts a task that is new to this agent. One that it cannot understand
// fails at once: its master is newer, and should hear of it.
func (a *Agent) run(ctx context.Context, name id.Task, order *pb.RunOrder, specs map[revisionKey]understood) {
	if _, known := a.tasks[name]; known {
		return
	}
	wanted, ok := specs[revisionKey{id.Service(order.GetService()), id.Revision(order.GetRevision())}]
	if !ok {
		a.cfg.Log.ErrorContext(ctx, "order without its spec", slog.String("task", string(name)))
		return
	}
	in, err := (*instance)(nil), wanted.err
	if err == nil {
		in, err = newInstance(order, wanted.rev, time.Now())
	}
	if err == nil {
		a.tasks[name] = in
		a.begin(ctx, in)
		return
	}
	a.cfg.Log.ErrorContext(ctx, "order not understood; is this agent older than its master?",
		slog.String("task", string(name)), slog.Any("error", err))
	in = newRemnant(name, task.Status{State: task.Assigned, Since: time.Now(), Attempt: int(order.GetAttempts())})
	a.tasks[name] = in
	a.end(ctx, in, &task.Exit{Code: -1, Error: words(fmt.Sprintf("agent %s does not understand it: %v", a.cfg.ID, err)), At: time.Now()}, false)
}

// obeyStop stops a task. One that is not here is reported as stopped.
func (a *Agent) obeyStop(ctx context.Context, name id.Task, grace time.Duration) {
	if in, ok := a.tasks[name]; ok {
		a.stop(ctx, in, grace, "")
		return
	}
	a.tasks[name] = newRemnant(name, task.Status{
		State: task.Stopped, Since: time.Now(), Reason: "its agent does not have it",
	})
	a.writing.changed[name] = true
}

// stop ends a task by the way that its state allows. Asking again can only
// bring the end forward.
func (a *Agent) stop(ctx context.Context, in *instance, grace time.Duration, reason string) {
	before := in.status.State
	if before == task.Stopping {
		grace = min(grace, in.grace)
	}
	if !before.Ended() {
		in.grace = grace
		in.judgeLate(time.Now())
		in.stopProbes()
	}
	if before != task.Stopping && !a.move(ctx, in, task.Stop{At: time.Now(), Reason: reason}) {
		return
	}
	switch {
	case in.cancelLaunch != nil:
		in.cancelLaunch() // launched ends it, or stops what has started after all
	case before == task.Running || before == task.Ready || before == task.Stopping:
		a.stopProgram(ctx, in, grace)
	default: // it has no program
		a.end(ctx, in, nil, false)
	}
}

// judgeLate says of a program that is being stopped, and had run for longer than
// it may, that this is why: its exit would tell of the signal only.
func (in *instance) judgeLate(now time.Time) {
	limit := in.rev.spec.Timeout
	runs := in.status.State == task.Running || in.status.State == task.Ready
	if runs && limit > 0 && now.Sub(in.status.Since) >= limit {
		in.verdict = fmt.Sprintf("ran longer than %v", limit)
	}
}

// stopStrays ends the tasks that complete orders do not name, and forgets those
// that have ended. Their ends are reported first: the master waits for them.
func (a *Agent) stopStrays(ctx context.Context, named map[id.Task]bool) {
	for name, in := range a.tasks {
		switch {
		case named[name]:
		case in.status.State.Ended():
			if a.hasTold(in) {
				a.forget(ctx, name)
			}
		case in.status.State != task.Stopping:
			a.cfg.Log.WarnContext(ctx, "task is a stray; it is stopped", slog.String("task", string(name)))
			a.stop(ctx, in, strayGrace, "the cluster does not know it")
		}
	}
}

// hasTold reports whether the newest state of a task is on disk and was sent. Complete
// orders may come twice, before the end to which the first have brought a task.
func (a *Agent) hasTold(in *instance) bool {
	return !a.writing.changed[in.task] && !a.outbox.unsent[in.task] &&
		in.kept.GetState() == wire.FromStatus(in.status).GetState()
}

// forget drops a task whose end is committed.
func (a *Agent) forget(ctx context.Context, name id.Task) {
	in, ok := a.tasks[name]
	if !ok || !in.status.State.Ended() {
		return
	}
	delete(a.tasks, name)
	a.writing.changed[name] = true
	a.tidying.ran[name] = in.ran
	a.forgetEnds(ctx, in.ended)
}
