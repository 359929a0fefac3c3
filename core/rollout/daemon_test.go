package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/task"
)

func TestNextDaemon(t *testing.T) {
	t.Parallel()
	goal := rollout.DaemonGoal{Revision: 2, Base: 1, Agents: []id.Agent{"c", "a", "b", "a"}}
	on := func(agent id.Agent, name id.Task, r id.Revision, s task.State) rollout.Member {
		m := rollout.Member{Agent: agent, Instance: rollout.Instance{Task: name, Revision: r, State: s, Since: noon.Add(-time.Minute)}}
		if s.Serving() {
			m.ReadySince = m.Since
		}
		return m
	}
	type answer struct {
		On           []id.Agent
		Stop, Cancel []id.Task
		Old          int
		Done         bool
		AskAgain     time.Time
	}
	tests := map[string]struct {
		change func(*rollout.DaemonGoal)
		seen   []rollout.Member
		want   answer
	}{
		"one on each agent that fits": {
			want: answer{On: []id.Agent{"a", "b", "c"}},
		},
		"one where it is missing": {
			seen: []rollout.Member{on("a", "d-1", 2, task.Ready), on("c", "d-2", 2, task.Starting)},
			want: answer{On: []id.Agent{"b"}},
		},
		"all are there": {
			seen: []rollout.Member{on("a", "d-1", 2, task.Ready), on("b", "d-2", 2, task.Ready), on("c", "d-3", 2, task.Ready)},
			want: answer{Done: true},
		},
		"a new revision stops one at a time": {
			seen: []rollout.Member{on("a", "d-1", 1, task.Ready), on("b", "d-2", 1, task.Ready), on("c", "d-3", 1, task.Ready)},
			want: answer{Stop: []id.Task{"d-3"}, Old: 3},
		},
		"and not the next before the new one is good": {
			seen: []rollout.Member{on("a", "d-1", 1, task.Ready), on("b", "d-2", 1, task.Ready), on("c", "d-4", 2, task.Running)},
			want: answer{Old: 2},
		},
		"nothing is started beside one that is on its way out": {
			seen: []rollout.Member{on("a", "d-1", 2, task.Ready), on("b", "d-2", 2, task.Ready), on("c", "d-3", 1, task.Stopping)},
			want: answer{},
		},
		"more at a time if the spec allows it": {
			change: func(g *rollout.DaemonGoal) { g.Unavailable = 2 },
			seen:   []rollout.Member{on("a", "d-1", 1, task.Ready), on("b", "d-2", 1, task.Ready), on("c", "d-3", 1, task.Ready)},
			want:   answer{Stop: []id.Task{"d-3", "d-2"}, Old: 3},
		},
		"what does not fit any more is stopped at once, what has no place is forgotten": {
			seen: []rollout.Member{
				on("a", "d-1", 2, task.Ready), on("b", "d-2", 2, task.Ready), on("c", "d-3", 2, task.Ready),
				on("x", "d-4", 2, task.Ready), on("y", "d-5", 2, task.Pending), on("z", "d-6", 2, task.Draining),
			},
			want: answer{Stop: []id.Task{"d-4"}, Cancel: []id.Task{"d-5"}, Old: 2},
		},
		"of two on an agent the better stays": {
			seen: []rollout.Member{
				on("a", "d-1", 2, task.Ready), on("a", "d-2", 2, task.Running), on("a", "d-4", 2, task.Ready),
				on("b", "d-5", 2, task.Ready), on("c", "d-3", 2, task.Ready),
			},
			want: answer{Stop: []id.Task{"d-4", "d-2"}},
		},
		"a paused one fills gaps with the revision before": {
			change: func(g *rollout.DaemonGoal) { g.Paused = true },
			seen:   []rollout.Member{on("a", "d-1", 1, task.Ready), on("b", "d-2", 2, task.Ready)},
			want:   answer{On: []id.Agent{"c"}},
		},
		"where it failed for good it waits": {
			seen: []rollout.Member{
				on("a", "d-1", 2, task.Ready), on("b", "d-2", 2, task.Ready),
				{Agent: "c", Instance: rollout.Instance{Task: "d-3", Revision: 2, State: task.Failed, Since: noon}},
				{Agent: "c", Instance: rollout.Instance{Task: "d-4", Revision: 2, State: task.Failed, Since: noon.Add(-time.Second)}},
			},
			want: answer{AskAgain: noon.Add(2 * time.Second)},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wanted := goal
			if tc.change != nil {
				tc.change(&wanted)
			}
			plan := rollout.NextDaemon(wanted, tc.seen, noon)
			got := answer{plan.On, plan.Stop, plan.Cancel, plan.Old, plan.Done, plan.AskAgain}
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("NextDaemon (-want +got):\n%s", diff)
			}
			if plan.Start != len(plan.On) || plan.Acts() != (len(got.On)+len(got.Stop)+len(got.Cancel) > 0) {
				t.Errorf("%v does not agree with itself", plan)
			}
		})
	}
}

