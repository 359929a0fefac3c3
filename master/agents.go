package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

// A quiet agent gets one heartbeat in place of so many: at least, also where it is of an
// older version and does not say, and at most.
const quietTimesMin, quietTimesMax = 10, 1000

// agentStream is an agent's session.
type agentStream = messages[pb.SessionRequest, pb.SessionResponse]

// agentService serves agents: their sessions, and the logs that they are asked
// for.
type agentService struct{ master *Master }

var _ aloftv1connect.AgentServiceHandler = agentService{}

// Session serves one agent.
func (s agentService) Session(ctx context.Context, stream *connect.BidiStream[pb.SessionRequest, pb.SessionResponse]) error {
	return apiError(s.master.agentSession(ctx, nameOf(stream.RequestHeader()), stream))
}

// agentSession serves one agent until its connection breaks, a newer one takes
// its place, or this master no longer leads.
func (m *Master) agentSession(ctx context.Context, named id.Agent, stream agentStream) error {
	r, err := m.current()
	if err != nil {
		return err
	}
	in, err := r.enterAgent(ctx, named)
	if err != nil {
		return err
	}
	defer in()
	joined, said, err := r.receiveJoin(ctx, named, stream)
	if err != nil {
		return err
	}
	name := slog.String("agent", string(joined.Agent.ID))
	r.cfg.Log.InfoContext(ctx, "agent joins", name, slog.Int("tasks", len(joined.Tasks)))
	link := newAgentLink(joined, said)
	link.in = in
	err = r.serveAgent(ctx, stream, link, joined)
	r.cfg.Log.InfoContext(ctx, "agent's session ended", name, slog.Any("error", err))
	return err
}

// receiveJoin returns an agent's first message. One that comes back has all its tasks to
// tell of, and many come at once.
func (r *reign) receiveJoin(ctx context.Context, named id.Agent, stream agentStream) (engine.AgentJoined, *pb.AgentJoin, error) {
	if r.view.has(engine.Key{Kind: engine.AgentKind, ID: string(named)}) {
		defer lineOf(ctx).ears.by(&listening{shift: shift{crew: r.crew, link: &agentLink{}}})()
	}
	first, err := stream.Receive()
	if err != nil {
		return engine.AgentJoined{}, nil, err
	}
	joined, err := joinEvent(first.GetJoin())
	if err != nil {
		return engine.AgentJoined{}, nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return joined, first.GetJoin(), nil
}

func joinEvent(m *pb.AgentJoin) (engine.AgentJoined, error) {
	if m == nil {
		return engine.AgentJoined{}, errors.New("the first message of a session must be a join")
	}
	a := m.GetAgent()
	if size := proto.Size(a); size > agentBytesMax {
		return engine.AgentJoined{}, fmt.Errorf("agent %s: its attributes and partitions take %d bytes; want at most %d", a.GetId(), size, agentBytesMax)
	}
	partitions, err := wire.ToPartitions(a)
	if err != nil {
		return engine.AgentJoined{}, fmt.Errorf("agent %s: %w", a.GetId(), err)
	}
	tasks, err := reportsOf(m.GetTasks())
	return engine.AgentJoined{
		Agent:  ledger.Agent{ID: id.Agent(a.GetId()), Attributes: a.GetAttributes(), Partitions: partitions},
		BootID: a.GetBootId(), Hostname: a.GetHostname(), Version: a.GetVersion(), Address: a.GetAddress(), Leaving: m.GetLeaving(), Tasks: tasks,
	}, err
}

func reportsOf(list []*pb.TaskReport) ([]engine.Report, error) {
	reports := make([]engine.Report, 0, len(list))
	for _, m := range list {
		clipStatus(m.GetStatus())
		status, err := wire.ToStatus(m.GetStatus())
		if err != nil {
			return nil, fmt.Errorf("task %s: %w", m.GetTask(), err)
		}
		reports = append(reports, engine.Report{Task: id.Task(m.GetTask()), Status: status})
	}
	return reports, nil
}

// serveAgent has an agent join, and serves it from then on. It is not spoken to
// before it is durable that it has: an agent waits for that, which may take a while
// when many come at once.
func (r *reign) serveAgent(ctx context.Context, stream agentStream, link *agentLink, joined engine.AgentJoined) error {
	defer close(link.ended)
	if link.quiet {
		ctx = sharing(ctx)
	}
	link.line = lineOf(ctx)
	defer r.agentLeft(ctx, link) // also when it is not known whether it has joined
	lineOf(ctx).hearAnytime()
	ctx, link.end = context.WithCancelCause(ctx)
	defer link.end(nil)
	if err := r.join(ctx, link, joined); err != nil {
		return err
	}
	return r.converse(ctx, link.end,
		func(v *vigil) error { return r.receiveReports(ctx, v, stream, link) },
		func(v *vigil, failed func(error)) (done func()) { return r.sendOrders(ctx, v, stream, link, failed) })
}

// join folds in that an agent has joined.
func (r *reign) join(ctx context.Context, link *agentLink, joined engine.AgentJoined) error {
	done, err := takeTurn(ctx, r.over, r.joining)
	if err != nil {
		return err
	}
	defer done()
	_, err = r.hear(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) {
		if other := r.hub.link(link.agent); other != nil && other.folder != link.folder {
			return engine.Answer{}, fmt.Errorf("agent %s %w", link.agent, errNamesake)
		}
		if r.hub.isOvertaken(link) {
			return engine.Answer{}, errReplaced
		}
		answer, err := e.Step(joined, now)
		if err == nil {
			r.hub.addAgent(link)
			link.in()
		}
		return answer, err
	})
	return err
}

