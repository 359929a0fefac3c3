package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

type agentSession = session[pb.SessionResponse, *pb.AgentReport]

// AgentSession holds one session of an agent until it breaks. It sends join,
// then every report that it takes from reports, and hands each message of the
// master to receive, in order, but for heartbeats that
// do not tell which of ours has come. The error is never nil.
//
// Whether the other side is there is told and asked on the connection, by HTTP/2's pings,
// and once for all sessions that share it, if the master agrees: join is made to offer it,
// and to say when it was opened.
func (c *Client) AgentSession(
	ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse),
) error {
	return holdInTurn(ctx, c, func(ctx context.Context, address string) (stream[pb.SessionResponse], agentSession) {
		line := c.agents[address].Session(ctx)
		line.RequestHeader().Set(agentHeader, join.GetAgent().GetId())
		quiet, stamped := make(chan struct{}), make(chan struct{})
		calm, hurry := sync.OnceFunc(func() { close(quiet) }), sync.OnceFunc(func() { close(stamped) })
		join.Quiet, join.QuietTimes, join.Opened = true, quietTimes, c.stamp()
		return line, agentSession{
			calm: quiet, hurry: stamped,
			join: func() error { return line.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Join{Join: join}}) },
			send: func(report *pb.AgentReport) error {
				return line.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Report{Report: report}})
			},
			beat: func() error {
				return line.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{Stamp: c.stamp()}}})
			},
			out: reports,
			receive: func(message *pb.SessionResponse) {
				if message.GetOrders().GetQuiet() {
					calm()
				}
				if message.GetOrders().GetStamped() {
					hurry()
				}
				if message.GetHeartbeat() == nil || message.GetHeartbeat().GetStamp() > 0 {
					receive(message)
				}
			},
		}
	})
}

// agentHeader tells a master whose session it is before it has time for the first message.
const agentHeader = "Aloft-Agent"

// Knock waits until a master leads and has time for agents that will begin their sessions
// by this client, on one connection. They need not knock, but cost the master much less
// while it has no time. It opens the connection, too: many sessions that begin at once
// without one would open one each.
func (c *Client) Knock(ctx context.Context, agents []string) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.WelcomeWithin)
	defer cancel()
	for tries := len(c.masters); ; {
		m := c.first()
		_, err := aloftv1connect.NewAgentServiceClient(c.http, m.address).Knock(ctx, connect.NewRequest(&pb.KnockRequest{Agents: agents}))
		refusal, answered := errors.AsType[*connect.Error](err)
		if err == nil || answered && refusal.Code() == connect.CodeUnimplemented { // of an older version
			return nil
		}
		c.failed(m)
		if tries--; tries == 0 || !answered || refusal.Meta().Get(standbyHeader) == "" || ctx.Err() != nil {
			return fmt.Errorf("knock at %s: %w", m.address, err)
		}
	}
}

// stamp is the agent's own time, 0 where it has no clock.
func (c *Client) stamp() int64 {
	if c.cfg.Clock == nil {
		return 0
	}
	return int64(c.cfg.Clock())
}

// SendLogs answers a log order: it sends what it takes from batches until the
// channel is closed, and then the error of failure, if there is one. It returns
// early when ctx is done, or the reader or the master has gone; batches may then
// still have some.
func (c *Client) SendLogs(ctx context.Context, request string, batches <-chan []*pb.LogLine, failure func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := aloftv1connect.NewAgentServiceClient(c.http, c.first().address).SendLogs(ctx)
	send := func(m *pb.SendLogsRequest) error {
		m.Request = request
		if err := stream.Send(m); err != nil {
			_, why := stream.CloseAndReceive() // Send itself says only that the stream has ended
			return fmt.Errorf("send logs: %w", cmp.Or(why, err))
		}
		return nil
	}
	due := time.NewTicker(c.cfg.SilentAfter) // only a message shows that the other side has gone
	defer due.Stop()
	for open := true; open; {
		var lines []*pb.LogLine
		select {
		case lines, open = <-batches:
		case <-due.C:
		case <-ctx.Done():
			_, _ = stream.CloseAndReceive() // else the transport waits for what is sent next
			return fmt.Errorf("send logs: %w", context.Cause(ctx))
		}
		if !open {
			break
		}
		if err := send(&pb.SendLogsRequest{Lines: lines}); err != nil {
			return err
		}
	}
	end := &pb.SendLogsRequest{}
	if err := failure(); err != nil {
		end.Error = err.Error()
	}
	if err := send(end); err != nil {
		return err
	}
	if _, err := stream.CloseAndReceive(); err != nil {
		return fmt.Errorf("send logs: %w", err)
	}
	return nil
}
