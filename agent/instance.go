package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// instance is a task on this agent. Only Run touches it.
type instance struct {
	task   id.Task
	order  *pb.RunOrder
	rev    *revision
	held   resource.Vector // by its claim
	status task.Status
	kept   *pb.TaskStatus // the newest one on disk, which is what masters are told; nil: none yet

	records int // in its file; 0: it must be written whole

	grace   time.Duration // of the stop that was asked
	killAt  time.Time     // an attempt that is not alive is stopped then; zero: none
	verdict string        // why we ended the attempt, for its exit

	ran          bool               // an attempt was started, or may have been
	launchDue    bool               // the attempt is started when the disk knows of it
	ended        []runtime.Key      // attempts whose ends the runtime may forget when the disk knows of them
	cancelLaunch context.CancelFunc // of the preparations; nil when no start is under way
	cancelProbes context.CancelFunc // nil while none run

	fetching string    // the URL of the artifact that is being fetched, without its password; "": none
	slowAt   time.Time // when the status says so
}

// revision is a spec as it came over the wire, kept in that form for the disk.
type revision struct {
	spec *spec.Spec
	wire *pb.Spec // nil: not known
}

// newInstance returns the task of an order, not yet started.
func newInstance(order *pb.RunOrder, rev *revision, now time.Time) (*instance, error) {
	held, err := wire.ToVector(order.GetResources())
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return &instance{
		task: id.Task(order.GetTask()), order: order, rev: rev, held: held,
		status: task.Status{State: task.Assigned, Since: now, Attempt: int(order.GetAttempts())},
	}, nil
}

// newRemnant returns a task of which this agent knows no spec: it can only end.
func newRemnant(name id.Task, status task.Status) *instance {
	return &instance{
		task: name, order: &pb.RunOrder{Task: string(name)}, rev: &revision{spec: &spec.Spec{}}, status: status,
	}
}

// key names the newest attempt.
func (in *instance) key() runtime.Key {
	return runtime.Key{Task: in.task, Attempt: in.status.Attempt}
}

// runsToCompletion reports whether a good exit is the aim.
func (in *instance) runsToCompletion() bool { return in.rev.spec.RunsToCompletion() }

// hasProgram reports whether the newest attempt runs, or is about to.
func (in *instance) hasProgram() bool {
	return !in.status.State.Ended() && in.status.State != task.Backoff
}

// stopProbes ends the watch over the newest attempt.
func (in *instance) stopProbes() {
	in.killAt = time.Time{}
	if in.cancelProbes != nil {
		in.cancelProbes()
		in.cancelProbes = nil
	}
}

// wordsMax bounds, in bytes, what a report says of one cause.
const wordsMax = 1000

// words returns text as a report may carry it: valid UTF-8 of bounded length,
// whatever a program or a server has said.
func words(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), wordsMax)], "\uFFFD")
}
