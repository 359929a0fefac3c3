package agent_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// world is an agent over a fake runtime in a bubble of virtual time, and the
// masters that it reports to.
type world struct {
	failer
	*masters
	dir     string
	cfg     agent.Config
	runtime *recorder
	over    agent.Runtime // what the agent gets in place of runtime; nil: that itself
	fetcher *countingFetcher
	log     *journal
	ready   func() error // of the agent that runs
	end     func()       // ends it
	close   func()       // of the whole world
}

// failer is what the tests of testing and of rapid have in common.
type failer interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// newWorld starts a runtime with a script, and an agent on a folder. Its close
// must be called within the bubble.
func newWorld(t failer, dir string, script fake.Script) *world {
	t.Helper()
	cache, err := fetch.New(fetch.Config{CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		failer: t, masters: newMasters(), dir: filepath.Join(dir, "data"),
		runtime: newRecorder(script),
		fetcher: &countingFetcher{Fetcher: cache}, log: &journal{},
	}
	w.cfg = agent.Config{
		ID: "a1", BootID: "boot", Hostname: "host", Version: "v1", DataDir: w.dir, Attributes: map[string]string{"zone": "a"},
		Partitions: []ledger.Partition{{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(4000), Weight: 1000}},
		Log:        slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.runtime.Run(ctx) })
	w.close = func() {
		w.end()
		stop()
		running.Wait()
	}
	w.begin()
	return w
}

// inWorld runs a test in a bubble.
func inWorld(t *testing.T, script fake.Script, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir(), script)
		defer w.close()
		test(w)
	})
}

// begin starts an agent on the folder, as a process that has just started does.
func (w *world) begin() {
	w.Helper()
	programs := w.over
	if programs == nil {
		programs = w.runtime
	}
	a, err := agent.New(w.cfg, w.masters, programs, w.fetcher)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); !errors.Is(err, context.Canceled) {
			w.Errorf("Run = %v, want canceled", err)
		}
	})
	w.ready = a.Ready
	w.end = func() {
		cancel()
		running.Wait()
	}
	synctest.Wait()
}

// restart ends the agent and starts another one on its folder.
func (w *world) restart() {
	w.Helper()
	w.end()
	w.begin()
}

// pass lets time pass.
func (*world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// order sends orders and lets all that follows at once happen.
func (w *world) order(orders *pb.Orders) {
	w.Helper()
	w.send(&pb.SessionResponse{Epoch: w.epoch, Message: &pb.SessionResponse_Orders{Orders: orders}})
	synctest.Wait()
}

// run orders tasks of one spec, one for each name.
func (w *world) run(s *spec.Spec, names ...string) {
	w.Helper()
	w.order(runOrders(s, names...))
}

// stop orders a task to end.
func (w *world) stop(name string, grace time.Duration) {
	w.Helper()
	w.order(&pb.Orders{Stop: []*pb.StopOrder{{Task: name, Grace: wire.FromDuration(grace)}}})
}

func (w *world) forget(names ...string) {
	w.Helper()
	w.order(&pb.Orders{Forget: names})
}

// want checks what the master knows of a task: its state and attempt.
func (w *world) want(name, state string) {
	w.Helper()
	if got := w.known(name); got != state {
		w.Fatalf("task %s is %s, want %s; its story: %v\n%s", name, got, state, w.story(name), w.log)
	}
}

// file returns a path in a task's folder.
func (w *world) file(name string, parts ...string) string {
	return filepath.Join(append([]string{w.dir, "tasks", name}, parts...)...)
}

// programs returns what the runtime knows.
func (w *world) programs() []runtime.Task {
	w.Helper()
	list, err := w.runtime.List(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	return list
}

// running returns the attempts whose programs run.
func (w *world) running() []string {
	var names []string
	for _, program := range w.programs() {
		if program.Exit == nil {
			names = append(names, program.Key.String())
		}
	}
	return names
}
