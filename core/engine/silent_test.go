package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

func givenUpAfter(d time.Duration) func(*spec.Spec) {
	return func(s *spec.Spec) { s.OnLost.After = d }
}

// agentAway loses its session twice: it is back before anybody calls it
// unreachable, and then before its tasks are given up.
func agentAway(w *world) {
	hello(w)
	w.addAgent("a2", 8)
	for _, away := range []time.Duration{2 * time.Second, 5 * time.Second} {
		w.cut("a1")
		w.say("a1 is %s", w.engine.AgentState("a1"))
		w.pass(away)
		w.say("a1 is %s", w.engine.AgentState("a1"))
		w.explain("hello-1-1")
		w.connect("a1")
		w.pass(5 * time.Second)
	}
	w.say("a1 is %s: %s", w.engine.AgentState("a1"), w.status("hello"))
}

// TestCutOff has an agent's network gone, which takes its leader three seconds to
// notice: the clocks run from when it was last heard of.
func TestCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 2, givenUpAfter(6*time.Second)))
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)

	w.cutOff("a1")
	for range 4 {
		w.pass(2 * time.Second)
		w.say("a1 is %s: %s", w.engine.AgentState("a1"), w.status("hello"))
	}

	w.checkHanded()
	compareGolden(t, "cut-off.txt", w.story.String()+"\n"+w.end())
}

// TestClocksUnderANewLeader has the leader change at every moment of a silence.
// What the leader before knew counts on. An agent that it took for connected has
// the whole time to find the new one, and no more.
func TestClocksUnderANewLeader(t *testing.T) {
	t.Parallel()
	const after, step = 6 * time.Second, 500 * time.Millisecond
	for name, away := range map[string]func(*world, id.Agent){"broken": (*world).cut, "cut off": (*world).cutOff} {
		for changed := time.Duration(0); changed < after+time.Second; changed += step {
			t.Run(fmt.Sprintf("%s, a new leader after %v", name, changed), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.addAgent("a1", 8)
				w.deploy(web("hello", "ok", 2, givenUpAfter(after)))
				w.pass(5 * time.Second)
				w.addAgent("a2", 8)
				away(w, "a1")
				gone := w.now
				w.pass(changed)

				w.lead()

				due := gone.Add(after)
				if name == "cut off" && changed < 3*time.Second {
					due = w.now.Add(after)
				}
				if left := due.Sub(w.now) - time.Millisecond; left > 0 {
					w.pass(left)
					if state := w.engine.Task("hello-1-1").Status.State; state != task.Ready {
						t.Errorf("a moment before its time, the task is %s\n%s", state, w.story.String())
					}
				}
				w.pass(time.Millisecond)
				if state := w.engine.Task("hello-1-1").Status.State; state != task.Lost {
					t.Errorf("at its time, the task is %s\n%s", state, w.story.String())
				}
				if state := w.engine.AgentState("a1"); state != "unreachable" {
					t.Errorf("the agent is %s", state)
				}
			})
		}
	}
}

// TestLastHeard bounds what is said of when an agent was last heard of: not before
// it joined, not in the future.
func TestLastHeard(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		heard func(now time.Time) time.Time
		since time.Duration // before now
	}{
		"unknown":          {func(time.Time) time.Time { return time.Time{} }, 0},
		"a moment ago":     {func(now time.Time) time.Time { return now.Add(-time.Second) }, time.Second},
		"before it joined": {func(now time.Time) time.Time { return now.Add(-time.Hour) }, 5 * time.Second},
		"in the future":    {func(now time.Time) time.Time { return now.Add(time.Hour) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addAgent("a1", 8)
			w.pass(5 * time.Second)

			w.step(engine.AgentSilent{Agent: "a1", Heard: tc.heard(w.now)})
			w.step(engine.AgentSilent{Agent: "a1"}) // says nothing new

			if since := w.now.Sub(w.engine.Agent("a1").SilentSince); since != tc.since {
				t.Errorf("it is silent for %v, want %v", since, tc.since)
			}
		})
	}
}

