package simulate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// patience is for how long a run goes on when nothing of the workload runs, none
// arrives, and none of what waits finds a place.
const patience = time.Hour

// lookEvery is how many steps are done before it is looked whether to end, and
// told how far they have come.
const lookEvery = 256

// world plays the master's loop, the store, the agents and the operators around
// one engine.
type world struct {
	cfg    Config
	engine *engine.Engine
	now    time.Time
	began  time.Time
	events events
	runs   map[id.Task]*run
	jobs   map[id.Service]int // the jobs of the workload that are deployed, by name
	meter  *meter
	came   int       // jobs that have arrived
	moved  time.Time // when something of the workload last found a place, or ended
	ended  int       // jobs that have, and failed of them badly
	failed int
}

// run is a task, as its agent and the meter see it.
type run struct {
	id      id.Task
	agent   id.Agent
	job     int           // of the workload; -1 for what else the cluster runs
	since   time.Duration // when it was created
	state   task.State
	attempt int
	turn    int  // grows with each change of state
	ends    bool // its program does, after its length
	length  time.Duration
	bill    bill
}

func newWorld(cfg Config) (*world, error) {
	w := &world{
		cfg: cfg, now: cfg.Cluster.At, began: cfg.Cluster.At, moved: cfg.Cluster.At,
		engine: engine.New(engine.Config{Epoch: 1, Zones: time.LoadLocation}),
		runs:   make(map[id.Task]*run), jobs: make(map[id.Service]int),
	}
	if err := w.engine.Load(slices.Values(cfg.Cluster.Records)); err != nil {
		return nil, fmt.Errorf("the recorded cluster: %w", err)
	}
	w.meter = newMeter(w.engine, cfg.Workload)
	for _, record := range cfg.Cluster.Records {
		if t, ok := record.(*engine.Task); ok && !t.Status.State.Ended() {
			w.see(t)
		}
	}
	if err := w.join(); err != nil {
		return nil, err
	}
	for i, job := range cfg.Workload.Jobs {
		w.events.add(event{at: w.began.Add(job.At), kind: jobArrives, job: i})
	}
	return w, nil
}

// join has every agent that was connected come, with what it runs.
func (w *world) join() error {
	tasks := make(map[id.Agent][]engine.Report)
	for _, record := range w.cfg.Cluster.Records {
		t, ok := record.(*engine.Task)
		if ok && t.Status.State.HoldsClaim() && t.Status.State != task.Assigned {
			tasks[t.Claim.Agent] = append(tasks[t.Claim.Agent], engine.Report{Task: t.ID, Status: reported(t.Status)})
		}
	}
	w.engine.Take(w.now)
	for a := range w.cfg.Cluster.agents() {
		if !a.SilentSince.IsZero() {
			continue
		}
		joined := engine.AgentJoined{
			Agent:  ledger.Agent{ID: a.ID, Attributes: a.Attributes, Partitions: a.Partitions},
			BootID: a.BootID, Hostname: a.Hostname, Version: a.Version, Address: a.Address, Leaving: a.Leaving, Tasks: tasks[a.ID],
		}
		if _, err := w.engine.Step(joined, w.now); err != nil {
			return fmt.Errorf("agent %s: %w", a.ID, err)
		}
	}
	w.settle()
	return nil
}

// reported is a task as its agent sees it: agents do not know what a master has
// decided and not told.
func reported(s task.Status) task.Status {
	if s.State != task.Draining {
		return s
	}
	if s.State = task.Running; !s.ReadySince.IsZero() {
		s.State = task.Ready
	}
	return s
}

// run goes from one moment at which something happens to the next.
func (w *world) run(ctx context.Context) error {
	for steps := 0; !w.over(); steps++ {
		if steps%lookEvery == 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			w.cfg.Progress(w.progress())
		}
		at := earliest(w.events.next(), w.engine.AskAgain())
		if end := w.began.Add(w.cfg.Until); w.cfg.Until > 0 && (at.IsZero() || at.After(end)) {
			w.pass(end)
			break
		}
		if at.IsZero() || w.stuck(at) {
			break
		}
		w.pass(at)
		if err := w.happen(); err != nil {
			return err
		}
		w.settle()
	}
	w.cfg.Progress(w.progress())
	return nil
}

// over reports whether every job has come and ended.
func (w *world) over() bool {
	return w.cfg.Until == 0 && w.came == len(w.cfg.Workload.Jobs) && len(w.jobs) == 0
}

// stuck reports whether nothing of the workload has moved for long, and nothing
// that was told to would change that.
func (w *world) stuck(at time.Time) bool {
	return w.cfg.Until == 0 && w.came == len(w.cfg.Workload.Jobs) && w.meter.running == 0 && at.Sub(w.moved) > patience
}

func (w *world) progress() Progress {
	return Progress{
		At: w.now.Sub(w.began), Arrived: w.meter.arrived, Of: w.meter.expected, Done: w.meter.done, Waiting: w.meter.waiting,
	}
}

// pass has time pass: nothing changes until then.
func (w *world) pass(at time.Time) {
	if at.After(w.now) {
		w.meter.pass(w.engine.Books(), at.Sub(w.now))
		w.now = at
	}
}

