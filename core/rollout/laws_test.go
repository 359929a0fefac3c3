package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/task"
)

// TestLaws lives whole stories at random: programs that become ready late or
// never, crash and flap, agents that fall silent, are lost, drained and come
// back, deployments and scaling on top of each other. Every plan must keep the
// laws; and once the faults end, the goal is reached and nothing moves any more.
func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			plan := step(t, w)
			w.carryOut(plan)
			disturb(t, w)
			w.pass(w.now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(t, "ms")) * time.Millisecond))
		}
		calm(w)
		converge(t, w)
	})
}

// TestNoGapWithoutFaults deploys and scales with nothing going wrong: from the
// first time that all are there, there are always as many good instances as the
// smaller of the last wishes demands, and claims stay within the larger.
func TestNoGapWithoutFaults(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := anyWorld(t)
		calm(w)
		converge(t, w)
		before := w.goal
		w.room = 100
		if rapid.Bool().Draw(t, "deploy") {
			w.goal.Revision++
			w.programs[w.goal.Revision] = program{ready: time.Duration(rapid.IntRange(0, 9).Draw(t, "ready")) * time.Second}
		}
		if rapid.Bool().Draw(t, "scale") {
			w.goal.Instances = rapid.IntRange(0, 8).Draw(t, "instances")
		}
		for _, i := range w.list {
			i.restart = rapid.Bool().Draw(t, "restart")
			if rapid.Bool().Draw(t, "sick") {
				w.sicken(i)
			}
		}
		least := min(before.Instances, w.goal.Instances) - w.goal.Unavailable
		most := max(before.Instances, w.goal.Instances+w.goal.Surge)
		converge(t, w, func() {
			good, claims := 0, 0
			for _, i := range w.list {
				if i.status.State.Serving() {
					good++
				}
				if i.status.State.HoldsClaim() {
					claims++
				}
			}
			if good < least || claims > most {
				t.Fatalf("%d good, at least %d wanted; %d claims, at most %d wanted: %s", good, least, claims, most, w.picture())
			}
		})
	})
}

func anyWorld(t *rapid.T) *world {
	surge, unavailable := rapid.IntRange(0, 3).Draw(t, "surge"), rapid.IntRange(0, 3).Draw(t, "unavailable")
	if surge+unavailable == 0 {
		surge = 1
	}
	seconds := func(name string, most int) time.Duration {
		return time.Duration(rapid.IntRange(0, most).Draw(t, name)) * time.Second
	}
	w := newWorld(rollout.Goal{
		Revision: 1, Instances: rapid.IntRange(0, 6).Draw(t, "instances"),
		Surge: surge, Unavailable: unavailable, Settle: seconds("settle", 4),
	})
	w.place, w.drain, w.grace = seconds("place", 2), seconds("drain", 6), seconds("grace", 3)
	w.programs[1] = program{ready: time.Second}
	w.agents = 3
	return w
}

// step plans, and checks the plan against every law.
func step(t *rapid.T, w *world) rollout.Plan {
	seen := w.seen()
	plan := rollout.Next(w.goal, seen, w.now)

	shuffled := rapid.Permutation(seen).Draw(t, "order")
	if diff := cmp.Diff(plan, rollout.Next(w.goal, shuffled, w.now)); diff != "" {
		t.Fatalf("the order of instances changes the plan:\n%s", diff)
	}
	if !plan.AskAgain.IsZero() && !plan.AskAgain.After(w.now) {
		t.Fatalf("asks again at %v; it is %v", plan.AskAgain, w.now)
	}
	checkNames(t, seen, plan)
	checkGood(t, w.goal, seen, plan, w.now)
	checkClaims(t, w.goal, seen, plan)
	return plan
}

// checkNames: what is stopped holds a claim, what is cancelled does not, each once.
func checkNames(t *rapid.T, seen []rollout.Instance, plan rollout.Plan) {
	named := map[id.Task]bool{}
	states := map[id.Task]task.State{}
	for _, i := range seen {
		states[i.Task] = i.State
	}
	for _, name := range slices.Concat(plan.Stop, plan.Cancel) {
		pending := states[name] == task.Pending
		if named[name] || !states[name].Live() || pending != slices.Contains(plan.Cancel, name) {
			t.Fatalf("%v: %s is %s", plan, name, states[name])
		}
		named[name] = true
	}
}

// checkGood: the plan leaves as many good instances as are demanded, or all
// there were, and each that it stops is stopped for a better one, never for one
// that is not good.
func checkGood(t *rapid.T, goal rollout.Goal, seen []rollout.Instance, plan rollout.Plan, now time.Time) {
	floor := max(0, goal.Instances-goal.Unavailable)
	limit := goal.Instances
	if goal.Paused {
		limit += goal.Surge
	}
	var before, after, solid, kept, keptGood int
	var stopped []rollout.Instance
	for _, i := range seen {
		good := i.State.Serving() && !i.Suspect
		right := !i.Leaving && (goal.Paused || i.Revision == goal.Revision)
		stays := i.State.Live() && !slices.Contains(plan.Stop, i.Task) && !slices.Contains(plan.Cancel, i.Task)
		before += number(good)
		after += number(good && stays)
		kept += number(right && stays)
		keptGood += number(right && stays && good)
		solid += number(good && stays && (!right || !now.Before(i.ReadySince.Add(goal.Settle))))
		if good && !stays {
			stopped = append(stopped, i)
		}
	}
	if after < min(before, floor) {
		t.Fatalf("%v leaves %d good of %d demanded; there were %d", plan, after, floor, before)
	}
	for _, i := range stopped {
		surplus := kept == keptGood && kept >= limit
		if solid < floor && !surplus {
			t.Fatalf("%v stops %s, which is good, and keeps %d settled ones of %d demanded", plan, i.Task, solid, floor)
		}
		if !i.Leaving && i.Revision == goal.Revision && !surplus {
			t.Fatalf("%v stops %s, which is good and wanted, and keeps one that is not", plan, i.Task)
		}
	}
}

