// Package fake is a runtime that runs nothing and obeys a script, for
// simulations and for tests of the agent.
//
// It keeps the law of package runtime: an exit comes for each start, at least
// once, until it is forgotten, and no attempt is started twice. Time is the only
// thing that moves it, so that in a testing/synctest bubble, a day passes at
// once and the same script gives the same exits.
package fake

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

// Play is how one program behaves. The zero value runs until it is asked to
// end, and then ends at once by the signal.
type Play struct {
	Refused error         // Start returns it, and nothing runs
	Lives   time.Duration // ends by itself after this long; 0: never; negative: at once
	Exit    runtime.Exit  // of an end by itself; its Key and At are filled in
	Obeys   time.Duration // from SIGTERM to its end, with exit code 0; 0: by the signal; negative: never
}

// Script says how the program of a launch will behave. It is called once per
// start, and must not call the runtime.
type Script func(launch runtime.Launch) Play

// Runtime is a fake runtime. It outlives the agent that uses it, as the
// supervisor does: another Run goes on with the same tasks.
type Runtime struct {
	script  Script
	exits   chan runtime.Exit
	changed chan struct{} // holds 1: there is a new time to wait for

	mu    sync.Mutex
	stage stage
}

// New returns a runtime that obeys a script. A nil script gives every program
// the zero Play.
func New(script Script) *Runtime {
	if script == nil {
		script = func(runtime.Launch) Play { return Play{} }
	}
	return &Runtime{
		script:  script,
		exits:   make(chan runtime.Exit),
		changed: make(chan struct{}, 1),
		stage:   stage{acts: make(map[runtime.Key]*act), newest: make(map[id.Task]int)},
	}
}

// Exits returns the channel of what ends. It is never closed.
func (r *Runtime) Exits() <-chan runtime.Exit { return r.exits }

