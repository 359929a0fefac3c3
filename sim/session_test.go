package sim_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/wire"
)

// What package client does by default.
const (
	heartbeatEvery = 500 * time.Millisecond
	silentAfter    = 3 * time.Second
)

var errSilentMaster = errors.New("the master is silent")

// stream is a session as a master sees it.
type stream[In, Out any] struct {
	ctx  context.Context //nolint:containedctx // a stream is one call
	up   *pipe[In]
	down *pipe[Out]
}

func (s *stream[In, Out]) Receive() (*In, error)              { return s.up.receive(s.ctx) }
func (s *stream[In, Out]) Send(message *Out) error            { return s.down.send(message) }
func (s *stream[In, Out]) SetReadDeadline(at time.Time) error { s.up.setDeadline(at); return nil }
func (*stream[In, Out]) SetWriteDeadline(time.Time) error     { return nil } // sending never waits

// talk is one kind of session, as its client keeps it: O is what it has to say.
type talk[In, Out, O any] struct {
	serve   func(ctx context.Context, m *master.Master, s *stream[In, Out]) error
	join    *In
	beat    *In
	bye     func() *In // nil: the process is dead, and says nothing more
	say     func(O) *In
	out     <-chan O
	receive func(*Out)
	shuffle bool // what the master says may come in another order
}

// caller is where sessions come from: an agent or a router. Its loop alone uses
// first.
type caller struct {
	c     *cluster
	name  string
	first int // the master that answered last
	off   <-chan struct{}
}

// hold keeps a session as package client does: with the master that answered
// last, or with the next one as long as those that are asked do not lead. One that
// has begun is not taken up with another.
func hold[In, Out, O any](ctx context.Context, from *caller, t talk[In, Out, O]) error {
	for tries := len(from.c.masters); ; {
		bye, welcomed, err := holdOne(ctx, from, from.c.masters[from.first%len(from.c.masters)], t)
		if bye {
			return nil
		}
		if ctx.Err() == nil {
			from.first++
		}
		if tries--; tries == 0 || welcomed || !errors.Is(err, master.ErrNoLeader) || ctx.Err() != nil {
			return err
		}
	}
}

// holdOne keeps a session with one master, and reports whether it has ended by a
// goodbye, and whether the master has said anything.
func holdOne[In, Out, O any](ctx context.Context, from *caller, to *masterProcess, t talk[In, Out, O]) (bye, welcomed bool, err error) {
	net := from.c.net
	if !pause(ctx, time.Millisecond) {
		return false, false, context.Cause(ctx)
	}
	if !net.reachable(from.name, to.name) {
		pause(ctx, silentAfter)
		return false, false, errSilentMaster
	}
	up := newPipe[In](net, from.name, to.name, false)
	down := newPipe[Out](net, to.name, from.name, t.shuffle)
	serving := to.serve(func(ctx context.Context, m *master.Master) {
		err := t.serve(ctx, m, &stream[In, Out]{ctx: ctx, up: up, down: down})
		if err == nil {
			err = io.EOF
		}
		if ctx.Err() != nil {
			down.cut(io.ErrUnexpectedEOF) // the process is dead
		}
		up.cut(io.EOF)
		down.end(err)
	})
	if !serving {
		return false, false, errRefused
	}
	ctx, stop := context.WithCancel(ctx)
	var speaking sync.WaitGroup
	defer speaking.Wait()
	defer stop()
	welcome := make(chan struct{})
	said := make(chan bool, 1)
	_ = up.send(t.join) // it cannot be closed yet
	speaking.Go(func() {
		said <- speak(ctx, up, welcome, t)
		select {
		case <-from.off:
			up.stall()
		default:
			up.end(io.EOF)
		}
	})
	err = hear(ctx, down, sync.OnceFunc(func() {
		welcomed = true
		close(welcome)
	}), t.receive)
	stop()
	return <-said && errors.Is(err, io.EOF), welcomed, err
}

