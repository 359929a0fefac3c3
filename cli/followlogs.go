package cli

import (
	"context"
	"math"
	"sync"
	"time"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// everyLine asks for the output from its beginning.
const everyLine = math.MaxInt32

// followLogs goes on with the output of a task until that ends, of a job until its
// run is over, or of a service with every task that it starts.
func (a *app) followLogs(ctx context.Context, request *pb.LogsRequest, write func(*pb.LogLine) error) error {
	_, err := ask(ctx, a, clusterAPI.GetService, &pb.GetServiceRequest{Service: request.GetName()})
	if isNotFound(err) {
		return a.copyLogs(ctx, request, write) // then it is a task
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &serviceLogs{app: a, request: request, begun: make(map[attempt]bool), write: write, cancel: cancel}
	defer s.reading.Wait()
	defer cancel(nil)
	return a.follow(ctx, request.GetName(), func(now *situation) (bool, error) {
		s.read(ctx, now)
		if !now.removed && !now.over() {
			return false, nil
		}
		s.reading.Wait() // for what its tasks wrote last
		return true, context.Cause(ctx)
	})
}

// attempt is one start of a task.
type attempt struct {
	task   string
	number int32
}

// serviceLogs reads the output of every attempt of a service's tasks.
type serviceLogs struct {
	app     *app
	request *pb.LogsRequest
	looked  bool // only follow's goroutine uses this and begun
	begun   map[attempt]bool
	cancel  context.CancelCauseFunc
	reading sync.WaitGroup

	mu    sync.Mutex // guards write
	write func(*pb.LogLine) error
}

// read begins with the attempts that run and that it has not begun with. Those
// that were there before the first look are shown from their last lines on, and
// of those that had ended by then the ones that still tell something.
func (s *serviceLogs) read(ctx context.Context, now *situation) {
	lines, told := int32(everyLine), map[string]bool(nil)
	if !s.looked {
		lines, told = s.request.GetLines(), now.told()
	}
	for name, t := range now.tasks {
		key := attempt{name, t.GetStatus().GetAttempt()}
		if s.begun[key] || t.GetStatus().GetState() < pb.TaskState_TASK_STATE_RUNNING {
			continue
		}
		s.begun[key] = true
		if s.looked || told[name] || !ended(t) {
			s.reading.Go(func() { s.copy(ctx, name, lines) })
		}
	}
	s.looked = true
}

// copy goes on with the output of one attempt until that ends. When its agent or
// its master is away for a moment, it goes on from the last line on.
func (s *serviceLogs) copy(ctx context.Context, task string, lines int32) {
	var patience outage
	for {
		err := s.app.copyLogs(ctx, &pb.LogsRequest{Name: task, Follow: true, Lines: lines}, s.writeOne)
		if err == nil || ctx.Err() != nil || patience.over(err) {
			return // what cannot be read is shown by the other tasks, and by the next attempt
		}
		lines = 1
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
		}
	}
}

// writeOne writes a line. When that is not possible nothing more needs reading.
func (s *serviceLogs) writeOne(line *pb.LogLine) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.write(line)
	if err != nil {
		s.cancel(err)
	}
	return err
}
