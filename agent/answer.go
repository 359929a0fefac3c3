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
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// attemptsKept is how many of a task's attempts keep their logs.
const attemptsKept = 3

// answerLogs begins or ends the answer to a log order.
func (a *Agent) answerLogs(ctx context.Context, order *pb.LogOrder) {
	request := order.GetRequest()
	if cancel, under := a.follows[request]; under || order.GetCancel() {
		if cancel != nil {
			cancel()
		}
		return
	}
	answering, cancel := context.WithCancel(ctx)
	a.follows[request] = cancel
	a.workers.Go(func() {
		defer cancel()
		if err := a.sendLogs(answering, order); err != nil && answering.Err() == nil {
			a.cfg.Log.WarnContext(ctx, "logs not sent", slog.String("task", order.GetTask()), slog.Any("error", err))
		}
		a.do(ctx, func() { delete(a.follows, request) })
	})
}

// sendLogs reads both streams of a task and sends their lines until they end or
// the reader has gone.
func (a *Agent) sendLogs(ctx context.Context, order *pb.LogOrder) error {
	ctx, stop := context.WithCancel(ctx)
	batches := make(chan []*pb.LogLine)
	var failed error // written before batches is closed, read after
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(batches)
		failed = a.readLogs(ctx, order, batches)
	})
	defer reading.Wait()
	defer stop()
	return a.masters.SendLogs(ctx, order.GetRequest(), batches, func() error { return failed })
}

func (a *Agent) readLogs(ctx context.Context, order *pb.LogOrder, batches chan<- []*pb.LogLine) error {
	dir, err := a.attemptLogs(id.Task(order.GetTask()), order.GetPrevious())
	if err != nil {
		return err
	}
	var both sync.WaitGroup
	var problems [2]error
	for i, stream := range []string{"stdout", "stderr"} {
		both.Go(func() {
			w := &lineSender{ctx: ctx, task: order.GetTask(), stream: stream, batches: batches}
			problems[i] = copyLogs(ctx, dir, order, w)
		})
	}
	both.Wait()
	return errors.Join(problems[:]...)
}

func copyLogs(ctx context.Context, dir string, order *pb.LogOrder, w *lineSender) error {
	if order.GetFollow() {
		return logs.Follow(ctx, dir, w.stream, int(order.GetLines()), w)
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
