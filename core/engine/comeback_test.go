package engine_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// comebackSettled has lost tasks come back when their replacements have settled: of
// the two generations the older stays, and the other leaves the table before it is
// stopped. A router is busy with it meanwhile.
func comebackSettled(w *world) {
	w.addRouter("r1", 3*time.Second)
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 2, givenUpAfter(6*time.Second)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.cut("a1")
	w.pass(12 * time.Second)
	w.say("%s", w.status("hello"))
	w.connect("a1")
	w.say("%s", w.status("hello"))
	w.pass(10 * time.Second)
}

// comebackUnready has lost tasks come back that are not ready any more: their
// replacements stay, though they have not settled.
func comebackUnready(w *world) {
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 2, givenUpAfter(6*time.Second)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.cut("a1")
	for _, name := range []id.Task{"hello-1-1", "hello-1-2"} {
		w.unready(name, "not ready: connection refused")
	}
	w.pass(7 * time.Second)
	w.say("%s", w.status("hello"))
	w.connect("a1")
	w.pass(10 * time.Second)
}

// comebackAmidDeployment has lost tasks come back when they are of the revision
// before: they serve until the new ones have settled.
func comebackAmidDeployment(w *world) {
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 2, version(1), givenUpAfter(6*time.Second)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.cut("a1")
	w.pass(7 * time.Second)
	w.deploy(web("hello", "ok", 2, version(2), givenUpAfter(6*time.Second)))
	w.pass(500 * time.Millisecond)
	w.connect("a1")
	w.pass(500 * time.Millisecond)
	w.say("%s", w.status("hello"))
	w.pass(20 * time.Second)
}

// comebackOfNoUse has tasks come back to a service that was stopped and shall be
// removed: it is forgotten when they have left the usual way.
func comebackOfNoUse(w *world) {
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 2, givenUpAfter(6*time.Second)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.cut("a1")
	w.pass(7 * time.Second)
	w.ask(engine.StopService{Service: "hello", Remove: true})
	w.pass(5 * time.Second)
	w.say("known: %t", w.engine.Service("hello") != nil)
	w.connect("a1")
	w.pass(5 * time.Second)
	w.say("known: %t", w.engine.Service("hello") != nil)
}

// comebackOfCopies has a job's copies come back: one that still runs, one that has
// done its work, and one whose new task has.
func comebackOfCopies(w *world) {
	w.addAgent("a1", 8)
	w.deploy(job("long", "long", 1, givenUpAfter(6*time.Second)), job("work", "work", 1, givenUpAfter(6*time.Second)))
	w.pass(500 * time.Millisecond)
	w.addAgent("a2", 8)
	w.cut("a1")
	w.pass(6100 * time.Millisecond)
	w.say("%s; %s", w.status("long"), w.status("work"))
	w.connect("a1")
	w.pass(3 * time.Second)
	w.explain("work")
	w.explain("long")
	w.cut("a1")
	w.pass(6100 * time.Millisecond)
	w.ask(engine.StopService{Service: "long"})
	w.connect("a1")
	w.pass(3 * time.Second)
}

// TestNoRoomToComeBack gives what a lost task held of its pool to its replacement:
// when it comes back, it is a stray.
func TestNoRoomToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.setPool("tight", 250, 0)
	w.deploy(web("hello", "ok", 1, inPools("tight"), givenUpAfter(6*time.Second)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.cut("a1")
	w.pass(10 * time.Second)

	w.connect("a1")

	if strays := w.engine.Strays("a1"); len(strays) != 1 || w.engine.Task("hello-1-1").Status.State != task.Lost {
		t.Errorf("strays %v, and %s\n%s", strays, w.status("hello"), w.story.String())
	}
	w.pass(10 * time.Second)
	if w.good("hello") != 1 || len(w.engine.Strays("a1")) != 0 {
		t.Errorf("in the end: %s\n%s", w.status("hello"), w.story.String())
	}
}

// TestSmallerComeBack has an agent come back with less than its lost tasks held.
func TestSmallerComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 4, givenUpAfter(6*time.Second), func(s *spec.Spec) { s.Resources = vector(2000, 64<<20) }))
	w.pass(5 * time.Second)
	w.addAgent("a2", 2)
	w.cut("a1")
	w.pass(10 * time.Second)
	parts := w.machines["a1"].agent.Partitions
	parts[0] = ledger.Partition{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(5000), Weight: ledger.WeightOne}

	w.connect("a1")

	if n, strays := len(w.engine.AgentTasks("a1")), w.engine.Strays("a1"); n != 2 || len(strays) != 2 {
		t.Errorf("of four tasks %d came back, strays are %v\n%s", n, strays, w.story.String())
	}
	w.pass(10 * time.Second)
	if w.good("hello") != 3 {
		t.Errorf("in the end: %s\n%s", w.status("hello"), w.story.String())
	}
}

// TestComebackToADrainedAgent has lost tasks come back to an agent that shall be
// empty: they leave start before stop.
func TestComebackToADrainedAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 2, givenUpAfter(6*time.Second)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 0)
	w.cut("a1")
	w.pass(7 * time.Second)
	w.ask(engine.DrainAgent{Agent: "a1"})

	w.connect("a1")

	w.pass(5 * time.Second)
	if w.good("hello") != 2 || w.engine.AgentState("a1") != "draining" {
		t.Errorf("a1 is %s: %s\n%s", w.engine.AgentState("a1"), w.status("hello"), w.story.String())
	}
	w.addAgent("a3", 8)
	w.pass(20 * time.Second)
	if w.good("hello") != 2 || w.engine.AgentState("a1") != "drained" {
		t.Errorf("a1 is %s: %s\n%s", w.engine.AgentState("a1"), w.status("hello"), w.story.String())
	}
}
