// Package agent runs on every machine: it starts and stops the tasks that the
// master orders, probes their health, starts again what fails, and reports what
// it sees.
//
// One goroutine, Run, owns every task. Whatever may wait (fetching, starting,
// probing, the network) happens in goroutines that hand their result back to
// Run as a function. What runs is kept on disk before it is reported, so that a
// new agent on the same folder goes on where the last one was killed.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// Masters is what an agent needs of the cluster's masters.
type Masters interface {
	// AgentSession holds one session until it breaks: it sends join, then every
	// report that it takes, and hands each message of the master to receive.
	AgentSession(ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse)) error
	// SendLogs answers a log order: every batch, then the error of the function.
	SendLogs(ctx context.Context, request string, batches <-chan []*pb.LogLine, failure func() error) error
}

// Runtime starts and ends programs. A program outlives the agent.
type Runtime interface {
	// Start begins one attempt; the same attempt is never started twice.
	Start(ctx context.Context, launch runtime.Launch) error
	// Stop asks the program to end, and kills all of it after grace.
	Stop(ctx context.Context, key runtime.Key, grace time.Duration) error
	// List returns the attempts that run, and those whose end was not forgotten.
	List(ctx context.Context) ([]runtime.Task, error)
	// Forget drops the record of an attempt that ended.
	Forget(ctx context.Context, key runtime.Key) error
	// Exits gives each end, also those that came while no agent was there.
	Exits() <-chan runtime.Exit
}

// Fetcher puts an artifact into a sandbox.
type Fetcher interface {
	Fetch(ctx context.Context, artifact spec.Artifact, sandbox string) error
}

// Agent is one machine's agent. Make it with New and start it with Run.
type Agent struct {
	cfg     Config
	masters Masters
	runtime Runtime
	fetcher Fetcher
	events  chan func()          // run by Run, one after the other
	reports chan *pb.AgentReport // to the session that is open
	workers sync.WaitGroup
	joined  atomic.Bool // a master has answered in the session that is open

	// Owned by Run.
	tasks   map[id.Task]*instance
	unsent  map[id.Task]bool
	epoch   uint64
	answers map[string]answer // to log orders, under way
}

// New returns an agent that has not started.
func New(cfg Config, masters Masters, rt Runtime, fetcher Fetcher) (*Agent, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("agent config: %w", err)
	}
	return &Agent{
		cfg:     cfg,
		masters: masters,
		runtime: rt,
		fetcher: fetcher,
		events:  make(chan func()),
		reports: make(chan *pb.AgentReport),
		tasks:   make(map[id.Task]*instance),
		unsent:  make(map[id.Task]bool),
		answers: make(map[string]answer),
	}, nil
}

// Run works until ctx is done. Its goroutines have ended when it returns; the
// tasks run on.
func (a *Agent) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer a.workers.Wait()
	defer stop()
	if err := a.restore(ctx); err != nil {
		return fmt.Errorf("take up the tasks again: %w", err)
	}
	a.workers.Go(func() { a.keepSession(ctx) })

	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var report *pb.AgentReport
		var reports chan<- *pb.AgentReport
		if len(a.unsent) > 0 {
			report, reports = a.report(), a.reports
		}
		timer.Reset(time.Until(a.nextDue()))
		select {
		case act := <-a.events:
			act()
		case exit := <-a.runtime.Exits():
			a.exited(ctx, exit)
		case <-timer.C:
			a.actOnDue(ctx, time.Now())
		case reports <- report:
			clear(a.unsent)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

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

// report says how the tasks stand that changed since the last report.
func (a *Agent) report() *pb.AgentReport {
	report := &pb.AgentReport{}
	for _, name := range slices.Sorted(maps.Keys(a.unsent)) {
		if in, ok := a.tasks[name]; ok {
			report.Tasks = append(report.Tasks, in.reported())
		}
	}
	return report
}

// join says all that this agent has and runs.
func (a *Agent) join() *pb.AgentJoin {
	join := &pb.AgentJoin{Agent: &pb.Agent{
		Id: string(a.cfg.ID), BootId: a.cfg.BootID, Hostname: a.cfg.Hostname, Version: a.cfg.Version,
		Address: a.cfg.Address, Attributes: a.cfg.Attributes, Partitions: wire.FromPartitions(a.cfg.ID, a.cfg.Partitions),
	}}
	for _, name := range slices.Sorted(maps.Keys(a.tasks)) {
		join.Tasks = append(join.Tasks, a.tasks[name].reported())
	}
	return join
}

// keepSession opens one session after the other, with a growing pause while the
// masters cannot be reached.
func (a *Agent) keepSession(ctx context.Context) {
	pause := a.cfg.Reconnect.restart()
	for ctx.Err() == nil {
		joined := make(chan *pb.AgentJoin, 1)
		if !a.do(ctx, func() { joined <- a.join(); clear(a.unsent) }) {
			return
		}
		began := time.Now()
		err := a.masters.AgentSession(ctx, <-joined, a.reports, func(message *pb.SessionResponse) {
			a.joined.Store(true)
			a.do(ctx, func() { a.receive(ctx, message) })
		})
		a.joined.Store(false)
		if ctx.Err() != nil {
			return
		}
		a.cfg.Log.WarnContext(ctx, "session with the masters broke; tasks run on", slog.Any("error", err))
		if time.Since(began) > a.cfg.Reconnect.Max {
			pause = a.cfg.Reconnect.restart()
		}
		if !wait(ctx, pause.next()) {
			return
		}
	}
}

// wait returns false when ctx is done before d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reported is the task's whole state for the master.
func (in *instance) reported() *pb.TaskReport {
	return &pb.TaskReport{Task: string(in.task), Status: wire.FromStatus(in.status)}
}

// move makes a legal move, keeps it on disk and has it reported. An illegal one
// is a late event about a state that has passed: it is dropped.
func (a *Agent) move(ctx context.Context, in *instance, event task.Event) bool {
	next, err := task.Step(in.status, event)
	if err != nil {
		a.cfg.Log.DebugContext(ctx, "late event dropped", slog.String("task", string(in.task)), slog.Any("error", err))
		return false
	}
	in.status = next
	a.unsent[in.task] = true
	if err := a.keep(in); err != nil {
		a.cfg.Log.WarnContext(ctx, "task not kept on disk; a new agent would miss its last change",
			slog.String("task", string(in.task)), slog.Any("error", err))
	}
	return true
}
