package master

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// heartbeatEvery is how often a session says that the master is there.
const heartbeatEvery = 500 * time.Millisecond

// Causes of the end of a session.
var (
	errReplaced = errors.New("a newer session took its place")
	errSilent   = errors.New("nothing was heard for too long")
)

// agentStream is the connection of an agent's session.
type agentStream = connect.BidiStream[pb.SessionRequest, pb.SessionResponse]

// Session serves one agent until its connection breaks, a newer one takes its
// place, or this master no longer leads.
func (m *Master) Session(ctx context.Context, stream *agentStream) error {
	r, err := m.current()
	if err != nil {
		return apiError(err)
	}
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	joined, err := joinEvent(first.GetJoin())
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	err = r.serveAgent(ctx, stream, joined)
	m.cfg.Log.InfoContext(ctx, "agent's session ended", slog.String("agent", string(joined.Agent.ID)), slog.Any("error", err))
	return apiError(err)
}

func joinEvent(m *pb.AgentJoin) (engine.AgentJoined, error) {
	if m == nil {
		return engine.AgentJoined{}, errors.New("the first message of a session must be a join")
	}
	a := m.GetAgent()
	partitions, err := wire.ToPartitions(a)
	if err != nil {
		return engine.AgentJoined{}, fmt.Errorf("agent %s: %w", a.GetId(), err)
	}
	tasks, err := reportsOf(m.GetTasks())
	return engine.AgentJoined{
		Agent:  ledger.Agent{ID: id.Agent(a.GetId()), Attributes: a.GetAttributes(), Partitions: partitions},
		BootID: a.GetBootId(), Hostname: a.GetHostname(), Version: a.GetVersion(), Address: a.GetAddress(), Tasks: tasks,
	}, err
}

func reportsOf(list []*pb.TaskReport) ([]engine.Report, error) {
	reports := make([]engine.Report, 0, len(list))
	for _, m := range list {
		status, err := wire.ToStatus(m.GetStatus())
		if err != nil {
			return nil, fmt.Errorf("task %s: %w", m.GetTask(), err)
		}
		reports = append(reports, engine.Report{Task: id.Task(m.GetTask()), Status: status})
	}
	return reports, nil
}

// serveAgent registers the session before the loop hears of it, so that no
// order falls between the two.
func (r *reign) serveAgent(ctx context.Context, stream *agentStream, joined engine.AgentJoined) error {
	agent := joined.Agent.ID
	link := r.hub.addAgent(agent)
	ctx, cancel := context.WithCancelCause(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer cancel(nil)
	defer func() {
		if r.hub.removeAgent(link) {
			leaving, done := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.SilentAfter)
			defer done()
			_, _ = r.submit(leaving, engine.AgentSilent{Agent: agent}) // a new leader learns it by itself
		}
	}()
	if _, err := r.submit(ctx, joined); err != nil {
		return err
	}
	link.add(func() { link.complete = true })
	sending.Go(func() { cancel(r.sendOrders(ctx, stream, link)) })
	heard := time.AfterFunc(r.cfg.SilentAfter, func() { cancel(errSilent) })
	defer heard.Stop()
	received := make(chan error, 1)
	go func() { // not waited for: only the return from here ends its last Receive
		received <- r.receiveReports(ctx, stream, link, func() { heard.Reset(r.cfg.SilentAfter) })
	}()
	select {
	case err := <-received:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-link.cut:
		return errReplaced
	case <-r.hub.gone:
		return ErrNoLeader
	}
}

// receiveReports folds in what the agent says. It waits for each report to be
// durable before it reads the next: an agent cannot flood the loop.
func (r *reign) receiveReports(ctx context.Context, stream *agentStream, link *agentLink, heard func()) error {
	for {
		message, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		heard()
		if len(message.GetReport().GetTasks()) == 0 {
			continue
		}
		reports, err := reportsOf(message.GetReport().GetTasks())
		if err != nil {
			return connect.NewError(connect.CodeInvalidArgument, err)
		}
		if _, err := r.submit(ctx, engine.AgentReported{Agent: link.agent, Tasks: reports}); err != nil {
			return err
		}
		for _, report := range reports {
			if report.Status.State.Ended() { // also one that was known: the agent waits to forget it
				link.add(func() { link.tasks[report.Task] = struct{}{} })
			}
		}
	}
}

// sendOrders sends what the hub leaves for the agent, and heartbeats.
func (r *reign) sendOrders(ctx context.Context, stream *agentStream, link *agentLink) error {
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		var messages []*pb.SessionResponse
		select {
		case <-link.wake:
			messages = r.messages(link)
		case <-beat.C:
			messages = []*pb.SessionResponse{{Message: &pb.SessionResponse_Heartbeat{Heartbeat: &pb.Heartbeat{}}}}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for _, message := range messages {
			message.Epoch = r.hub.epoch
			if err := stream.Send(message); err != nil {
				return err
			}
		}
	}
}

// messages turns what waits for an agent into orders, as the published state
// is now.
func (r *reign) messages(link *agentLink) []*pb.SessionResponse {
	complete, names, logs := link.take()
	var messages []*pb.SessionResponse
	orders := &pb.Orders{Complete: complete}
	if complete {
		for name := range r.view.tasksOf(link.agent) {
			names[name] = struct{}{}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r.addOrder(orders, link.agent, name)
	}
	if complete || len(orders.Run)+len(orders.Stop)+len(orders.Forget) > 0 {
		messages = append(messages, &pb.SessionResponse{Message: &pb.SessionResponse_Orders{Orders: orders}})
	}
	for _, order := range logs {
		messages = append(messages, &pb.SessionResponse{Message: &pb.SessionResponse_Logs{Logs: order}})
	}
	return messages
}

// addOrder says what an agent has to do with a task.
func (r *reign) addOrder(orders *pb.Orders, agent id.Agent, name id.Task) {
	t, rev := r.view.taskWithRevision(name)
	switch {
	case t == nil || t.Claim.Agent != agent || t.Status.State.Ended() || rev == nil:
		orders.Forget = append(orders.Forget, string(name))
	case t.Status.State == task.Stopping:
		orders.Stop = append(orders.Stop, &pb.StopOrder{Task: string(name), Grace: wire.FromDuration(rev.Spec.Deploy.Grace)})
	default:
		orders.Run = append(orders.Run, runOrder(t, r.view.claimed(t)))
		addSpec(orders, rev)
	}
}

func runOrder(t *engine.Task, claimed resource.Vector) *pb.RunOrder {
	m := wire.FromTask(t)
	return &pb.RunOrder{
		Task: m.GetId(), Service: m.GetService(), Revision: m.GetRevision(), Ports: m.GetPorts(),
		Resources: wire.FromVector(claimed), Attempts: int32(t.Status.Attempt), Run: t.Run, Copy: int32(t.Copy),
	}
}

func addSpec(orders *pb.Orders, rev *engine.Revision) {
	for _, sent := range orders.GetRevisions() {
		if sent.GetService() == string(rev.Service) && sent.GetRevision() == int64(rev.Number) {
			return
		}
	}
	orders.Revisions = append(orders.Revisions, &pb.RevisionSpec{
		Service: string(rev.Service), Revision: int64(rev.Number), Spec: wire.FromSpec(rev.Spec),
	})
}