// TestWhoIsAtTheDoorIsNotGivenUp: for as long as a leader says that an agent waits for
// it, the agent is not unreachable and its tasks are not lost. Then its time begins anew,
// for a leader that is new as for one that was there.
func TestWhoIsAtTheDoorIsNotGivenUp(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*world){
		"its session broke": func(w *world) { w.cut("a1") },
		"a new leader":      func(w *world) { w.cutOff("a1"); w.lead() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addAgent("a1", 8)
			w.deploy(web("hello", "ok", 1, givenUpAfter(6*time.Second)))
			w.pass(5 * time.Second)
			w.addAgent("a2", 8)
			before(w)
			lost := func() bool { return w.engine.Task("hello-1-1").Status.State == task.Lost }
			unreachable := func() bool { return w.engine.AgentState("a1") == "unreachable" }

			for range 20 {
				w.step(engine.AgentsWait{Agents: []id.Agent{"a1", "nobody"}})
				w.pass(time.Second)
				if lost() || unreachable() {
					t.Fatalf("it waits, is unreachable %t and its task lost %t\n%s", unreachable(), lost(), w.story.String())
				}
			}

			w.pass(1900 * time.Millisecond)
			if unreachable() {
				t.Error("it is unreachable 2.9 s after it waited last")
			}
			w.pass(100 * time.Millisecond)
			if !unreachable() {
				t.Error("it is not unreachable 3 s after it waited last")
			}
			w.pass(10 * time.Second)
			if !lost() {
				t.Errorf("its task is %v 13 s after it waited last\n%s", w.engine.Task("hello-1-1").Status, w.story.String())
			}
		})
	}
}

// TestEndedOffIsGivenUpLate has the leader change while a task's agent is silent that
// the agent ends off. What the leader before heard is by another clock, and the
// agent goes by the spec that it has, whatever was set since.
func TestEndedOffIsGivenUpLate(t *testing.T) {
	t.Parallel()
	endedOff := func(s *spec.Spec) { s.OnPartition = spec.EndOff }
	for name, tc := range map[string]struct {
		since func(*world)
		due   time.Duration // after the agent was last heard of
	}{
		"nothing else happens":  {func(*world) {}, 6 * time.Second},
		"a new leader":          {(*world).lead, 9 * time.Second},
		"it may be lost sooner": {func(w *world) { w.deploy(web("hello", "ok", 1, endedOff, givenUpAfter(4*time.Second))) }, 6 * time.Second},
		"it may be lost later":  {func(w *world) { w.deploy(web("hello", "ok", 1, endedOff, givenUpAfter(8*time.Second))) }, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addAgent("a1", 8)
			w.deploy(web("hello", "ok", 1, endedOff, givenUpAfter(6*time.Second)))
			w.pass(5 * time.Second)
			w.addAgent("a2", 8)
			w.cut("a1")
			w.pass(3 * time.Second)

			tc.since(w)

			w.pass(tc.due - 3*time.Second - time.Millisecond)
			if state := w.engine.Task("hello-1-1").Status.State; state != task.Ready {
				t.Errorf("a moment before its time, the task is %s\n%s", state, w.story.String())
			}
			w.pass(time.Millisecond)
			if state := w.engine.Task("hello-1-1").Status.State; state != task.Lost {
				t.Errorf("at its time, the task is %s\n%s", state, w.story.String())
			}
			w.connect("a1")
			if state := w.engine.Task("hello-1-1").Status.State; state != task.Lost {
				t.Errorf("it was ended off, and is taken back as %s\n%s", state, w.story.String())
			}
		})
	}
}

// saysGoodbye drains itself, leaves, and takes tasks again when it is back. Who left
// on purpose is neither suspect nor unreachable. A drain by an operator outlives it.
func saysGoodbye(w *world) {
	hello(w)
	w.addAgent("a2", 8)
	w.ask(engine.DrainAgent{Agent: "a1", Leaving: true})
	w.say("a1 is %s", w.engine.AgentState("a1"))
	w.machines["a1"].leaving = true
	w.pass(time.Second)
	w.connect("a1") // a new session, the same process
	w.pass(10 * time.Second)
	w.say("a1 is %s: %s", w.engine.AgentState("a1"), w.status("hello"))
	w.cut("a1")
	w.pass(10 * time.Second)
	w.say("a1 is %s", w.engine.AgentState("a1"))
	w.machines["a1"].leaving = false
	w.connect("a1")
	w.say("a1 is %s", w.engine.AgentState("a1"))
	w.ask(engine.Scale{Service: "hello", Instances: 6})
	w.pass(5 * time.Second)
	w.say("a1 has %d tasks", len(w.engine.AgentTasks("a1")))

	w.ask(engine.DrainAgent{Agent: "a1", Leaving: true})
	w.ask(engine.DrainAgent{Agent: "a1"})
	w.pass(10 * time.Second)
	w.cut("a1")
	w.connect("a1")
	w.say("a1 is %s", w.engine.AgentState("a1"))
	w.ask(engine.UndrainAgent{Agent: "a1"})
}