// agentLeft tells the engine that the session has ended, unless a newer one has
// taken its place. It waits for as long as this master leads: a new leader
// learns by itself who is there.
func (r *reign) agentLeft(ctx context.Context, link *agentLink) {
	_, _ = r.hear(context.WithoutCancel(ctx), func(e *engine.Engine, now time.Time) (engine.Answer, error) {
		if r.hub.link(link.agent) != link {
			return engine.Answer{}, nil
		}
		r.hub.removeAgent(link)
		return e.Step(engine.AgentSilent{Agent: link.agent, Heard: link.lastHeard()}, now)
	})
}

// receiveReports folds in what the agent says. It waits for each report to be
// durable before it reads the next, so that an agent cannot flood the loop; that
// time does not count as the agent's silence.
func (r *reign) receiveReports(ctx context.Context, v *vigil, stream agentStream, link *agentLink) error {
	at := &listening{shift{crew: r.crew, link: link}, v}
	at.work()
	defer link.line.ears.by(at)() // which have heard the agent before its stamp counts: its clocks run from no later
	for {
		message, err := stream.Receive()
		if err != nil {
			return err
		}
		if stamp := message.GetHeartbeat().GetStamp(); stamp > 0 {
			r.hub.mark(link, stamp)
		}
		if len(message.GetReport().GetTasks()) == 0 {
			continue
		}
		reports, err := reportsOf(message.GetReport().GetTasks())
		if err != nil {
			return connect.NewError(connect.CodeInvalidArgument, err)
		}
		at.shift.end()
		_, err = r.hearReport(ctx, link, engine.AgentReported{Agent: link.agent, Tasks: reports})
		at.shift.begin()
		if err != nil {
			return err
		}
	}
}

// sendOrders has sent what the hub leaves for the agent, and heartbeats to one that
// wants them, until done is called, or failed with why no more can be. An agent that does
// not take them is as good as silent.
func (r *reign) sendOrders(ctx context.Context, v *vigil, stream agentStream, link *agentLink, failed func(error)) (done func()) {
	every := r.cfg.beatEvery()
	if link.quiet {
		every *= time.Duration(link.rare)
	}
	var due atomic.Bool // a heartbeat
	beat := time.AfterFunc(link.line.untilBeat(every), func() {
		due.Store(true)
		link.voice.wake()
	})
	ordered := false // all its orders were sent: it knows what it may go on with
	at := &shift{crew: r.crew, link: link}
	say := func() error {
		var messages []*pb.SessionResponse
		if link.left.Swap(false) {
			at.do(func() { messages = r.messages(link) })
			ordered = true // the first time everything is to be said
		}
		if due.Swap(false) {
			beat.Reset(link.line.untilBeat(every))
			stamp := int64(0)
			if ordered {
				stamp = link.proven.Load()
			}
			messages = append(messages, heartbeat(stamp))
		}
		for _, message := range messages {
			message.Epoch = r.term.Epoch()
			if err := v.say(func() error { return stream.Send(message) }); err != nil {
				return err
			}
		}
		return nil
	}
	link.voice.open(func() error { return r.protect(ctx, say) }, failed)
	return func() {
		beat.Stop()
		link.voice.close()
	}
}

func heartbeat(stamp int64) *pb.SessionResponse {
	return &pb.SessionResponse{Message: &pb.SessionResponse_Heartbeat{Heartbeat: &pb.Heartbeat{Stamp: stamp}}}
}

// messages turns what waits for an agent into orders, as the published state
// is now.
func (r *reign) messages(link *agentLink) []*pb.SessionResponse {
	waits := link.take()
	orders := &orders{view: r.view, specs: &r.specs, agent: link.agent, message: &pb.Orders{}}
	if orders.message.Complete = waits.complete; waits.complete {
		waits.tasks = r.view.tasksOn(link.agent) // what the others of tasks are is said by leaving them out
		orders.known, link.named = link.named, nil
	}
	orders.addAll(waits.tasks)
	m := orders.message
	if m.Quiet, m.Stamped = link.quiet, orders.leased; orders.leased {
		link.leased.Store(true)
	}
	var messages []*pb.SessionResponse
	if waits.complete || len(m.GetRun())+len(m.GetStop())+len(m.GetForget()) > 0 {
		messages = append(messages, &pb.SessionResponse{Message: &pb.SessionResponse_Orders{Orders: m}})
	}
	if stamp := link.proven.Load(); stamp > 0 && (waits.stamped || link.quiet && orders.leased) {
		messages = append(messages, heartbeat(stamp)) // what must not run out of touch waits for it
	}
	for _, order := range waits.logs {
		messages = append(messages, &pb.SessionResponse{Message: &pb.SessionResponse_Logs{Logs: order}})
	}
	return messages
}
