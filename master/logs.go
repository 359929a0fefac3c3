package master

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// logsWithin is how long an agent may take to begin its answer.
const logsWithin = 10 * time.Second

// linesDefault is how many lines of each stream are shown.
const linesDefault = 100

// logRequest carries lines from an agent's answer to whoever asked.
type logRequest struct {
	lines chan []*pb.LogLine
	begun chan struct{} // closed when the agent answers
	done  chan struct{} // closed when whoever asked has gone
	ended chan error    // holds the end of the answer
	once  sync.Once     // begins the answer
}

// Logs asks the agents of the tasks and passes on what they send.
func (s *clusterService) Logs(
	ctx context.Context, req *connect.Request[pb.LogsRequest], stream *connect.ServerStream[pb.LogsResponse],
) error {
	r, err := s.master.current()
	if err != nil {
		return apiError(err)
	}
	tasks := slices.DeleteFunc(r.view.named(req.Msg.GetName()), func(t *engine.Task) bool { return t.Claim.Agent == "" })
	if len(tasks) == 0 {
		return connect.NewError(connect.CodeNotFound,
			fmt.Errorf("%w task or service with output: %s", engine.ErrUnknown, req.Msg.GetName()))
	}
	ctx, cancel := context.WithCancel(ctx)
	lines := make(chan []*pb.LogLine)
	problems := make([]error, len(tasks))
	var asking sync.WaitGroup
	for i, t := range tasks {
		asking.Go(func() { problems[i] = r.readLogs(ctx, t, req.Msg, lines) })
	}
	all := make(chan struct{})
	go func() { // ends with the asking, for which this function waits below
		asking.Wait()
		close(all)
	}()
	defer func() { <-all }()
	defer cancel()
	for {
		select {
		case batch := <-lines:
			if err := stream.Send(&pb.LogsResponse{Lines: batch}); err != nil {
				return err
			}
		case <-all:
			return apiError(errors.Join(problems...))
		}
	}
}

// readLogs asks one agent and passes on its answer until that ends.
func (r *reign) readLogs(ctx context.Context, t *engine.Task, req *pb.LogsRequest, lines chan<- []*pb.LogLine) error {
	link := r.hub.link(t.Claim.Agent)
	if link == nil {
		return connect.NewError(connect.CodeUnavailable, fmt.Errorf("agent %s is out of reach", t.Claim.Agent))
	}
	order := &pb.LogOrder{
		Request: rand.Text(), Task: string(t.ID), Follow: req.GetFollow(), Previous: req.GetPrevious(), Lines: req.GetLines(),
	}
	if order.GetLines() <= 0 {
		order.Lines = linesDefault
	}
	asked := r.hub.addLogs(order.GetRequest())
	defer r.hub.removeLogs(order.GetRequest(), asked)
	link.add(func() { link.logs = append(link.logs, order) })
	defer link.add(func() {
		link.logs = append(link.logs, &pb.LogOrder{Request: order.GetRequest(), Task: order.GetTask(), Cancel: true})
	})
	within := time.NewTimer(logsWithin)
	defer within.Stop()
	begun := asked.begun
	for {
		select {
		case batch := <-asked.lines:
			select {
			case lines <- batch:
			case <-ctx.Done():
				return nil
			}
		case err := <-asked.ended:
			return err
		case <-begun:
			within.Stop()
			begun = nil
		case <-within.C:
			return connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("agent %s did not answer", t.Claim.Agent))
		case <-link.cut:
			return connect.NewError(connect.CodeUnavailable, fmt.Errorf("agent %s has connected anew; ask again", t.Claim.Agent))
		case <-r.over:
			return ErrNoLeader
		case <-ctx.Done():
			return nil
		}
	}
}

func (h *hub) addLogs(request string) *logRequest {
	asked := &logRequest{
		lines: make(chan []*pb.LogLine), begun: make(chan struct{}), done: make(chan struct{}), ended: make(chan error, 1),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.logs[request] = asked
	return asked
}

func (h *hub) removeLogs(request string, asked *logRequest) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.logs, request)
	close(asked.done)
}

func (h *hub) findLogs(request string) *logRequest {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.logs[request]
}

// SendLogs takes an agent's answer to a log order.
func (m *Master) SendLogs(
	ctx context.Context, stream *connect.ClientStream[pb.SendLogsRequest],
) (*connect.Response[pb.SendLogsResponse], error) {
	r, err := m.current()
	if err != nil {
		return nil, apiError(err)
	}
	var asked *logRequest
	for stream.Receive() {
		message := stream.Msg()
		if asked == nil {
			if asked = r.hub.findLogs(message.GetRequest()); asked == nil {
				return nil, connect.NewError(connect.CodeNotFound, errors.New("nobody asks for these logs any more"))
			}
			asked.once.Do(func() { close(asked.begun) })
		}
		if err := asked.pass(ctx, message); err != nil {
			return nil, apiError(err)
		}
	}
	if asked != nil {
		asked.end(stream.Err())
	}
	return connect.NewResponse(&pb.SendLogsResponse{}), stream.Err()
}

// pass hands one message of an answer to whoever asked.
func (q *logRequest) pass(ctx context.Context, message *pb.SendLogsRequest) error {
	if len(message.GetLines()) > 0 {
		select {
		case q.lines <- message.GetLines():
		case <-q.done:
			return connect.NewError(connect.CodeNotFound, errors.New("nobody asks for these logs any more"))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if message.GetError() != "" {
		q.end(connect.NewError(connect.CodeNotFound, errors.New(message.GetError())))
	}
	return nil
}

// end says that no more comes; only the first call counts.
func (q *logRequest) end(err error) {
	select {
	case q.ended <- err:
	default:
	}
}
