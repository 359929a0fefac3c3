package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// strayGrace is how long a task that no master knows may take to end.
const strayGrace = 10 * time.Second

// revisionKey names a revision of a service.
type revisionKey struct {
	service id.Service
	number  id.Revision
}

// revision is a spec as it came over the wire, kept in that form for the disk.
type revision struct {
	spec *spec.Spec
	wire *pb.Spec
}

// receive acts on a message of a master. One from a deposed leader is refused:
// its epoch is older than one that was seen.
func (a *Agent) receive(ctx context.Context, message *pb.SessionResponse) {
	if message.GetEpoch() < a.epoch {
		a.cfg.Log.WarnContext(ctx, "order of a deposed leader refused",
			slog.Uint64("epoch", message.GetEpoch()), slog.Uint64("newest_epoch", a.epoch))
		return
	}
	if message.GetEpoch() > a.epoch {
		a.epoch = message.GetEpoch()
		if err := a.keepEpoch(); err != nil {
			a.cfg.Log.WarnContext(ctx, "epoch not kept on disk", slog.Any("error", err))
		}
	}
	if orders := message.GetOrders(); orders != nil {
		a.obey(ctx, orders)
	}
	if logs := message.GetLogs(); logs != nil {
		a.answerLogs(ctx, logs)
	}
}

// obey carries out orders. Each may come again, and then changes nothing.
func (a *Agent) obey(ctx context.Context, orders *pb.Orders) {
	specs := a.understand(ctx, orders.GetRevisions())
	named := make(map[id.Task]bool)
	for _, order := range orders.GetRun() {
		named[id.Task(order.GetTask())] = true
		a.run(ctx, order, specs)
	}
	for _, order := range orders.GetStop() {
		named[id.Task(order.GetTask())] = true
		if in, ok := a.tasks[id.Task(order.GetTask())]; ok {
			a.stop(ctx, in, order.GetGrace().AsDuration())
		} else {
			a.denyUnknown(order.GetTask())
		}
	}
	for _, name := range orders.GetForget() {
		named[id.Task(name)] = true
		a.forget(ctx, id.Task(name))
	}
	if orders.GetComplete() {
		a.stopStrays(ctx, named)
	}
}

// understand reads the specs of orders.
func (a *Agent) understand(ctx context.Context, revisions []*pb.RevisionSpec) map[revisionKey]*revision {
	specs := make(map[revisionKey]*revision, len(revisions))
	for _, r := range revisions {
		s, err := wire.ToSpec(r.GetSpec())
		if err != nil {
			a.cfg.Log.ErrorContext(ctx, "spec not understood; is this agent older than its master?", slog.Any("error", err))
			continue
		}
		specs[revisionKey{id.Service(r.GetService()), id.Revision(r.GetRevision())}] = &revision{spec: s, wire: r.GetSpec()}
	}
	return specs
}

// stopStrays ends and forgets the tasks that complete orders do not name.
func (a *Agent) stopStrays(ctx context.Context, named map[id.Task]bool) {
	for name, in := range a.tasks {
		if named[name] {
			continue
		}
		in.stray = true
		if in.status.State.Ended() {
			a.forget(ctx, name)
		} else {
			a.stop(ctx, in, strayGrace)
		}
	}
}

// run starts a task that is new to this agent.
func (a *Agent) run(ctx context.Context, order *pb.RunOrder, specs map[revisionKey]*revision) {
	name := id.Task(order.GetTask())
	if _, known := a.tasks[name]; known {
		return
	}
	key := revisionKey{id.Service(order.GetService()), id.Revision(order.GetRevision())}
	rev, ok := specs[key]
	if !ok {
		a.cfg.Log.ErrorContext(ctx, "order without its spec", slog.String("task", string(name)))
		return
	}
	in := newInstance(order, rev, time.Now())
	a.tasks[name] = in
	a.begin(ctx, in)
}

// denyUnknown reports that a task which should be stopped is not here.
func (a *Agent) denyUnknown(name string) {
	gone := &instance{task: id.Task(name), status: task.Status{
		State: task.Stopped, Since: time.Now(), Reason: "its agent does not have it",
	}}
	a.tasks[gone.task] = gone
	a.unsent[gone.task] = true
}

// stop ends a task by the way that its state allows.
func (a *Agent) stop(ctx context.Context, in *instance, grace time.Duration) {
	state := in.status.State
	if state.Ended() || state == task.Stopping {
		return
	}
	in.grace = grace
	a.move(ctx, in, task.Stop{At: time.Now()})
	in.stopProbes()
	switch state {
	case task.Backoff, task.Assigned:
		a.end(ctx, in, nil)
	case task.Starting:
		in.cancelLaunch() // launched ends it, or stops what has started after all
	default:
		a.stopProgram(ctx, in, grace)
	}
}

// vectorOf returns what the claim of an order holds, nothing where it is malformed:
// the limits are then those of the machine.
func vectorOf(order *pb.RunOrder) resource.Vector {
	held, err := wire.ToVector(order.GetResources())
	if err != nil {
		return resource.Vector{}
	}
	return held
}
