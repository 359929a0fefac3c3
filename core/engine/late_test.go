package engine_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// TestLateTasksAreHandedOutAFewAtATime has a job of so many copies that the queue has
// not come to most of them after 30 s: their records are handed out before they have
// a place, but not all in one batch, for which everything else would wait.
func TestLateTasksAreHandedOutAFewAtATime(t *testing.T) {
	t.Parallel()
	const copies, most = 5_000, 1_000
	e, now := engine.New(engine.Config{Epoch: 1}), noon
	step := func(event engine.Event) {
		t.Helper()
		if _, err := e.Step(event, now); err != nil {
			t.Fatal(err)
		}
	}
	agent := ledger.Agent{ID: "a1", Partitions: []ledger.Partition{
		{ID: "cpus", Type: "cpus", Quantity: resource.Scalar(copies), Weight: ledger.WeightOne},
		{ID: "mem", Type: "mem", Quantity: resource.Scalar(copies << 20), Weight: ledger.WeightOne},
	}}
	step(engine.AgentJoined{BootID: "boot", Agent: agent})
	step(deployOf(job("many", "long", copies, func(s *spec.Spec) { s.Resources = vector(1, 1<<20) })))
	e.Take(now)
	now = now.Add(31 * time.Second)
	late, placed := 0, 0
	for !e.AskAgain().IsZero() && !e.AskAgain().After(now) {
		changes := e.Take(now)

		if len(changes.Records) > most {
			t.Fatalf("%d records in one batch, want %d at most", len(changes.Records), most)
		}
		for _, change := range changes.Records {
			switch r, is := change.Record.(*engine.Task); {
			case is && r.Status.State == task.Pending:
				late++
			case is:
				placed++
			}
		}
	}
	if late == 0 || placed < copies*3/4 {
		t.Errorf("%d tasks were handed out before they had a place, and %d with it; want some, and most", late, placed)
	}
}
