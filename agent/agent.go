// Package agent runs on every machine: it starts and stops the tasks that the
// master orders, probes their health, starts again what fails, and reports what
// it sees.
//
// One goroutine, Run, owns every task. Whatever may wait (the disk, fetching,
// starting, probing, the network) happens in workers that hand their result
// back to Run as a function. Law: what an agent does and says of a task is on
// disk first, so that a new agent on the same folder goes on where the last one
// was killed, and no attempt is ever started twice.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// Masters is what an agent needs of the cluster's masters.
type Masters interface {
	// AgentSession holds one session until it breaks: it sends join, then every
	// report that it takes, and hands each message of the master to receive.
	AgentSession(ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse)) error
	// SendLogs answers a log order: every batch, then the error of the function.
	SendLogs(ctx context.Context, request string, batches <-chan []*pb.LogLine, failure func() error) error
}

// Runtime is what an agent needs of what runs its programs. They outlive it.
type Runtime interface {
	Programs
	Leases
}

// Programs starts and ends programs.
type Programs interface {
	// Start begins one attempt; the same attempt is never started twice. An
	// error means that nothing was started, unless ctx is done.
	Start(ctx context.Context, launch runtime.Launch) error
	// Stop asks the program to end, and kills all of it after grace. Asking
	// again can only bring the end forward.
	Stop(ctx context.Context, key runtime.Key, grace time.Duration) error
	// List returns the attempts that run, and those whose end was not forgotten.
	List(ctx context.Context) ([]runtime.Task, error)
	// Forget drops the record of an attempt that ended.
	Forget(ctx context.Context, key runtime.Key) error
	// Exits gives each end, also those that came while no agent was there, and
	// may give it again until it is forgotten.
	Exits() <-chan runtime.Exit
}

// Fetcher puts an artifact into a sandbox.
type Fetcher interface {
	Fetch(ctx context.Context, artifact spec.Artifact, sandbox string) error
}

// Agent is one machine's agent. Make it with New and start it, once, with Run.
type Agent struct {
	cfg      Config
	masters  Masters
	runtime  Runtime
	fetcher  Fetcher
	folder   folder
	lock     io.Closer            // of the folder; nil until it is taken
	identity string               // of the folder
	events   chan func()          // run by Run, one after the other
	reports  chan *pb.AgentReport // to the session that is open
	workers  sync.WaitGroup
	joined   atomic.Bool // a master has answered in the session that is open
	leaving  atomic.Bool

	// Owned by Run.
	tasks     map[id.Task]*instance
	alarms    alarms
	epoch     epoch
	leftAt    time.Time // the last session with a master that answered ended then, or Run began
	outbox    outbox
	writing   writing
	tidying   tidying
	displaced displacements
	touch     touch
	answers   map[string]answer // to log orders, under way
}

// New returns an agent that has not started.
func New(cfg Config, masters Masters, rt Runtime, fetcher Fetcher) (*Agent, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("agent config: %w", err)
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return &Agent{
		cfg:     cfg,
		masters: masters,
		runtime: rt,
		fetcher: fetcher,
		folder:  folder(dir),
		events:  make(chan func()),
		reports: make(chan *pb.AgentReport),
		tasks:   make(map[id.Task]*instance),
		outbox:  outbox{unsent: make(map[id.Task]bool)},
		writing: writing{changed: make(map[id.Task]bool), failed: make(map[id.Task]bool)},
		tidying: tidying{ran: make(map[id.Task]bool)},
		answers: make(map[string]answer),
	}, nil
}

// Open takes the data folder for this agent until Run returns. The error wraps
// ErrLocked or ErrFormat when the folder is not for this agent. Run does it where
// it was not done; whoever has a runtime that works in the folder too calls it
// before that begins, so that no other agent's tasks are touched.
func (a *Agent) Open() error {
	lock, err := a.folder.open()
	if err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	identity, err := a.folder.identity()
	if err != nil {
		return fmt.Errorf("data folder: %w", errors.Join(err, lock.Close()))
	}
	a.lock, a.identity = lock, identity
	return nil
}

// Run works until ctx is done, and returns its cause, or the error of Open. All
// goroutines have ended when Run returns; the tasks run on.
func (a *Agent) Run(ctx context.Context) error {
	if a.lock == nil {
		if err := a.Open(); err != nil {
			return err
		}
	}
	defer func() { _ = a.lock.Close() }() // nothing was written to it that matters
	ctx, stop := context.WithCancel(ctx)
	defer a.workers.Wait()
	defer stop()
	a.leftAt = time.Now()
	if err := a.restore(ctx); err != nil {
		return fmt.Errorf("take up the tasks again: %w", err)
	}
	a.workers.Go(func() { a.keepSession(ctx) })
	return a.loop(ctx)
}

// loop does what workers, programs, masters and the time ask for.
func (a *Agent) loop(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		a.write(ctx)
		a.tidy(ctx)
		now := time.Now()
		report, reports := a.nextReport(now)
		timer.Reset(a.nextDue(now).Sub(now))
		select {
		case act := <-a.events:
			act()
		case exit := <-a.runtime.Exits():
			a.exited(ctx, exit)
		case <-timer.C:
			a.actOnDue(ctx, time.Now())
		case reports <- report:
			a.outbox.sent(time.Now())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Leave has every session from now on begin with the word that this agent ends when
// it is empty.
func (a *Agent) Leave() { a.leaving.Store(true) }

// Ready returns nil while a master answers in this agent's session.
func (a *Agent) Ready() error {
	if !a.joined.Load() {
		return errors.New("no session with a master; tasks run on")
	}
	return nil
}

// do hands an act to Run. It returns once the act is taken, or false when ctx
// is done.
func (a *Agent) do(ctx context.Context, act func()) bool {
	select {
	case a.events <- act:
		return true
	case <-ctx.Done():
		return false
	}
}

// move makes a legal move, and has it kept and reported. An illegal one is a
// late event about a state that has passed: it is dropped.
func (a *Agent) move(ctx context.Context, in *instance, event task.Event) bool {
	next, err := task.Step(in.status, event)
	if err != nil {
		a.cfg.Log.DebugContext(ctx, "late event dropped", slog.String("task", string(in.task)), slog.Any("error", err))
		return false
	}
	in.status = next
	a.writing.changed[in.task] = true
	return true
}

// nextDue returns when the loop has something to do by itself, at the latest in
// an hour.
func (a *Agent) nextDue(now time.Time) time.Time {
	due := now.Add(time.Hour)
	if at, ok := a.alarms.next(); ok && at.Before(due) {
		due = at
	}
	if again := a.writing.again; !again.IsZero() && again.Before(due) {
		due = again
	}
	if at := a.outbox.dueAt(); a.outbox.waits() && at.Before(due) && at.After(now) {
		due = at
	}
	return due
}

// actOnDue starts again what has waited long enough, ends what was not alive
// for too long, and writes again what the disk did not take.
func (a *Agent) actOnDue(ctx context.Context, now time.Time) {
	a.writing.retry(now)
	for name, ok := a.alarms.take(now); ok; name, ok = a.alarms.take(now) {
		in := a.tasks[name]
		switch {
		case in == nil:
		case in.status.State == task.Backoff && !in.status.RetryAt.After(now):
			a.begin(ctx, in)
		case in.fetching != "" && !in.slowAt.After(now):
			a.sayFetching(in)
		case !in.killAt.IsZero() && !in.killAt.After(now):
			in.stopProbes()
			a.stopProgram(ctx, in, in.rev.spec.Deploy.Grace)
		default:
			a.fend(ctx, in, now)
		}
	}
}
