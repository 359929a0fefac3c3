package agent_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/spec"
)

// recorder is a runtime that counts what it is asked, and may misbehave within
// the law of package runtime.
type recorder struct {
	*fake.Runtime
	exits     chan runtime.Exit
	forgetful bool // Forget does nothing

	mu    sync.Mutex
	late  time.Duration       // Start returns so long after the program has started
	asked map[runtime.Key]int // to start
	twice []runtime.Key       // started before
}

func newRecorder(script fake.Script) *recorder {
	return &recorder{Runtime: fake.New(script), exits: make(chan runtime.Exit), asked: make(map[runtime.Key]int)}
}

// Run passes the exits on.
func (r *recorder) Run(ctx context.Context) error {
	var passing sync.WaitGroup
	defer passing.Wait()
	passing.Go(func() {
		for {
			select {
			case exit := <-r.Runtime.Exits():
				r.tell(ctx, exit)
			case <-ctx.Done():
				return
			}
		}
	})
	return r.Runtime.Run(ctx)
}

func (r *recorder) tell(ctx context.Context, exit runtime.Exit) {
	select {
	case r.exits <- exit:
	case <-ctx.Done():
	}
}

// again tells of an exit that was told before.
func (r *recorder) again(exit runtime.Exit) {
	r.exits <- exit
	synctest.Wait()
}

func (r *recorder) Exits() <-chan runtime.Exit { return r.exits }

func (r *recorder) Start(ctx context.Context, launch runtime.Launch) error {
	err := r.Runtime.Start(ctx, launch)
	r.mu.Lock()
	defer r.mu.Unlock()
	if late := r.late; late > 0 {
		r.mu.Unlock()
		select {
		case <-time.After(late):
		case <-ctx.Done():
			err = context.Cause(ctx) // it may have started
		}
		r.mu.Lock()
	}
	r.asked[launch.Key]++
	if errors.Is(err, runtime.ErrAlreadyStarted) {
		r.twice = append(r.twice, launch.Key)
	}
	return err
}

func (r *recorder) Forget(ctx context.Context, key runtime.Key) error {
	if r.forgetful {
		return nil
	}
	return r.Runtime.Forget(ctx, key)
}

// setLate has Start return so long after the program has started.
func (r *recorder) setLate(late time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = late
}

// startedTwice returns the attempts that were refused as started before.
func (r *recorder) startedTwice() []runtime.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.twice)
}

func (r *recorder) starts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, times := range r.asked {
		n += times
	}
	return n
}

// countingFetcher is the real fetcher with a count.
type countingFetcher struct {
	*fetch.Fetcher
	mu    sync.Mutex
	count int
	hold  chan struct{} // when not nil, a fetch waits until it is closed
}

func (f *countingFetcher) Fetch(ctx context.Context, artifact spec.Artifact, sandbox string) error {
	f.mu.Lock()
	f.count++
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return f.Fetcher.Fetch(ctx, artifact, sandbox)
}

func (f *countingFetcher) fetched() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// always plays the same for every launch.
func always(play fake.Play) fake.Script {
	return func(runtime.Launch) fake.Play { return play }
}

// byTask plays what is written for a task, and else the zero play.
func byTask(plays map[string]fake.Play) fake.Script {
	return func(launch runtime.Launch) fake.Play { return plays[string(launch.Key.Task)] }
}
