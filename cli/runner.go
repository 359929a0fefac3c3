package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// restWithin is how long run waits for the rest of the output when the program
// has ended.
const restWithin = 10 * time.Second

// runner follows the one copy of a job that run has made. A copy that was lost
// with its agent is followed by another.
type runner struct {
	app       *app
	name      string
	pending   string          // why it does not run, as said last
	begun     map[string]bool // tasks whose output is shown
	streaming sync.WaitGroup  // of the output

	mu          sync.Mutex // guards the writers
	out, errOut io.Writer
}

func newRunner(cmd *cobra.Command, a *app, name string) *runner {
	return &runner{app: a, name: name, begun: make(map[string]bool), out: cmd.OutOrStdout(), errOut: cmd.ErrOrStderr()}
}

// follow streams the output until it and the run have ended. It returns the
// task that decided the run.
func (r *runner) follow(ctx context.Context) (last *pb.Task, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer r.streaming.Wait()
	defer cancel()
	err = r.app.follow(ctx, r.name, func(now *situation) (bool, error) {
		if now.removed {
			return true, &exitError{ExitFailed, fmt.Errorf("%s: the job was removed before it ended", r.name)}
		}
		for _, t := range now.tasks {
			r.look(ctx, t)
			if last == nil || t.GetCreatedAt().AsTime().After(last.GetCreatedAt().AsTime()) || t.GetId() == last.GetId() {
				last = t
			}
		}
		over := now.service.GetResult() > pb.JobResult_JOB_RESULT_UNDERWAY || now.service.GetStopped()
		return over && ended(last), nil
	})
	if ctx.Err() != nil {
		return nil, err
	}
	return last, errors.Join(err, r.rest(ctx)) // what it wrote is shown however it ended
}

// look takes in how a task is.
func (r *runner) look(ctx context.Context, t *pb.Task) {
	state, reason := t.GetStatus().GetState(), t.GetStatus().GetReason()
	if state == pb.TaskState_TASK_STATE_PENDING && reason != r.pending {
		r.pending = reason
		r.complain("waiting: " + reason)
	}
	if r.begun[t.GetId()] || state < pb.TaskState_TASK_STATE_RUNNING {
		return
	}
	r.begun[t.GetId()] = true
	request := &pb.LogsRequest{Name: t.GetId(), Follow: true, Lines: everyLine}
	r.streaming.Go(func() {
		err := r.app.copyLogs(ctx, request, r.write)
		if err != nil && !isNotFound(err) && ctx.Err() == nil { // a program that never ran has no output
			r.complain("aloft: output incomplete: " + messageOf(err))
		}
	})
}

// rest waits for the end of the output.
func (r *runner) rest(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // follow waits for the same
		r.streaming.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(restWithin):
		r.complain("aloft: output incomplete: its agent is slow to send it")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// write passes a line of the program on as its own.
func (r *runner) write(line *pb.LogLine) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.app.json {
		return printLineJSON(r.out, line)
	}
	w := r.out
	if line.GetStream() == "stderr" {
		w = r.errOut
	}
	_, err := fmt.Fprintln(w, line.GetText())
	return err
}

// complain says something of its own.
func (r *runner) complain(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(r.errOut, text)
}
