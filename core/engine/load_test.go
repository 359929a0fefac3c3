package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

type strange struct{}

func (strange) Key() engine.Key { return engine.Key{Kind: 99, ID: "strange"} }

// TestLoadRefuses loads records that do not make a cluster.
func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	service := &engine.Service{Name: "s"}
	revision := &engine.Revision{Service: "s", Number: 1, Spec: web("s", "ok", 1).Spec}
	running := task.Status{State: task.Running}
	tests := map[string]struct {
		records []engine.Record
		says    string
	}{
		"a revision of no service":     {[]engine.Record{revision}, "unknown service: s"},
		"a revision without a spec":    {[]engine.Record{service, &engine.Revision{Service: "s", Number: 1}}, "no spec"},
		"a deployment of no service":   {[]engine.Record{&engine.Deployment{ID: "s-1", Service: "s"}}, "unknown service: s"},
		"a task of no service":         {[]engine.Record{&engine.Task{ID: "s-1-1", Service: "s"}}, "unknown service: s"},
		"a task of no revision":        {[]engine.Record{service, &engine.Task{ID: "s-1-1", Service: "s", Revision: 1}}, "unknown revision 1"},
		"a task on no agent":           {[]engine.Record{service, revision, &engine.Task{ID: "s-1-1", Service: "s", Revision: 1, Status: running}}, "unknown agent"},
		"a service without its spec":   {[]engine.Record{&engine.Service{Name: "s", Revision: 3}}, "unknown revision 3"},
		"a deployment that is missing": {[]engine.Record{&engine.Service{Name: "s", Deployment: "s-1"}}, "unknown deployment: s-1"},
		"a pool that cannot be":        {[]engine.Record{&engine.Pool{Pool: ledger.Pool{ID: "P!"}}}, "P!"},
		"an agent that cannot be":      {[]engine.Record{&engine.Agent{Agent: ledger.Agent{ID: "A!"}}}, "A!"},
		"a record of no kind":          {[]engine.Record{strange{}}, "strange"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := engine.New(engine.Config{}).Load(slices.Values(tc.records))

			if !errors.Is(err, engine.ErrRecords) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("found %v, want ErrRecords that says %q", err, tc.says)
			}
		})
	}
}

// TestLoadOfHalfAnEnd loads what is left when the end of a deployment was written
// in two parts, and the leader was gone before the second.
func TestLoadOfHalfAnEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	records := slices.Collect(w.engine.Records())
	for i, record := range records {
		if s, ok := record.(*engine.Service); ok {
			half := *s
			half.Deployment, half.LastGood = "hello-1", 0 // which is done
			records[i] = &half
		}
	}
	next := engine.New(engine.Config{Epoch: 7})

	err := next.Load(slices.Values(records))

	if err != nil || next.Deployment("hello-1").State != engine.Going {
		t.Fatalf("Load = %v, and deployment hello-1 is %s", err, next.Deployment("hello-1").State)
	}
	next.Take(w.now)
	if s := next.Service("hello"); s.Deployment != "" || s.LastGood != 1 || next.Deployment("hello-1").State != engine.Done {
		t.Errorf("after a plan: %+v, the deployment is %s", s, next.Deployment("hello-1").State)
	}
}

// TestLoadOfHalfAnEndOfAPause is the same for a deployment that was paused when it
// ended: it is still paused.
func TestLoadOfHalfAnEndOfAPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(3 * time.Second)
	w.ask(engine.PauseDeployment{Deployment: "hello-2"})
	before := w.engine.Service("hello")
	w.ask(engine.AbortDeployment{Deployment: "hello-2"})
	var records []engine.Record
	for record := range w.engine.Records() {
		switch r := record.(type) {
		case *engine.Service:
			record = before
		case *engine.Deployment:
			if !r.State.Ended() {
				continue // the way back
			}
		}
		records = append(records, record)
	}
	next := engine.New(engine.Config{Epoch: 7})

	err := next.Load(slices.Values(records))

	next.Take(w.now.Add(time.Hour))
	if d := next.Deployment("hello-2"); err != nil || d.State != engine.Paused || d.PausedAt.IsZero() {
		t.Errorf("Load = %v, and the deployment is %+v", err, d)
	}
}

// TestLoadedTable is there before anything happens: routers that come to a new
// leader lose nothing.
func TestLoadedTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	before := w.engine.Table()
	next := engine.New(engine.Config{Epoch: 7})

	err := next.Load(w.engine.Records())

	table := next.Table()
	if err != nil || table.Version.Epoch != 7 || table.Version.Seq != 1 || len(table.Services[0].Endpoints) != len(before.Services[0].Endpoints) {
		t.Errorf("found %+v, %v", table, err)
	}
	if changes := next.Take(w.now); changes.Table == nil || len(changes.Records) > 0 {
		t.Errorf("the first Take: found %+v", changes)
	}
}

