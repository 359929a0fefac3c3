package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// AgentSession holds one session of an agent until it breaks. It sends join,
// then every report that it takes from reports, and hands each message of the
// master to receive, in order. The error is never nil.
func (c *Client) AgentSession(
	ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse),
) error {
	err := c.agentSession(ctx, join, reports, receive)
	if ctx.Err() == nil {
		c.failed()
	}
	return fmt.Errorf("session with %s: %w", c.master(), err)
}

func (c *Client) agentSession(
	ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse),
) error {
	ctx, heard, stop := watched(ctx)
	stream := aloftv1connect.NewAgentServiceClient(c.http, c.master()).Session(ctx)
	var sending sync.WaitGroup
	defer sending.Wait()
	defer stop()

	if err := stream.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Join{Join: join}}); err != nil {
		return ended(ctx, receiveError(stream.Receive, err))
	}
	sending.Go(func() {
		beats(ctx, reports, func(report *pb.AgentReport) error {
			return stream.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Report{Report: report}})
		}, func() error {
			return stream.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{}}})
		})
	})
	for {
		message, err := stream.Receive()
		if err != nil {
			return ended(ctx, err)
		}
		heard()
		if message.GetHeartbeat() == nil {
			receive(message)
		}
	}
}

// beats sends what comes, and a heartbeat when nothing came for a while, until
// ctx is done or the stream is broken: then its reader learns of it too.
func beats[M any](ctx context.Context, messages <-chan M, send func(M) error, beat func() error) {
	due := time.NewTicker(heartbeatEvery)
	defer due.Stop()
	for {
		var err error
		select {
		case message := <-messages:
			err = send(message)
		case <-due.C:
			err = beat()
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// receiveError returns the reason that the master gave for a stream that could
// not be written, which Send itself reports only as io.EOF.
func receiveError[M any](receive func() (M, error), sent error) error {
	if _, err := receive(); err != nil {
		return err
	}
	return sent
}

// SendLogs answers a log order: it sends what it takes from batches until the
// channel is closed, and then the error, if there is one.
func (c *Client) SendLogs(ctx context.Context, request string, batches <-chan []*pb.LogLine, failure func() error) error {
	stream := aloftv1connect.NewAgentServiceClient(c.http, c.master()).SendLogs(ctx)
	for lines := range batches {
		if err := stream.Send(&pb.SendLogsRequest{Request: request, Lines: lines}); err != nil {
			_, closed := stream.CloseAndReceive()
			return fmt.Errorf("send logs: %w", closed)
		}
	}
	end := &pb.SendLogsRequest{Request: request}
	if err := failure(); err != nil {
		end.Error = err.Error()
	}
	if err := stream.Send(end); err != nil {
		_, err = stream.CloseAndReceive()
		return fmt.Errorf("send logs: %w", err)
	}
	if _, err := stream.CloseAndReceive(); err != nil {
		return fmt.Errorf("send logs: %w", err)
	}
	return nil
}