// speak says what there is to say until ctx is done, and reports whether it has
// said goodbye.
func speak[In, Out, O any](ctx context.Context, up *pipe[In], welcome <-chan struct{}, t talk[In, Out, O]) bool {
	due := time.NewTicker(heartbeatEvery)
	defer due.Stop()
	var out <-chan O
	for {
		var err error
		select {
		case <-welcome:
			welcome, out = nil, t.out
		case message, open := <-out:
			if !open {
				bye := t.bye()
				return bye != nil && up.send(bye) == nil
			}
			err = up.send(t.say(message))
		case <-due.C:
			err = up.send(t.beat)
		case <-ctx.Done():
			return false
		}
		if err != nil {
			return false
		}
	}
}

// hear hands on what comes. The time that receive takes is not silence.
func hear[Out any](ctx context.Context, down *pipe[Out], welcomed func(), receive func(*Out)) error {
	for {
		quiet, stop := context.WithTimeoutCause(ctx, silentAfter, errSilentMaster)
		message, err := down.receive(quiet)
		stop()
		if err != nil {
			return err
		}
		welcomed()
		receive(message)
	}
}

// heardOf is an agent's session of which the laws hear what the master says.
type heardOf struct {
	*stream[pb.SessionRequest, pb.SessionResponse]
	from *caller
}

func (s heardOf) Send(message *pb.SessionResponse) error {
	s.from.c.obs.spokenTo(s.from.name, message.GetEpoch())
	return s.stream.Send(message)
}

// AgentSession is how an agent reaches the masters.
func (from *caller) AgentSession(
	ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse),
) error {
	return hold(ctx, from, talk[pb.SessionRequest, pb.SessionResponse, *pb.AgentReport]{
		serve: func(ctx context.Context, m *master.Master, s *stream[pb.SessionRequest, pb.SessionResponse]) error {
			return m.ServeAgent(ctx, heardOf{s, from})
		},
		join: &pb.SessionRequest{Message: &pb.SessionRequest_Join{Join: join}},
		beat: &pb.SessionRequest{Message: &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{}}},
		say: func(report *pb.AgentReport) *pb.SessionRequest {
			return &pb.SessionRequest{Message: &pb.SessionRequest_Report{Report: report}}
		},
		out: reports,
		receive: func(message *pb.SessionResponse) {
			if message.GetHeartbeat() == nil {
				from.c.obs.ordered(from.name, message)
				receive(message)
			}
		},
	})
}

// SendLogs is not simulated: nobody asks for logs.
func (*caller) SendLogs(context.Context, string, <-chan []*pb.LogLine, func() error) error {
	return errors.New("nobody asks for logs")
}

// Follow is how a router reaches the masters.
func (p *routerProcess) Follow(ctx context.Context, confirmations <-chan route.Confirmation, apply func(route.Table)) error {
	name, run := p.name, p.now()
	return hold(ctx, &p.caller, talk[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse, route.Confirmation]{
		serve: func(ctx context.Context, m *master.Master, s *stream[pb.RouterServiceSessionRequest, pb.RouterServiceSessionResponse]) error {
			return m.ServeRouter(ctx, s)
		},
		join: &pb.RouterServiceSessionRequest{Router: name},
		beat: &pb.RouterServiceSessionRequest{Router: name},
		bye: func() *pb.RouterServiceSessionRequest {
			if run == nil || run.killed.Load() {
				return nil
			}
			return &pb.RouterServiceSessionRequest{Router: name, Goodbye: true}
		},
		say: func(confirmation route.Confirmation) *pb.RouterServiceSessionRequest {
			confirmation.Router = id.Router(name)
			p.confirms(confirmation)
			return wire.FromConfirmation(confirmation)
		},
		out:     confirmations,
		shuffle: true,
		receive: func(message *pb.RouterServiceSessionResponse) {
			if table := message.GetTable(); table != nil {
				p.gets(wire.ToTable(table))
				apply(wire.ToTable(table))
			}
		},
	})
}

// pause returns false when ctx is done before d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
