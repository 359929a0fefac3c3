package engine_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/task"
)

// TestEndedTasksGrowOld ends one copy of two and then the other: what has ended is kept
// while the run goes on, and then for as long as it should.
func TestEndedTasksGrowOld(t *testing.T) {
	t.Parallel()
	const kept = time.Hour
	e := engine.New(engine.Config{Epoch: 1, EndedFor: kept})
	agent := ledger.Agent{ID: "a1", Partitions: hugePartitions()}
	step := func(event engine.Event, now time.Time) {
		t.Helper()
		if _, err := e.Step(event, now); err != nil {
			t.Fatal(err)
		}
		e.Take(now)
	}
	ends := func(name id.Task, now time.Time) {
		status := task.Status{State: task.Finished, Since: now, Attempt: 1, Last: &task.Exit{At: now}}
		step(engine.AgentReported{Agent: "a1", Tasks: []engine.Report{{Task: name, Status: status}}}, now)
	}
	step(engine.AgentJoined{Agent: agent, BootID: "boot"}, noon)
	step(deployOf(job("sums", "ok", 2)), noon)
	ends("sums-1-1", noon)
	later := noon.Add(2 * kept)
	e.Take(later)
	if _, ended := e.Tasks("sums"); len(ended) != 1 {
		t.Fatalf("%d ended tasks are kept of a run that goes on, want 1", len(ended))
	}

	ends("sums-1-2", later)

	if _, ended := e.Tasks("sums"); len(ended) != 1 || ended[0].ID != "sums-1-2" {
		t.Errorf("kept are %v, want sums-1-2", ended)
	}
	if due := e.AskAgain(); !due.Equal(later.Add(kept)) {
		t.Errorf("asks again at %v, want %v", due, later.Add(kept))
	}
	for _, change := range e.Take(later.Add(kept)).Records {
		if change.Record != nil {
			t.Errorf("%v changes", change)
		}
	}
	if _, ended := e.Tasks("sums"); len(ended) != 0 {
		t.Errorf("kept are %v, want none", ended)
	}
	if err := e.Check(); err != nil {
		t.Error(err)
	}
}