// TestDrainUnderANewLeader lets an instance drain while the leader changes: it
// waits for the routers that were there to come back, and for no others.
func TestDrainUnderANewLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	w.routers["r1"].busy = time.Hour
	w.ask(engine.Scale{Service: "hello", Instances: 3})
	lead := func() *engine.Engine {
		next := engine.New(engine.Config{Epoch: 2})
		if err := next.Load(w.engine.Records()); err != nil {
			t.Fatal(err)
		}
		next.Take(w.now)
		return next
	}
	stateOf := func(e *engine.Engine, after time.Duration) task.State {
		e.Take(w.now.Add(after))
		return e.Task("hello-1-4").Status.State
	}

	gone, back := lead(), lead()
	confirmation := route.Confirmation{Router: "r1", Version: back.Table().Version}
	if _, err := back.Step(engine.RouterConfirmed{Confirmation: confirmation}, w.now); err != nil {
		t.Fatal(err)
	}

	if early, late := stateOf(gone, 25*time.Second), stateOf(gone, 61*time.Second); early != task.Draining || late != task.Stopping {
		t.Errorf("a router that does not come back, and may serve on, is waited for: %s, then %s; want draining until drain has run out", early, late)
	}
	if soon := stateOf(back, time.Millisecond); soon != task.Stopping {
		t.Errorf("the only router has confirmed, and it is %s", soon)
	}
}

// TestFailuresAreCountedOnce goes on with a deployment whose progress, as it was
// stored, does not tell which failures it has counted.
func TestFailuresAreCountedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	w.deploy(web("hello", "exit", 4))
	w.pass(500 * time.Millisecond)
	var records []engine.Record
	for r := range w.engine.Records() {
		if d, ok := r.(*engine.Deployment); ok {
			copied := *d
			copied.Progress.FailuresSeen = 0
			r = &copied
		}
		records = append(records, r)
	}
	next := engine.New(engine.Config{Epoch: 2})
	if err := next.Load(slices.Values(records)); err != nil {
		t.Fatal(err)
	}

	next.Take(w.now)

	if d := next.Deployment(id.Deployment("hello-2")); d.State != engine.Going || d.Progress.FailuresInRow != 1 {
		t.Errorf("found %s with %d failures, want going with 1", d.State, d.Progress.FailuresInRow)
	}
}

// TestNumbersAfterARestore starts a task in a cluster that was restored: it gets
// a name that no task had which the old cluster started after the backup.
func TestNumbersAfterARestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	restored := engine.New(engine.Config{Epoch: 7, Restores: 2})
	if err := restored.Load(w.engine.Records()); err != nil {
		t.Fatal(err)
	}

	before := restored.Service("hello").Tasks
	if _, err := restored.Step(engine.Scale{Service: "hello", Instances: restored.Service("hello").Instances + 2}, w.now); err != nil {
		t.Fatal(err)
	}
	restored.Take(w.now)

	if after := restored.Service("hello").Tasks; before >= 1_000_000_000 || after != 2_000_000_002 {
		t.Errorf("the newest task had the number %d, and now %d", before, after)
	}
}

// TestNobodyWaitsForAllPlans has a new leader of many tasks plan no more of them in one
// Take than it may, and those for which it had no time next, whatever happens to others.
func TestNobodyWaitsForAllPlans(t *testing.T) {
	t.Parallel()
	const services, each, some = 14, 1_000, 10
	records := []engine.Record{&engine.Agent{Agent: ledger.Agent{ID: "a1", Partitions: hugePartitions()}}}
	for n := range services {
		name := id.Service(fmt.Sprintf("s%02d", n))
		asked := web(name, "ok", each).Spec
		records = append(records,
			&engine.Service{Name: name, Kind: spec.Service, Revision: 1, Newest: 1, LastGood: 1, Instances: each + 1, Tasks: each},
			&engine.Revision{Service: name, Number: 1, Generation: 1, Spec: asked})
		for i := range each {
			records = append(records, &engine.Task{
				ID: id.Task(fmt.Sprintf("%s-1-%d", name, i+1)), Service: name, Revision: 1,
				Claim:  ledger.Claim{Task: id.Task(fmt.Sprintf("%s-1-%d", name, i+1)), Agent: "a1", Slices: []ledger.Slice{{Partition: "cpus", Quantity: resource.Scalar(250)}}},
				Status: task.Status{State: task.Ready, Since: noon, ReadySince: noon, Attempt: 1},
			})
		}
	}
	e := engine.New(engine.Config{Epoch: 2})
	if err := e.Load(slices.Values(records)); err != nil {
		t.Fatal(err)
	}
	planned := func(n int) int64 { return e.Service(id.Service(fmt.Sprintf("s%02d", n))).Tasks - each }

	e.Take(noon)

	if planned(some-1) != 1 || planned(some) != 0 || e.AskAgain().After(noon) {
		t.Fatalf("planned %d of the %dth and %d of the next, and the rest is due at %v", planned(some-1), some, planned(some), e.AskAgain())
	}
	for n := range some {
		if _, err := e.Step(engine.Scale{Service: id.Service(fmt.Sprintf("s%02d", n)), Instances: each + 2}, noon); err != nil {
			t.Fatal(err)
		}
	}
	e.Take(noon)
	if planned(some) != 1 || planned(services-1) != 1 {
		t.Errorf("planned %d of the %dth and %d of the last, which were next", planned(some), some+1, planned(services-1))
	}
}
