package simulate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/fleet"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// realPatience is patience where time is real.
const realPatience = 20 * time.Second

// callers is how many calls to a master are made at one time.
const callers = 16

// Real is a run against a master that is really there: its store has the records
// of Cluster, and no agents have come to it yet.
type Real struct {
	Config

	Master string  // its address
	Speed  float64 // arrivals and lengths are so many times as fast; default 1
}

// live is a run in real time. Its loop owns it.
type live struct {
	tracker

	cfg     Real
	own     ledger.Ledger // as the master's are, by what it tells
	specs   map[engine.Key]*spec.Spec
	masters *client.Client
	began   time.Time
	passed  time.Time // up to here the meter knows
	moved   time.Time
	queue   []call // calls that are to be made
}

// call asks the master for something.
type call func(ctx context.Context) error

// RunReal has the workload come to a master in real time, by its API, with agents
// in sessions whose programs end when their length has passed. Report tells of
// times as if they had gone by at their usual speed.
func RunReal(ctx context.Context, cfg Real) (*Report, error) {
	cfg.Config = cfg.withDefaults()
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.Speed < 0 {
		return nil, fmt.Errorf("speed: found %v; want more than 0", cfg.Speed)
	}
	l := &live{cfg: cfg, specs: make(map[engine.Key]*spec.Spec)}
	if err := l.open(); err != nil {
		return nil, err
	}
	l.tracker = newTracker(cfg.Config, &l.own)
	var err error
	if l.masters, err = client.New(cfg.Master); err != nil {
		return nil, err
	}
	defer l.masters.Close()
	agents, err := l.fleet()
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop(nil)
	beside.Go(func() { _ = agents.Run(running) }) // it ends with running
	if err := l.run(running, stop, &beside); err != nil {
		return nil, err
	}
	return l.report(l.at(time.Now())), nil
}