// checkClaims: nothing is started that would make too many.
func checkClaims(t *rapid.T, goal rollout.Goal, seen []rollout.Instance, plan rollout.Plan) {
	held := 0
	for _, i := range seen {
		held += number(!i.State.Ended())
	}
	if plan.Start < 0 || plan.Start > 0 && held+plan.Start > goal.Instances+goal.Surge {
		t.Fatalf("%v makes %d claims of at most %d and %d", plan, held+plan.Start, goal.Instances, goal.Surge)
	}
}

// disturb does something to the world, or nothing.
func disturb(t *rapid.T, w *world) {
	agent := rapid.IntRange(0, w.agents-1).Draw(t, "agent")
	switch rapid.SampledFrom([]string{
		"nothing", "nothing", "deploy", "go back", "scale", "pause", "crash", "shake", "silence",
		"come back", "lose", "drain", "undrain", "restart", "shrink", "give up",
	}).Draw(t, "disturbance") {
	case "deploy":
		w.goal.Revision++
		w.programs[w.goal.Revision] = program{
			ready: time.Duration(rapid.IntRange(0, 9).Draw(t, "ready")) * time.Second,
			never: rapid.Bool().Draw(t, "never"),
			exits: rapid.Bool().Draw(t, "exits"),
		}
	case "go back":
		w.goal.Base = id.Revision(rapid.IntRange(0, int(w.goal.Revision)).Draw(t, "base"))
		w.goal.Revision = max(1, w.goal.Base)
	case "scale":
		w.goal.Instances = rapid.IntRange(0, 8).Draw(t, "instances")
	case "pause":
		w.goal.Paused = !w.goal.Paused
	case "crash", "shake", "restart", "give up":
		trouble(t, w)
	case "silence":
		w.silent[agent] = true
	case "come back":
		w.comeBack(agent)
	case "lose":
		if w.silent[agent] {
			w.lose(agent)
		}
	case "drain":
		w.drained[agent] = true
	case "undrain":
		w.drained[agent] = false
	case "shrink":
		w.room = rapid.IntRange(0, 9).Draw(t, "room")
	}
}

// trouble does something to one instance.
func trouble(t *rapid.T, w *world) {
	if len(w.list) == 0 {
		return
	}
	i := rapid.SampledFrom(w.list).Draw(t, "instance")
	kind := rapid.IntRange(0, 5).Draw(t, "trouble")
	switch {
	case kind == 0:
		i.restart = true
	case kind > 3 && !w.cutOff(i) && (i.status.State == task.Ready || i.status.State == task.Running):
		w.sicken(i)
	case kind > 3 || w.cutOff(i) || i.status.State != task.Ready:
	case kind == 1:
		w.crash(i)
	case kind == 2:
		w.shake(i, time.Duration(rapid.IntRange(1, 20).Draw(t, "shaken"))*time.Second)
	case kind == 3:
		i.move(task.End{At: w.now, Exit: &task.Exit{Error: "the agent will not have it"}})
		i.due = time.Time{}
	}
}

// calm ends all faults: agents are back, there is room, and the wanted revision
// is a good one.
func calm(w *world) {
	clear(w.silent)
	w.drained = map[int]bool{0: w.drained[0]} // one may stay drained: there are others
	w.goal.Paused = false
	w.room = w.goal.Instances // the tightest with which it can be done
	if w.goal.Unavailable == 0 {
		w.room += w.goal.Surge
	}
	w.programs[w.goal.Revision] = program{ready: time.Second}
	w.unblock()
	for _, i := range w.list {
		if i.Revision == w.goal.Revision && i.status.State == task.Running && i.due.IsZero() {
			i.due = w.now
		}
	}
}

// converge carries out plans until the goal is reached. It sleeps until the
// world moves or the plan asks to be asked again, so that a planner which forgets
// to ask gets stuck, and fails the test if it takes too many steps.
func converge(t *rapid.T, w *world, watch ...func()) {
	for range 2000 {
		plan := step(t, w)
		w.carryOut(plan)
		for _, look := range watch {
			look()
		}
		at, moves := w.next()
		switch {
		case plan.Done && !plan.Acts() && plan.Going == 0:
			checkArrived(t, w)
			return
		case plan.Acts():
			w.pass(w.now)
			continue
		case !plan.AskAgain.IsZero() && (!moves || plan.AskAgain.Before(at)):
			at = plan.AskAgain
		case !moves:
			t.Fatalf("stuck, waiting for %q: %s", plan.Waiting, w.picture())
		}
		if at.Before(w.now) {
			at = w.now
		}
		w.pass(at)
	}
	t.Fatalf("no end: %s", w.picture())
}

// checkArrived: exactly the wished instances, and the plan never changes again.
func checkArrived(t *rapid.T, w *world) {
	right := 0
	for _, i := range w.seen() {
		if !i.State.Ended() {
			right += number(i.Revision == w.goal.Revision && i.State.Serving() && !i.Leaving)
			right -= number(i.Revision != w.goal.Revision)
		}
	}
	if right != w.goal.Instances {
		t.Fatalf("%d of %d are there: %s", right, w.goal.Instances, w.picture())
	}
	for _, later := range []time.Duration{0, time.Second, time.Hour} {
		plan := rollout.Next(w.goal, w.seen(), w.now.Add(later))
		if plan.Acts() || !plan.Done || plan.Waiting != "" {
			t.Fatalf("no rest: %v, waiting for %q", plan, plan.Waiting)
		}
	}
}

func number(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
