package simulate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/engine"
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
	tracker

	engine *engine.Engine
	now    time.Time
	began  time.Time
	events events
	moved  time.Time // when something of the workload last found a place, or ended
}

func newWorld(cfg Config) (*world, error) {
	w := &world{
		now: cfg.Cluster.At, began: cfg.Cluster.At, moved: cfg.Cluster.At,
		engine: engine.New(engine.Config{Epoch: 1, Zones: time.LoadLocation}),
	}
	if err := w.engine.Load(slices.Values(cfg.Cluster.Records)); err != nil {
		return nil, fmt.Errorf("the recorded cluster: %w", err)
	}
	w.tracker = newTracker(cfg, w.engine.Books())
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
	tasks := w.cfg.Cluster.ran()
	w.engine.Take(w.now)
	for a := range w.cfg.Cluster.agents() {
		if !a.SilentSince.IsZero() {
			continue
		}
		joined := engine.AgentJoined{
			Agent: offered(a), BootID: a.BootID, Hostname: a.Hostname, Version: a.Version, Address: a.Address, Leaving: a.Leaving, Tasks: tasks[a.ID],
		}
		if _, err := w.engine.Step(joined, w.now); err != nil {
			return fmt.Errorf("agent %s: %w", a.ID, err)
		}
	}
	w.settle()
	return nil
}

// run goes from one moment at which something happens to the next.
func (w *world) run(ctx context.Context) error {
	for steps := 0; !w.over(); steps++ {
		if steps%lookEvery == 0 {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			w.tellProgress(w.now.Sub(w.began))
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
	w.tellProgress(w.now.Sub(w.began))
	return nil
}

// over reports whether every job has come and ended.
func (w *world) over() bool {
	return w.cfg.Until == 0 && w.allEnded()
}

// stuck reports whether nothing of the workload has moved for long, and nothing
// that was told to would change that.
func (w *world) stuck(at time.Time) bool {
	return w.cfg.Until == 0 && w.came == len(w.cfg.Workload.Jobs) && w.meter.running == 0 && at.Sub(w.moved) > patience
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
	wanted := w.comes(i)
	if _, err := w.engine.Step(engine.Deploy{Specs: []engine.Submission{{Spec: wanted}}}, w.now); err != nil {
		return fmt.Errorf("job %d, %q: %w", i+1, w.cfg.Workload.Jobs[i].Name, err)
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
				if i, over := w.judge(record); over {
					w.events.add(event{at: w.now, kind: jobGoes, job: i})
				}
			}
		}
		if at := w.engine.AskAgain(); at.IsZero() || at.After(w.now) {
			return
		}
	}
}

// see does what agents do about a task that has changed.
func (w *world) see(t *engine.Task) {
	var wanted *spec.Spec
	if revision := w.engine.Revision(t.Service, t.Revision); revision != nil {
		wanted = revision.Spec
	}
	r, was := w.track(t, wanted, t.CreatedAt.Sub(w.began))
	is := r.state
	if was == is {
		return
	}
	if w.meter.move(r, was, t.Claim.Pool, w.now.Sub(w.began)) {
		w.moved = w.now
	}
	after := func(d time.Duration, kind eventKind) {
		w.events.add(event{at: w.now.Add(d), kind: kind, run: r, turn: r.turn})
	}
	switch {
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

// earliest returns the earlier of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
