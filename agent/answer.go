package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/aloft-run/aloft/agent/logs"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// attemptsKept is how many of a task's attempts keep their logs.
const attemptsKept = 3

// answer is a log order under way.
type answer struct {
	task   id.Task
	follow context.CancelFunc // ends the following: what is there is still sent
	cancel context.CancelFunc // ends it all
}

// answerLogs begins or ends the answer to a log order.
func (a *Agent) answerLogs(ctx context.Context, order *pb.LogOrder) {
	request := order.GetRequest()
	if under, ok := a.answers[request]; ok || order.GetCancel() {
		if ok {
			under.cancel()
		}
		return
	}
	sending, cancel := context.WithCancel(ctx)
	following, follow := context.WithCancel(sending)
	name := id.Task(order.GetTask())
	a.answers[request] = answer{task: name, follow: follow, cancel: cancel}
	if in, ok := a.tasks[name]; !ok || !in.hasProgram() || order.GetPrevious() {
		follow() // nothing more comes
	}
	a.workers.Go(func() {
		defer cancel()
		if err := a.sendLogs(sending, following, order); err != nil && sending.Err() == nil {
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

// hasProgram reports whether the newest attempt runs, or is about to.
func (in *instance) hasProgram() bool {
	return !in.status.State.Ended() && in.status.State != task.Backoff
}

// sendLogs reads both streams of a task and sends their lines until they end or
// the reader has gone.
func (a *Agent) sendLogs(sending, following context.Context, order *pb.LogOrder) error {
	sending, stop := context.WithCancel(sending)
	batches := make(chan []*pb.LogLine)
	var failed error // written before batches is closed, read after
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(batches)
		failed = a.readLogs(sending, following, order, batches)
	})
	defer reading.Wait()
	defer stop()
	return a.masters.SendLogs(sending, order.GetRequest(), batches, func() error { return failed })
}

func (a *Agent) readLogs(sending, following context.Context, order *pb.LogOrder, batches chan<- []*pb.LogLine) error {
	dir, err := a.attemptLogs(id.Task(order.GetTask()), order.GetPrevious())
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	var problems [2]error
	for i, stream := range []string{"stdout", "stderr"} {
		both.Go(func() {
			w := &lineSender{ctx: sending, task: order.GetTask(), stream: stream, batches: batches}
			problems[i] = copyLogs(following, dir, order, w)
		})
	}
	both.Wait()
	return errors.Join(problems[:]...)
}

func copyLogs(following context.Context, dir string, order *pb.LogOrder, w *lineSender) error {
	if order.GetFollow() {
		err := logs.Follow(following, dir, w.stream, int(order.GetLines()), w)
		return errors.Join(err, w.flush())
	}
	lines, err := logs.Tail(dir, w.stream, int(order.GetLines()))
	if err != nil {
		return err
	}
	return w.send(lines)
}

// attemptLogs returns the folder of the newest attempt's logs, or of the one
// before it.
func (a *Agent) attemptLogs(name id.Task, previous bool) (string, error) {
	if err := id.Check(name); err != nil {
		return "", fmt.Errorf("task %q: %w", string(name), err)
	}
	attempts, err := a.attempts(name)
	if err != nil || len(attempts) == 0 {
		return "", fmt.Errorf("task %s has no logs on agent %s", name, a.cfg.ID)
	}
	newest := len(attempts) - 1
	if previous {
		newest--
	}
	if newest < 0 {
		return "", fmt.Errorf("task %s had no attempt before this one", name)
	}
	return a.logs(name, attempts[newest]), nil
}

// attempts returns the numbers of the attempts that have logs, oldest first.
func (a *Agent) attempts(name id.Task) ([]int, error) {
	folders, err := os.ReadDir(filepath.Join(a.folder(name), "logs"))
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, folder := range folders {
		if number, err := strconv.Atoi(folder.Name()); err == nil {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// trimAttempts removes the logs of attempts before the newest few.
func (a *Agent) trimAttempts(name id.Task) error {
	attempts, err := a.attempts(name)
	if err != nil {
		return nil //nolint:nilerr // no logs yet: nothing to trim
	}
	var problems []error
	for _, attempt := range attempts[:max(0, len(attempts)-attemptsKept)] {
		problems = append(problems, os.RemoveAll(a.logs(name, attempt)))
	}
	return errors.Join(problems...)
}

// lineSender cuts what is written to it into lines and sends them on.
type lineSender struct {
	ctx     context.Context //nolint:containedctx // an io.Writer has no other way to be told
	task    string
	stream  string
	batches chan<- []*pb.LogLine
	rest    []byte // the beginning of a line
}

// Write sends the lines that p completes.
func (w *lineSender) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	end := bytes.LastIndexByte(w.rest, '\n')
	if end < 0 {
		return len(p), nil
	}
	var lines []string
	for line := range bytes.SplitSeq(w.rest[:end], []byte("\n")) {
		lines = append(lines, string(line))
	}
	w.rest = slices.Clone(w.rest[end+1:])
	return len(p), w.send(lines)
}

// flush sends a last line that has no end.
func (w *lineSender) flush() error {
	if len(w.rest) == 0 {
		return nil
	}
	return w.send([]string{string(w.rest)})
}

func (w *lineSender) send(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	batch := make([]*pb.LogLine, 0, len(lines))
	for _, line := range lines {
		batch = append(batch, &pb.LogLine{Task: w.task, Stream: w.stream, Text: line})
	}
	select {
	case w.batches <- batch:
		return nil
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
}