// open opens the books, with nothing claimed: what is, the master will tell.
func (l *live) open() error {
	for _, record := range l.cfg.Cluster.Records {
		var err error
		switch r := record.(type) {
		case *engine.Agent:
			err = l.own.SetAgent(offered(r))
		case *engine.Pool:
			err = l.own.SetPool(r.Pool)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fleet returns the agents that were connected, with what they run.
func (l *live) fleet() (*fleet.Fleet, error) {
	tasks := l.cfg.Cluster.ran()
	var agents []fleet.Agent
	for a := range l.cfg.Cluster.agents() {
		if a.SilentSince.IsZero() {
			agents = append(agents, fleet.Agent{Agent: offered(a), Tasks: tasks[a.ID]})
		}
	}
	lengths := make(map[id.Service]time.Duration, len(l.cfg.Workload.Jobs))
	for i, job := range l.cfg.Workload.Jobs {
		lengths[nameOfJob(i)] = l.wall(job.Length)
	}
	kinds := l.cfg.Cluster.completing()
	return fleet.New(fleet.Config{Masters: []string{l.cfg.Master}, Agents: agents, Length: func(name id.Task, service id.Service) time.Duration {
		if length, ours := lengths[service]; ours {
			return max(length, 1) // 0 would be for ever
		}
		if service == "" && !kinds[name] {
			return 0
		}
		return l.wall(l.cfg.guess(name))
	}})
}

// completing returns the tasks whose programs end by themselves.
func (c Cluster) completing() map[id.Task]bool {
	specs := make(map[engine.Key]*spec.Spec)
	for _, record := range c.Records {
		if r, ok := record.(*engine.Revision); ok {
			specs[r.Key()] = r.Spec
		}
	}
	list := make(map[id.Task]bool)
	for _, record := range c.Records {
		if t, ok := record.(*engine.Task); ok {
			s := specs[engine.RevisionKey(t.Service, t.Revision)]
			list[t.ID] = s != nil && s.RunsToCompletion()
		}
	}
	return list
}

// wall returns how long a time of the run takes.
func (l *live) wall(d time.Duration) time.Duration {
	return time.Duration(float64(d) / l.cfg.Speed)
}

// at returns a moment on the run's clock.
func (l *live) at(t time.Time) time.Duration {
	return time.Duration(float64(t.Sub(l.began)) * l.cfg.Speed)
}

// run follows what the master tells, and has jobs arrive in their time.
func (l *live) run(ctx context.Context, fail context.CancelCauseFunc, beside *sync.WaitGroup) error {
	told, work := make(chan *pb.WatchResponse), make(chan call)
	beside.Go(func() { fail(l.watch(ctx, told)) })
	for range callers {
		beside.Go(func() { carryOut(ctx, work, fail) })
	}
	l.began = time.Now() // of what is there already it is only told how it is
	l.passed, l.moved = l.began, l.began
	for synced := false; !synced; {
		select {
		case message := <-told:
			if err := l.hear(message); err != nil {
				return err
			}
			synced = message.GetSynced()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	l.began = time.Now()
	l.passed, l.moved = l.began, l.began
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !l.over() {
		timer.Reset(l.untilNext())
		var next call
		var out chan<- call
		if len(l.queue) > 0 {
			next, out = l.queue[0], work
		}
		select {
		case message := <-told:
			if err := l.hear(message); err != nil {
				return err
			}
		case out <- next:
			l.queue = l.queue[1:]
		case <-timer.C:
			l.pass()
			l.arrivals()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.tellProgress(l.at(time.Now()))
	}
	l.pass()
	return nil
}

// carryOut makes the calls that it is given.
func carryOut(ctx context.Context, work <-chan call, fail context.CancelCauseFunc) {
	for {
		select {
		case c := <-work:
			if err := c(ctx); err != nil {
				fail(err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// watch tells what the master tells, until ctx is done or the stream ends.
func (l *live) watch(ctx context.Context, told chan<- *pb.WatchResponse) error {
	stream, err := l.masters.Cluster().Watch(ctx, connect.NewRequest(&pb.WatchRequest{}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		select {
		case told <- stream.Msg():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.Join(errors.New("the master's watch ended"), stream.Err())
}

// over reports whether the run is.
func (l *live) over() bool {
	now := time.Now()
	switch {
	case l.cfg.Until > 0:
		return l.at(now) >= l.cfg.Until
	case l.allEnded():
		return len(l.queue) == 0
	default:
		return l.came == len(l.cfg.Workload.Jobs) && l.meter.running == 0 && now.Sub(l.moved) > realPatience
	}
}

// untilNext returns how long to wait for what comes next.
func (l *live) untilNext() time.Duration {
	wait := time.Second // to look whether it is over
	if l.came < len(l.cfg.Workload.Jobs) {
		wait = min(wait, l.wall(l.cfg.Workload.Jobs[l.came].At-l.at(time.Now())))
	}
	if l.cfg.Until > 0 {
		wait = min(wait, l.wall(l.cfg.Until-l.at(time.Now())))
	}
	return max(0, wait)
}

// pass has the time pass that has.
func (l *live) pass() {
	now := time.Now()
	l.meter.pass(&l.own, time.Duration(float64(now.Sub(l.passed))*l.cfg.Speed))
	l.passed = now
}

// arrivals deploys the jobs whose time has come.
func (l *live) arrivals() {
	for l.came < len(l.cfg.Workload.Jobs) && l.cfg.Workload.Jobs[l.came].At <= l.at(time.Now()) {
		wanted := l.comes(l.came)
		file := &pb.SpecFile{Name: string(wanted.Name), Text: []byte(spec.Encode(wanted))}
		l.queue = append(l.queue, func(ctx context.Context) error {
			_, err := l.masters.Cluster().Deploy(ctx, connect.NewRequest(&pb.DeployRequest{Files: []*pb.SpecFile{file}}))
			return err
		})
	}
}

// hear folds in what the master tells. What ended comes first: in one commit it
// made room for what began.
func (l *live) hear(message *pb.WatchResponse) error {
	l.pass()
	var begun []*engine.Task
	var services []*engine.Service
	for _, change := range message.GetChanges() {
		if change.GetRecord() == nil {
			continue
		}
		record, err := wire.ToRecord(change.GetRecord())
		if err != nil {
			return err
		}
		switch r := record.(type) {
		case *engine.Revision:
			l.specs[r.Key()] = r.Spec
		case *engine.Service:
			services = append(services, r)
		case *engine.Task:
			if !r.Status.State.Ended() {
				begun = append(begun, r)
				continue
			}
			if err := l.see(r); err != nil {
				return err
			}
		}
	}
	for _, t := range begun {
		if err := l.see(t); err != nil {
			return err
		}
	}
	for _, s := range services {
		l.remove(s)
	}
	return nil
}

// remove has a job of the workload that has ended removed.
func (l *live) remove(s *engine.Service) {
	if i, over := l.judge(s); over {
		l.queue = append(l.queue, func(ctx context.Context) error {
			_, err := l.masters.Cluster().Stop(ctx, connect.NewRequest(&pb.StopRequest{Service: string(nameOfJob(i)), Remove: true}))
			return err
		})
	}
}

// see counts a task that has changed.
func (l *live) see(t *engine.Task) error {
	if _, ours := l.jobs[t.Service]; !ours && l.runs[t.ID] == nil && t.Status.State.Ended() {
		return nil // before the run began
	}
	r, was := l.track(t, l.specs[engine.RevisionKey(t.Service, t.Revision)], l.at(t.CreatedAt))
	if was == r.state {
		return nil
	}
	before, after := phaseOf(was), phaseOf(r.state)
	if after == holds && before != holds {
		if err := l.own.Restore(t.Claim); err != nil {
			return fmt.Errorf("what the master tells of task %s does not fit its books: %w", t.ID, err)
		}
	}
	if before == holds && after != holds {
		l.own.Release(t.ID)
	}
	if l.meter.move(r, was, t.Claim.Pool, l.at(t.Status.Since)) {
		l.moved = time.Now()
	}
	return nil
}