// happen folds in all that is due.
func (w *world) happen() error {
	for {
		e, due := w.events.due(w.now)
		if !due {
			return nil
		}
		if e.run != nil && e.turn != e.run.turn {
			continue
		}
		var err error
		switch e.kind {
		case jobArrives:
			err = w.arrive(e.job)
		case jobGoes:
			_, err = w.engine.Step(engine.StopService{Service: nameOfJob(e.job), Remove: true}, w.now)
		default:
			err = w.tell(e.run, w.programIs(e))
		}
		if err != nil {
			return err
		}
	}
}

// arrive deploys a job.
func (w *world) arrive(i int) error {
	job := w.cfg.Workload.Jobs[i]
	wanted := spec.New(spec.Job, nameOfJob(i))
	wanted.Instances, wanted.Resources = job.Copies, job.Resources
	wanted.Run.Command = []string{"sleep", job.Length.String()}
	if job.Pool != "" {
		wanted.Pools = []id.Pool{job.Pool}
	}
	w.came++
	w.jobs[wanted.Name] = i
	w.meter.arrive(job)
	_, err := w.engine.Step(engine.Deploy{Specs: []engine.Submission{{Spec: wanted}}}, w.now)
	if err != nil {
		return fmt.Errorf("job %d, %q: %w", i+1, job.Name, err)
	}
	return nil
}

// programIs returns the status that an agent reports when something has happened
// to a program.
func (w *world) programIs(e event) task.Status {
	r := e.run
	switch e.kind {
	case programStarts:
		s := task.Status{State: task.Running, Since: w.now, Attempt: r.attempt + 1}
		if !r.ends {
			s.State, s.ReadySince = task.Ready, w.now
		}
		return s
	case programStops:
		return task.Status{State: task.Stopped, Since: w.now, Attempt: r.attempt}
	default:
		return task.Status{State: task.Finished, Since: w.now, Attempt: r.attempt, Last: &task.Exit{At: w.now}}
	}
}

func (w *world) tell(r *run, status task.Status) error {
	_, err := w.engine.Step(engine.AgentReported{Agent: r.agent, Tasks: []engine.Report{{Task: r.id, Status: status}}}, w.now)
	return err
}

// settle takes what was decided, as often as the engine has more to decide at this
// moment, and has it begin. A commit takes no time here.
func (w *world) settle() {
	for {
		for _, change := range w.engine.Take(w.now).Records {
			switch record := change.Record.(type) {
			case *engine.Task:
				w.see(record)
			case *engine.Service:
				w.judge(record)
			}
		}
		if at := w.engine.AskAgain(); at.IsZero() || at.After(w.now) {
			return
		}
	}
}

// judge has a job of the workload that has ended removed, so that it does not take
// up memory.
func (w *world) judge(s *engine.Service) {
	i, ours := w.jobs[s.Name]
	if !ours || s.Result == engine.Underway || s.Result == engine.NoResult {
		return
	}
	delete(w.jobs, s.Name)
	if w.ended++; s.Result != engine.Succeeded {
		w.failed++
	}
	w.events.add(event{at: w.now, kind: jobGoes, job: i})
}

// see does what agents and the meter do about a task that has changed.
func (w *world) see(t *engine.Task) {
	r := w.runs[t.ID]
	if r == nil {
		r = w.newRun(t)
		w.runs[t.ID] = r
	}
	was, is := r.state, t.Status.State
	r.agent, r.attempt = t.Claim.Agent, t.Status.Attempt
	if was == is {
		return
	}
	r.state = is
	r.turn++
	if w.meter.move(r, was, t.Claim.Pool, w.now.Sub(w.began)) {
		w.moved = w.now
	}
	after := func(d time.Duration, kind eventKind) {
		w.events.add(event{at: w.now.Add(d), kind: kind, run: r, turn: r.turn})
	}
	switch {
	case is.Ended():
		delete(w.runs, t.ID)
	case is == task.Assigned, is == task.Starting:
		after(w.cfg.Startup, programStarts)
	case is == task.Backoff:
		after(max(0, t.Status.RetryAt.Sub(w.now)), programStarts)
	case is == task.Running && r.ends:
		after(r.length, programEnds)
	case is == task.Running:
		after(w.cfg.Startup, programStarts) // it becomes ready
	case is == task.Stopping:
		after(0, programStops)
	}
}

func (w *world) newRun(t *engine.Task) *run {
	r := &run{id: t.ID, job: -1, since: t.CreatedAt.Sub(w.began)}
	revision := w.engine.Revision(t.Service, t.Revision)
	if revision == nil {
		return r
	}
	r.ends = revision.Spec.RunsToCompletion()
	r.bill = w.meter.billOf(revision.Spec, t.Claim.Pool)
	if i, ours := w.jobs[t.Service]; ours {
		r.job, r.length = i, w.cfg.Workload.Jobs[i].Length
		r.bill.user = w.cfg.Workload.Jobs[i].User
	} else if r.ends {
		r.length = w.cfg.guess(t.ID)
	}
	return r
}

// earliest returns the earlier of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
