package engine_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
)

// TestRebalanceComesToRest rebalances any cluster to which machines have come
// back. While instances move there are never fewer good ones than must be, nor more
// claims than may be: every world looks at that. In the end every move was made,
// the spread is better than before, and another rebalance finds nothing to do.
// Changes of leader on the way change nothing of that.
func TestRebalanceComesToRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for i := range rapid.IntRange(1, 2).Draw(t, "agents") {
			w.addMachine(t, i+1)
		}
		services := rapid.IntRange(1, 3).Draw(t, "services")
		for i := range services {
			w.deploy(web(id.Service(fmt.Sprintf("s%d", i+1)), "ok", rapid.IntRange(0, 6).Draw(t, "instances"), func(s *spec.Spec) {
				s.Deploy.Surge.Count = rapid.IntRange(0, 4).Draw(t, "surge")
				s.Deploy.Settle = 100 * time.Millisecond
				s.Placement.Spread = pick(t, "spread", nil, []string{"zone"})
			}))
		}
		w.pass(2 * time.Minute)
		for i := range rapid.IntRange(1, 3).Draw(t, "machines") {
			w.addMachine(t, i+3)
		}
		w.pass(2 * time.Minute)
		uneven := w.unevenness()
		if rapid.Bool().Draw(t, "leaders") {
			w.leadEach = time.Duration(rapid.IntRange(50, 1000).Draw(t, "each")) * time.Millisecond
		}

		plan := w.ask(engine.Rebalance{Max: rapid.IntRange(1, 50).Draw(t, "max")}).Moves
		w.pass(5 * time.Minute)

		var names []id.Task
		for _, m := range plan.Moves {
			names = append(names, m.Task)
		}
		for i, m := range w.engine.Moves(names) {
			if len(names) > 0 && m.State != engine.MoveDone {
				t.Fatalf("%+v came to %s\n%s", plan.Moves[i], m.State, w.story.String())
			}
		}
		if now := w.unevenness(); len(plan.Moves) > 0 && now >= uneven || len(plan.Moves) == 0 && now != uneven {
			t.Fatalf("the spread was %v and is %v after %d moves\n%s", uneven, now, len(plan.Moves), w.story.String())
		}
		if again := w.ask(engine.Rebalance{Max: 50}).Moves; !plan.More && len(again.Moves) > 0 {
			t.Fatalf("another rebalance moves %+v\n%s", again.Moves, w.story.String())
		}
	})
}

// TestRebalancePlansNoCircle: an instance that would best move twice must make the
// room with its first move that others wait for, where the machines are full.
func TestRebalancePlansNoCircle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 1)
	for i, instances := range []int{4, 1, 6} {
		w.deploy(web(id.Service(fmt.Sprintf("s%d", i+1)), "ok", instances))
	}
	w.pass(2 * time.Minute)
	w.addAgent("a3", 1)
	w.addAgent("a4", 1)
	w.pass(2 * time.Minute)

	for more := true; more; {
		plan := w.ask(engine.Rebalance{Max: 4}).Moves
		w.pass(5 * time.Minute)
		for _, m := range plan.Moves {
			if now := w.engine.Moves([]id.Task{m.Task})[0]; now.State != engine.MoveDone {
				t.Fatalf("%+v came to %s\n%s", m, now.State, w.story.String())
			}
		}
		more = plan.More && len(plan.Moves) > 0
	}
}

func (w *world) addMachine(t *rapid.T, number int) {
	zone := pick(t, "zone", "zone=a", "zone=b", "none=x")
	w.addAgent(id.Agent(fmt.Sprintf("a%d", number)), int64(rapid.IntRange(1, 3).Draw(t, "cpus")), zone)
}

// unevenness is the sum of the squares of the crowds, those in zones before those
// on agents where a service spreads over zones.
func (w *world) unevenness() float64 {
	total := 0.0
	for s := range w.engine.Services() {
		zones, agents := make(map[string]int), make(map[id.Agent]int)
		live, _ := w.engine.Tasks(s.Name)
		for _, task := range live {
			if task.Status.State.HoldsClaim() {
				zones[w.machines[task.Claim.Agent].agent.Attributes["zone"]]++
				agents[task.Claim.Agent]++
			}
		}
		for _, n := range zones {
			if len(w.engine.Revision(s.Name, s.Revision).Spec.Placement.Spread) > 0 {
				total += 1000 * float64(n*n)
			}
		}
		for _, n := range agents {
			total += float64(n * n)
		}
	}
	return total
}

// TestRebalanceLeavesAloneWhatIsOnItsWayOut: of a service that nobody wants any
// more, instances are left for a while.
func TestRebalanceLeavesAloneWhatIsOnItsWayOut(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]engine.Event{
		"an aborted first deployment": engine.AbortDeployment{Deployment: "hello-1"},
		"a service that is stopped":   engine.StopService{Service: "hello"},
		"one that is scaled to 0":     engine.Scale{Service: "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addRouter("r1", 3*time.Second) // for which the instances wait
			w.addAgent("a1", 8)
			w.deploy(web("hello", "ok", 3))
			w.pass(500 * time.Millisecond)
			w.addAgent("a2", 8)
			w.ask(end)

			plan := w.ask(engine.Rebalance{})

			if live, _ := w.engine.Tasks("hello"); len(plan.Moves.Moves) > 0 || len(live) == 0 {
				t.Errorf("moves %+v with %d instances left\n%s", plan.Moves, len(live), w.story.String())
			}
		})
	}
}

// TestRebalanceRefuses asks for what cannot be.
func TestRebalanceRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	w.deploy(job("work", "work", 1))
	tests := map[string]struct {
		event engine.Event
		want  error
	}{
		"a service that is not there":    {engine.Rebalance{Services: []id.Service{"none"}}, engine.ErrUnknown},
		"a job":                          {engine.Rebalance{Services: []id.Service{"work"}}, engine.ErrInvalid},
		"fewer moves than none":          {engine.Rebalance{Max: -1}, engine.ErrInvalid},
		"too many moves":                 {engine.Rebalance{Max: 1001}, engine.ErrInvalid},
		"an end to moves of nothing":     {engine.AbortMoves{Services: []id.Service{"none"}}, engine.ErrUnknown},
		"an end to the moves of the job": {engine.AbortMoves{Services: []id.Service{"work"}}, engine.ErrInvalid},
	}
	for name, tc := range tests {
		if _, err := w.try(tc.event); !errors.Is(err, tc.want) {
			t.Errorf("%s: found %v, want %v", name, err, tc.want)
		}
	}
}
