package agent

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// keepSession opens one session after the other, with a growing pause while the
// masters cannot be reached.
func (a *Agent) keepSession(ctx context.Context) {
	pauses := a.cfg.Reconnect.begin()
	for {
		joined := make(chan *pb.AgentJoin, 1)
		if !a.do(ctx, func() { joined <- a.join() }) {
			return
		}
		began := time.Now()
		err := a.masters.AgentSession(ctx, <-joined, a.reports, func(message *pb.SessionResponse) {
			a.do(ctx, func() { a.receive(ctx, message) })
		})
		if !a.do(ctx, a.leave) {
			return
		}
		level := slog.LevelWarn
		if connect.CodeOf(err) == connect.CodeAlreadyExists { // somebody made a mistake
			level = slog.LevelError
		}
		a.cfg.Log.Log(ctx, level, "session with the masters broke; tasks run on", slog.Any("error", err))
		if time.Since(began) > a.cfg.Reconnect.Max {
			pauses = a.cfg.Reconnect.begin()
		}
		if !wait(ctx, pauses.next()) {
			return
		}
	}
}

// join says all that this agent has and runs, and opens the outbox for what
// changes from now on.
func (a *Agent) join() *pb.AgentJoin {
	join := &pb.AgentJoin{Folder: a.identity, Leaving: a.leaving.Load(), Agent: &pb.Agent{
		Id: string(a.cfg.ID), BootId: a.cfg.BootID, Hostname: a.cfg.Hostname, Version: a.cfg.Version,
		Address: a.cfg.Address, Attributes: a.cfg.Attributes, Partitions: wire.FromPartitions(a.cfg.ID, a.cfg.Partitions),
	}}
	join.Tasks = a.reportsOf(maps.Keys(a.tasks))
	a.outbox.empty()
	a.outbox.open = true
	return join
}

// leave closes the outbox: the next join says everything. What waits for a master
// is looked at when none has come back for a while.
func (a *Agent) leave() {
	a.outbox.open = false
	if !a.joined.Swap(false) {
		return // no master had answered
	}
	a.leftAt = time.Now()
	for name, in := range a.tasks {
		if in.status.IsUnhealthy() {
			a.alarms.set(a.leftAt.Add(aloneAfter), name)
		}
	}
}

// Each report costs the master a commit. So many are sent at once; when there is
// more to tell, one in each interval tells it.
const (
	reportsAtOnce  = 10
	reportInterval = 20 * time.Millisecond
)

// outbox is what the master of the open session must still be told.
type outbox struct {
	open   bool
	unsent map[id.Task]bool
	report *pb.AgentReport // of all unsent; nil: to be made
	paid   time.Time       // until then the intervals are used up
}

// dueAt returns when the next report may be sent.
func (o *outbox) dueAt() time.Time { return o.paid.Add(-(reportsAtOnce - 1) * reportInterval) }

// waits reports whether there is something to tell, and somebody to tell it to.
func (o *outbox) waits() bool { return o.open && len(o.unsent) > 0 }

// add has a task reported.
func (o *outbox) add(name id.Task) {
	o.unsent[name] = true
	o.report = nil
}

// sent takes note that all was told by a report.
func (o *outbox) sent(now time.Time) {
	o.paid = now.Add(max(0, o.paid.Sub(now)) + reportInterval)
	o.empty()
}

// empty takes note that all is known.
func (o *outbox) empty() {
	clear(o.unsent)
	o.report = nil
}

// nextReport says how the tasks stand that changed since the last report. The
// channel is nil when there is nothing to say, nobody to say it to, or when it is
// too early.
func (a *Agent) nextReport(now time.Time) (*pb.AgentReport, chan<- *pb.AgentReport) {
	if !a.outbox.waits() || a.outbox.dueAt().After(now) {
		return nil, nil
	}
	if a.outbox.report == nil {
		a.outbox.report = &pb.AgentReport{Tasks: a.reportsOf(maps.Keys(a.outbox.unsent))}
	}
	return a.outbox.report, a.reports
}

// reportsOf returns what is on disk of the tasks, in the order of their names.
func (a *Agent) reportsOf(names func(func(id.Task) bool)) []*pb.TaskReport {
	var reports []*pb.TaskReport
	for _, name := range slices.Sorted(names) {
		if in, ok := a.tasks[name]; ok && in.kept != nil {
			reports = append(reports, &pb.TaskReport{Task: string(name), Status: in.kept})
		}
	}
	return reports
}

// pauses is the row of pauses between sessions.
type pauses struct{ length, longest time.Duration }

func (r Reconnect) begin() *pauses { return &pauses{r.Min, r.Max} }

// next returns a pause that doubles each time, less up to half of it by chance.
func (p *pauses) next() time.Duration {
	length := p.length
	p.length = min(2*length, p.longest)
	return length/2 + rand.N(length/2+1)
}

// wait returns false when ctx is done before d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
