package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
)

// TestDrainIsRefusedRightly drains agents of any cluster, one beside the other. A
// drain that is accepted ends, and leaves every service as many instances as it
// had, or must have. One that is refused does not end when it is forced, or costs
// some service an instance; where services share a pool, another order of their
// moves does.
func TestDrainIsRefusedRightly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		agents := rapid.IntRange(1, 4).Draw(t, "agents")
		for i := range agents {
			w.addAgent(id.Agent(fmt.Sprintf("a%d", i+1)), int64(rapid.IntRange(1, 2).Draw(t, "cpus")))
		}
		pools := rapid.Bool().Draw(t, "pools")
		if pools {
			w.setPool("p1", int64(rapid.IntRange(0, 12).Draw(t, "pool"))*250, 0)
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "services") {
			w.deploy(web(id.Service(fmt.Sprintf("s%d", i+1)), "ok", rapid.IntRange(0, 6).Draw(t, "instances"), func(s *spec.Spec) {
				s.Deploy.Surge.Count = rapid.IntRange(0, 2).Draw(t, "surge")
				s.Deploy.Unavailable.Count = rapid.IntRange(0, 2).Draw(t, "unavailable")
				s.Deploy.Settle = 100 * time.Millisecond
				if pools && rapid.Bool().Draw(t, "in a pool") {
					s.Pools = []id.Pool{"p1"}
				}
			}))
		}
		w.pass(30 * time.Second)

		for range rapid.IntRange(1, 3).Draw(t, "drains") {
			w.drainAny(t, id.Agent(fmt.Sprintf("a%d", rapid.IntRange(1, agents).Draw(t, "agent"))))
		}
	})
}

// drainAny drains an agent, by force if need be, and waits until nothing moves.
func (w *world) drainAny(t *rapid.T, agent id.Agent) {
	if w.engine.Agent(agent).Draining {
		return
	}
	before := make(map[id.Service]int)
	for s := range w.engine.Services() {
		before[s.Name] = w.good(s.Name)
	}
	_, refused := w.try(engine.DrainAgent{Agent: agent})
	if refused != nil {
		if !errors.Is(refused, engine.ErrConflict) {
			t.Fatal(refused)
		}
		w.ask(engine.DrainAgent{Agent: agent, Force: true})
	}
	w.pass(2 * time.Minute)
	kept := w.engine.AgentState(agent) == "drained"
	whole := kept
	for s := range w.engine.Services() {
		unavailable := w.engine.Revision(s.Name, s.Revision).Spec.Deploy.Unavailable.Count
		kept = kept && w.good(s.Name) >= min(before[s.Name], s.Instances-unavailable)
		whole = whole && w.good(s.Name) >= before[s.Name]
	}
	_, pooled := w.engine.Books().Pool("p1")
	if !kept && refused == nil || whole && refused != nil && !pooled {
		t.Fatalf("the drain of %s was refused with %v; it is %s now\n%s\n%s", agent, refused, w.engine.AgentState(agent), w.end(), w.story.String())
	}
	if refused != nil {
		w.ask(engine.UndrainAgent{Agent: agent})
		w.pass(2 * time.Minute)
	}
}

// TestDrainCountsFromWhenItIsTold: a store that takes long to make a drain durable
// does not take that time from the requests in flight.
func TestDrainCountsFromWhenItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 4)
	w.addRouter("r1", time.Hour)
	w.deploy(web("s1", "ok", 2)) // it drains for 30 s
	w.pass(10 * time.Second)
	w.slow = 40 * time.Second
	w.ask(engine.Scale{Service: "s1", Instances: 1})

	w.pass(69 * time.Second)
	if got := w.status("s1"); !strings.Contains(got, "draining") {
		t.Errorf("29 s after routers were told: %s, want one that drains", got)
	}
	w.pass(2 * time.Second)
	if got := w.status("s1"); strings.Contains(got, "draining") {
		t.Errorf("31 s after routers were told: %s, want none that drains", got)
	}
}