// Run ends programs when their time has come, and tells of every exit that is
// not forgotten, until ctx is done. The programs go on without it, but nothing
// is told.
func (r *Runtime) Run(ctx context.Context) error {
	r.mu.Lock()
	r.stage.retell()
	r.mu.Unlock()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		r.mu.Lock()
		now := time.Now()
		exit, found := r.stage.advance(now)
		next, waiting := r.stage.next(now)
		r.mu.Unlock()
		if found {
			select {
			case r.exits <- exit:
				r.mu.Lock()
				r.stage.markTold(exit.Key)
				r.mu.Unlock()
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		var alarm <-chan time.Time
		if waiting {
			due.Reset(time.Until(next))
			alarm = due.C
		}
		select {
		case <-alarm:
		case <-r.changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Start begins the play of a launch.
func (r *Runtime) Start(ctx context.Context, launch runtime.Launch) error {
	return r.do(ctx, func(now time.Time) error { return r.stage.start(launch, r.script, now) })
}

// Stop asks a program to end, and ends it after grace.
func (r *Runtime) Stop(ctx context.Context, key runtime.Key, grace time.Duration) error {
	return r.do(ctx, func(now time.Time) error { return r.stage.stop(key, grace, now) })
}

// Prolong does nothing: these programs need no lease.
func (*Runtime) Prolong(context.Context, []runtime.Lease) error { return nil }

// Kill ends a program at once.
func (r *Runtime) Kill(ctx context.Context, key runtime.Key) error { return r.Stop(ctx, key, 0) }

// Forget drops the exit of an attempt that has ended.
func (r *Runtime) Forget(ctx context.Context, key runtime.Key) error {
	return r.do(ctx, func(now time.Time) error { return r.stage.forget(key, now) })
}

// List returns the attempts that run, and those that ended and were not
// forgotten, by task and attempt.
func (r *Runtime) List(ctx context.Context) (list []runtime.Task, err error) {
	err = r.do(ctx, func(now time.Time) error {
		list = r.stage.list(now)
		return nil
	})
	return list, err
}

// do changes the stage and wakes Run.
func (r *Runtime) do(ctx context.Context, change func(now time.Time) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.mu.Lock()
	err := change(time.Now())
	r.mu.Unlock()
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return err
}

// stage holds the plays. It is told the time.
type stage struct {
	acts   map[runtime.Key]*act
	newest map[id.Task]int // attempt of each task ever started
}

// act is one play under way or over.
type act struct {
	key     runtime.Key
	play    Play
	started time.Time
	endsAt  time.Time // zero: not by itself
	exit    runtime.Exit
	stopped bool
	told    bool // to the Run of now
}

func (a *act) over(now time.Time) bool { return !a.endsAt.IsZero() && !a.endsAt.After(now) }

func (s *stage) start(launch runtime.Launch, script Script, now time.Time) error {
	key := launch.Key
	if s.newest[key.Task] >= key.Attempt {
		return fmt.Errorf("start %s: %w", key, runtime.ErrAlreadyStarted)
	}
	play := script(launch)
	if play.Refused != nil {
		return fmt.Errorf("start %s: %w", key, play.Refused)
	}
	s.newest[key.Task] = key.Attempt
	a := &act{key: key, play: play, started: now, exit: play.Exit}
	if play.Lives != 0 {
		a.endsAt = now.Add(max(0, play.Lives))
	}
	s.acts[key] = a
	if play.Exit.StartError != "" {
		return fmt.Errorf("start %s: %w", key, runtime.ErrNeverRan)
	}
	return nil
}

func (s *stage) stop(key runtime.Key, grace time.Duration, now time.Time) error {
	a := s.acts[key]
	if a == nil {
		return fmt.Errorf("stop %s: %w", key, supervisor.ErrUnknown)
	}
	if a.over(now) {
		return nil
	}
	if grace <= 0 {
		a.endBy(now, runtime.Exit{Code: -1, Signal: 9})
		return nil
	}
	if !a.stopped {
		a.stopped = true
		switch obeys := a.play.Obeys; {
		case obeys == 0:
			a.endBy(now, runtime.Exit{Code: -1, Signal: 15})
		case obeys > 0:
			a.endBy(now.Add(obeys), runtime.Exit{LastLines: a.play.Exit.LastLines})
		}
	}
	a.endBy(now.Add(grace), runtime.Exit{Code: -1, Signal: 9})
	return nil
}

// endBy brings the end forward to at, if it would come later.
func (a *act) endBy(at time.Time, exit runtime.Exit) {
	if a.endsAt.IsZero() || at.Before(a.endsAt) {
		a.endsAt, a.exit = at, exit
	}
}

func (s *stage) forget(key runtime.Key, now time.Time) error {
	if a := s.acts[key]; a != nil && !a.over(now) {
		return fmt.Errorf("forget %s: %w", key, supervisor.ErrRunning)
	}
	delete(s.acts, key)
	return nil
}

func (s *stage) list(now time.Time) []runtime.Task {
	list := make([]runtime.Task, 0, len(s.acts))
	for _, a := range s.acts {
		task := runtime.Task{Key: a.key, Started: a.started}
		if a.over(now) {
			task.Exit = new(a.outcome())
		}
		list = append(list, task)
	}
	slices.SortFunc(list, func(a, b runtime.Task) int { return compareKeys(a.Key, b.Key) })
	return list
}

func (a *act) outcome() runtime.Exit {
	exit := a.exit
	exit.Key, exit.At = a.key, a.endsAt
	return exit
}

// advance returns the first exit by now that was not told.
func (s *stage) advance(now time.Time) (runtime.Exit, bool) {
	var first *act
	for _, a := range s.acts {
		if !a.over(now) || a.told {
			continue
		}
		if first == nil || cmp.Or(a.endsAt.Compare(first.endsAt), compareKeys(a.key, first.key)) < 0 {
			first = a
		}
	}
	if first == nil {
		return runtime.Exit{}, false
	}
	return first.outcome(), true
}

func (s *stage) markTold(key runtime.Key) {
	if a := s.acts[key]; a != nil { // not forgotten meanwhile
		a.told = true
	}
}

// retell makes every exit news again.
func (s *stage) retell() {
	for _, a := range s.acts {
		a.told = false
	}
}

// next returns when the next program ends after now.
func (s *stage) next(now time.Time) (at time.Time, found bool) {
	for _, a := range s.acts {
		if !a.over(now) && !a.endsAt.IsZero() && (!found || a.endsAt.Before(at)) {
			at, found = a.endsAt, true
		}
	}
	return at, found
}

func compareKeys(a, b runtime.Key) int {
	return cmp.Or(cmp.Compare(a.Task, b.Task), cmp.Compare(a.Attempt, b.Attempt))
}
