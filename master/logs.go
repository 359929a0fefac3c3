package master

import (
	"cmp"
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

// errNobodyAsks is the error for an answer whose reader has left.
var errNobodyAsks = errors.New("nobody asks for these logs any more")

// logRequest carries lines from an agent's answer to whoever asked.
type logRequest struct {
	lines chan []*pb.LogLine
	begun chan struct{} // holds the news that the agent answers
	left  chan struct{} // closed when whoever asked has gone
	ended chan error    // holds the end of the answer
}

// Logs asks the agents of the tasks and passes on what they send.
func (s *clusterService) Logs(
	ctx context.Context, req *connect.Request[pb.LogsRequest], stream *connect.ServerStream[pb.LogsResponse],
) error {
	if lines := req.Msg.GetLines(); lines < 0 {
		return invalidArgument(fmt.Errorf("lines: found %d; want 0 or more", lines))
	}
	now, err := s.master.leaderOfStream(ctx, req.Header())
	if err != nil {
		return apiError(err)
	}
	ctx, done := s.master.untilClosing(ctx)
	defer done()
	if now.id != s.master.cfg.ID {
		return apiError(s.logsAt(ctx, now, req.Msg, sender(ctx, stream)))
	}
	r, err := s.master.current()
	if err != nil {
		return apiError(err)
	}
	tasks := r.view.written(req.Msg.GetName())
	if len(tasks) == 0 {
		return r.view.unwritten(req.Msg.GetName())
	}
	ctx, cancel := context.WithCancel(ctx)
	lines := make(chan []*pb.LogLine)
	problems := make([]error, len(tasks))
	var asking sync.WaitGroup
	for i, t := range tasks {
		asking.Go(func() {
			problems[i] = r.protect(ctx, func() error { return r.readLogs(ctx, t, req.Msg, lines) })
		})
	}
	all := make(chan struct{})
	go func() { // ends with the asking, for which this function waits below
		asking.Wait()
		close(all)
	}()
	defer func() { <-all }()
	defer cancel()
	send := sender(ctx, stream)
	for {
		select {
		case batch := <-lines:
			if err := send(&pb.LogsResponse{Lines: batch}); err != nil {
				return err
			}
		case <-all:
			return apiError(joinProblems(problems))
		}
	}
}

// joinProblems returns what kept the output of several tasks from being read. A
// task that has none, such as one that has had no earlier attempt, is one only
// when no other has any.
func joinProblems(problems []error) error {
	if slices.Contains(problems, nil) {
		problems = slices.DeleteFunc(problems, func(err error) bool { return connect.CodeOf(err) == connect.CodeNotFound })
	}
	return errors.Join(problems...)
}

// readLogs asks one agent and passes on its answer until that ends.
func (r *reign) readLogs(ctx context.Context, t *engine.Task, req *pb.LogsRequest, lines chan<- []*pb.LogLine) error {
	link := r.hub.link(t.Claim.Agent)
	if link == nil {
		return outOfReach(t)
	}
	order := &pb.LogOrder{
		Request: rand.Text(), Task: string(t.ID), Follow: req.GetFollow(), Previous: req.GetPrevious(), Lines: req.GetLines(),
	}
	if order.GetLines() == 0 {
		order.Lines = linesDefault
	}
	asked := r.hub.addLogs(order.GetRequest())
	defer r.hub.removeLogs(order.GetRequest(), asked)
	link.add(func(waits *waiting) { waits.logs = append(waits.logs, order) })
	defer link.add(func(waits *waiting) {
		waits.logs = append(waits.logs, &pb.LogOrder{Request: order.GetRequest(), Task: order.GetTask(), Cancel: true})
	})
	within := time.NewTimer(logsWithin)
	defer within.Stop()
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
		case <-asked.begun:
			within.Stop()
		case <-within.C:
			return connect.NewError(connect.CodeDeadlineExceeded, fmt.Errorf("agent %s did not answer", t.Claim.Agent))
		case <-link.ended:
			return outOfReach(t)
		case <-r.over:
			return ErrNoLeader
		case <-ctx.Done():
			return nil
		}
	}
}

func outOfReach(t *engine.Task) error {
	return connect.NewError(connect.CodeUnavailable, fmt.Errorf("agent %s of task %s is out of reach; ask again", t.Claim.Agent, t.ID))
}

func (h *hub) addLogs(request string) *logRequest {
	asked := &logRequest{
		lines: make(chan []*pb.LogLine), begun: make(chan struct{}, 1), left: make(chan struct{}), ended: make(chan error, 1),
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
	close(asked.left)
}

func (h *hub) findLogs(request string) (*logRequest, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if asked, ok := h.logs[request]; ok {
		return asked, nil
	}
	return nil, errNobodyAsks
}

// SendLogs takes an agent's answer to a log order.
func (s agentService) SendLogs(
	ctx context.Context, stream *connect.ClientStream[pb.SendLogsRequest],
) (*connect.Response[pb.SendLogsResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	line := lineOf(ctx)
	if !stream.Receive() {
		return nil, apiError(cmp.Or(stream.Err(), invalidArgument(errors.New("the answer has no message"))))
	}
	asked, err := r.hub.findLogs(stream.Msg().GetRequest())
	if err != nil {
		return nil, apiError(err)
	}
	line.hearAnytime() // what is followed may write nothing for long
	line.sayAnytime()
	defer line.sayWithin(answerWithin)
	select {
	case asked.begun <- struct{}{}:
	default: // it has begun twice
	}
	if err := asked.take(ctx, stream); err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.SendLogsResponse{}), nil
}

// take hands an answer to whoever asked, until it ends or nobody asks any more.
func (q *logRequest) take(ctx context.Context, stream *connect.ClientStream[pb.SendLogsRequest]) error {
	line, done := lineOf(ctx), make(chan struct{})
	var watching sync.WaitGroup
	defer watching.Wait()
	defer close(done)
	watching.Go(func() {
		select {
		case <-q.left:
			line.hangUp()
		case <-done:
		}
	})
	for more := true; more; more = stream.Receive() {
		if err := q.pass(ctx, stream.Msg()); err != nil {
			return err
		}
	}
	q.end(stream.Err())
	select {
	case <-q.left:
		return errNobodyAsks
	default:
		return stream.Err()
	}
}

// pass hands one message of an answer to whoever asked.
func (q *logRequest) pass(ctx context.Context, message *pb.SendLogsRequest) error {
	if len(message.GetLines()) > 0 {
		select {
		case q.lines <- message.GetLines():
		case <-q.left:
			return errNobodyAsks
		case <-ctx.Done():
			q.end(connect.NewError(connect.CodeUnavailable, errors.New("the agent has left")))
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
