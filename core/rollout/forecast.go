package rollout

import (
	"slices"
	"strconv"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// Step is one step of a forecast: what a plan changes, and what there is once
// that is begun and before any instance that it stops has ended.
type Step struct {
	Start  int       // new instances
	Stop   []id.Task // instances that leave, with or without a claim
	Claims int       // instances that hold a claim or are about to
	Extra  int       // of Claims, those that neither were there at the beginning nor are wished for
	Good   int       // instances that are ready
}

// Forecast returns the steps that lead from seen to goal if all goes well: there
// is room for each new instance, it becomes ready, what is stopped ends, and
// silent agents come back. The instances that a forecast starts itself have
// names that begin with "+". It has no steps when nothing would change, and
// breaks off where the goal waits for an operator.
func Forecast(goal Goal, seen []Instance, now time.Time) []Step {
	var steps []Step
	var started int
	seen = slices.Clone(seen)
	before := max(goal.Instances, claims(seen))
	for range 4 * (len(seen) + max(0, goal.Instances) + 1) { // each instance is started, settles, is stopped and ends at most once
		plan := Next(goal, seen, now)
		if plan.Acts() {
			seen = plan.begin(seen, started, now)
			started += plan.Start
			held := claims(seen)
			steps = append(steps, Step{
				Start: plan.Start, Stop: slices.Concat(plan.Stop, plan.Cancel),
				Claims: held, Extra: max(0, held-before), Good: good(seen),
			})
		}
		moved := plan.Acts() || plan.AskAgain.After(now)
		if plan.AskAgain.After(now) {
			now = plan.AskAgain
		}
		var thrived bool
		if seen, thrived = thrive(seen, now); !moved && !thrived {
			break
		}
	}
	return steps
}

// Peak returns the most extra instances that there are at any step.
func Peak(steps []Step) int {
	peak := 0
	for _, s := range steps {
		peak = max(peak, s.Extra)
	}
	return peak
}

// begin returns seen after the plan was begun. New instances get numbers from
// started on.
func (p Plan) begin(seen []Instance, started int, now time.Time) []Instance {
	for i := range seen {
		if slices.Contains(p.Stop, seen[i].Task) {
			seen[i].State = task.Draining
		}
	}
	seen = slices.DeleteFunc(seen, func(i Instance) bool { return slices.Contains(p.Cancel, i.Task) })
	for n := range p.Start {
		name := id.Task("+" + strconv.Itoa(started+n+1))
		seen = append(seen, Instance{Task: name, Revision: p.Revision, State: task.Pending, Since: now})
	}
	return seen
}

// thrive returns seen after everything went well for a while, and whether that
// changed anything.
func thrive(seen []Instance, now time.Time) ([]Instance, bool) {
	before := len(seen)
	seen = slices.DeleteFunc(seen, func(i Instance) bool { return !i.State.Live() })
	changed := len(seen) < before
	for i := range seen {
		at := &seen[i]
		changed = changed || at.Suspect || !at.State.Serving()
		at.Suspect, at.Blocked = false, false
		if !at.State.Serving() {
			at.State, at.Since, at.ReadySince = task.Ready, now, now
		}
	}
	return seen, changed
}

func claims(seen []Instance) int {
	n := 0
	for _, i := range seen {
		if !i.State.Ended() {
			n++
		}
	}
	return n
}

func good(seen []Instance) int {
	n := 0
	for _, i := range seen {
		if i.State.Serving() {
			n++
		}
	}
	return n
}
