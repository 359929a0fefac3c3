package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/aloft-run/aloft/agent/logs"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// answer is a log order under way.
type answer struct {
	task   id.Task
	follow context.CancelFunc // ends the following: what is there is still sent
	cancel context.CancelFunc // ends it all
}

// logReading is what a worker needs to answer a log order.
type logReading struct {
	order  *pb.LogOrder
	dir    string // of the attempt that is followed; "" when none is
	known  bool   // the task is one of this agent's
	folder folder
	agent  id.Agent
}

// answerLogs begins or ends the answer to a log order.
func (a *Agent) answerLogs(ctx context.Context, order *pb.LogOrder) {
	request := order.GetRequest()
	if under, ok := a.answers[request]; ok || order.GetCancel() {
		if ok && order.GetCancel() {
			under.cancel()
		}
		return
	}
	sending, cancel := context.WithCancel(ctx)
	following, follow := context.WithCancel(sending)
	name := id.Task(order.GetTask())
	a.answers[request] = answer{task: name, follow: follow, cancel: cancel}
	reading := logReading{order: order, folder: a.folder, agent: a.cfg.ID}
	in, known := a.tasks[name]
	reading.known = known
	if known && in.hasProgram() && order.GetFollow() && !order.GetPrevious() {
		reading.dir = a.folder.attemptLogs(name, in.status.Attempt)
	} else {
		follow() // nothing more comes
	}
	a.workers.Go(func() {
		defer cancel()
		if err := a.sendLogs(sending, following, reading); err != nil && sending.Err() == nil {
			a.cfg.Log.WarnContext(ctx, "logs not sent", slog.String("task", order.GetTask()), slog.Any("error", err))
		}
		a.do(ctx, func() { delete(a.answers, request) })
	})
}

// endAnswers lets those who follow a task's output have the rest of it: its
// attempt has ended.
func (a *Agent) endAnswers(name id.Task) {
	for _, under := range a.answers {
		if under.task == name {
			under.follow()
		}
	}
}

// sendLogs reads both streams of a task and sends their lines until they end or
// the reader has gone.
func (a *Agent) sendLogs(sending, following context.Context, reading logReading) error {
	sending, stop := context.WithCancel(sending)
	batches := make(chan []*pb.LogLine)
	var failed error // written before batches is closed, read after
	var working sync.WaitGroup
	working.Go(func() {
		defer close(batches)
		failed = reading.read(sending, following, batches)
	})
	defer working.Wait()
	defer stop()
	return a.masters.SendLogs(sending, reading.order.GetRequest(), batches, func() error { return failed })
}

func (r logReading) read(sending, following context.Context, batches chan<- []*pb.LogLine) error {
	dir, err := r.attempt()
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	var problems [2]error
	for i, stream := range []string{"stdout", "stderr"} {
		both.Go(func() {
			w := &lineSender{ctx: sending, task: r.order.GetTask(), stream: stream, batches: batches}
			problems[i] = r.copyTo(following, dir, w)
		})
	}
	both.Wait()
	return errors.Join(problems[:]...)
}

func (r logReading) copyTo(following context.Context, dir string, w *lineSender) error {
	if r.order.GetFollow() {
		err := logs.Follow(following, dir, w.stream, int(r.order.GetLines()), w)
		return errors.Join(err, w.flush())
	}
	lines, err := logs.Tail(dir, w.stream, int(r.order.GetLines()))
	if err != nil {
		return err
	}
	return w.send(lines)
}

// attempt returns the folder of the logs that are asked for.
func (r logReading) attempt() (string, error) {
	name := id.Task(r.order.GetTask())
	if err := id.Check(name); err != nil {
		return "", fmt.Errorf("task: %w", err)
	}
	if r.dir != "" {
		return r.dir, nil
	}
	attempts := r.folder.attempts(name)
	if r.known && len(attempts) == 0 {
		attempts = []int{1} // it has printed nothing yet
	}
	if len(attempts) == 0 {
		return "", fmt.Errorf("task %s has no logs on agent %s", name, r.agent)
	}
	if r.order.GetPrevious() {
		attempts = attempts[:len(attempts)-1]
	}
	if len(attempts) == 0 {
		return "", fmt.Errorf("task %s had no attempt before this one", name)
	}
	return r.folder.attemptLogs(name, attempts[len(attempts)-1]), nil
}