// TestDaemonLaws rolls a daemon over agents that come, go, fall silent and
// drain. There is never a second claim on an agent, never fewer good ones on
// agents that fit than allowed because of us, and in the end one good one on each.
func TestDaemonLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		w.agents = 4
		goal := rollout.DaemonGoal{Revision: 1, Base: 1, Unavailable: w.goal.Unavailable, Settle: w.goal.Settle}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			w.carryOutDaemon(stepDaemon(t, w, goal))
			switch rapid.IntRange(0, 6).Draw(t, "disturbance") {
			case 0:
				goal.Agents = rapid.SliceOfNDistinct(rapid.SampledFrom([]id.Agent{"0", "1", "2", "3"}), 0, 4, rapid.ID).Draw(t, "agents")
			case 1:
				goal.Revision++
				w.programs[goal.Revision] = program{ready: time.Second, never: rapid.Bool().Draw(t, "never")}
			case 2:
				goal.Paused = !goal.Paused
			case 3:
				agent := rapid.IntRange(0, 3).Draw(t, "agent")
				w.silent[agent] = !w.silent[agent]
			case 4:
				trouble(t, w)
			}
			w.pass(w.now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond))
		}
		goal.Paused = false
		w.goal.Revision = goal.Revision
		calm(w)
		convergeDaemon(t, w, goal)
	})
}

func convergeDaemon(t *rapid.T, w *world, goal rollout.DaemonGoal) {
	for range 1000 {
		plan := stepDaemon(t, w, goal)
		w.carryOutDaemon(plan)
		at, moves := w.next()
		switch {
		case plan.Done && !plan.Acts() && plan.Going == 0 && !moves:
			if plan.Settled != len(goal.Agents) {
				t.Fatalf("%d settled on %d agents: %s", plan.Settled, len(goal.Agents), w.picture())
			}
			return
		case plan.Acts():
		case !plan.AskAgain.IsZero() && (!moves || plan.AskAgain.Before(at)):
			w.pass(plan.AskAgain)
		case !moves:
			t.Fatalf("stuck, waiting for %q: %s", plan.Waiting, w.picture())
		default:
			w.pass(at)
		}
	}
	t.Fatalf("no end: %s", w.picture())
}

func stepDaemon(t *rapid.T, w *world, goal rollout.DaemonGoal) rollout.DaemonPlan {
	var members []rollout.Member
	for n, i := range w.seen() {
		members = append(members, rollout.Member{Instance: i, Agent: id.Agent(fmt.Sprint(w.list[n].agent))})
	}
	plan := rollout.NextDaemon(goal, members, w.now)
	if diff := cmp.Diff(plan, rollout.NextDaemon(goal, rapid.Permutation(members).Draw(t, "order"), w.now)); diff != "" {
		t.Fatalf("the order of instances changes the plan:\n%s", diff)
	}
	checkDaemon(t, goal, members, plan)
	return plan
}

// checkDaemon: nothing starts where there is one, and on the agents that fit
// no more good ones are stopped than may be missing.
func checkDaemon(t *rapid.T, goal rollout.DaemonGoal, members []rollout.Member, plan rollout.DaemonPlan) {
	taken := map[id.Agent]bool{}
	served := map[id.Agent]bool{}
	serves := map[id.Agent]bool{} // after the plan
	for _, m := range members {
		taken[m.Agent] = taken[m.Agent] || !m.State.Ended()
		if m.State.Serving() && !m.Suspect && slices.Contains(goal.Agents, m.Agent) {
			served[m.Agent] = true
			serves[m.Agent] = serves[m.Agent] || !slices.Contains(plan.Stop, m.Task)
		}
	}
	for _, agent := range plan.On {
		if taken[agent] || !slices.Contains(goal.Agents, agent) {
			t.Fatalf("starts one on %s: %v", agent, members)
		}
		taken[agent] = true
	}
	after := 0
	for _, yes := range serves {
		after += number(yes)
	}
	if floor := len(goal.Agents) - max(1, goal.Unavailable); after < min(len(served), floor) {
		t.Fatalf("%v leaves %d agents served of %d demanded; there were %d", plan, after, floor, len(served))
	}
}

// carryOutDaemon does what a plan says, and checks what becomes of it.
func (w *world) carryOutDaemon(p rollout.DaemonPlan) {
	w.carryOut(rollout.Plan{Stop: p.Stop, Cancel: p.Cancel})
	for _, agent := range p.On {
		w.carryOut(rollout.Plan{Start: 1, Revision: p.Revision})
		i := w.list[len(w.list)-1]
		i.agent = int(agent[0] - '0')
		i.move(task.Assign{At: w.now})
		i.due = w.now.Add(w.place)
	}
}
