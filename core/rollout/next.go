package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// Patience is how long an instance of the last good revision that ran and is
// not ready is left alone when it is to be replaced: it may be back in a moment,
// and if what it depends on failed for a moment, so may all its siblings.
const Patience = 10 * time.Second

// Next returns the plan that brings seen one step closer to goal. The order of
// seen does not matter.
//
// An instance of another revision, or one that is Leaving, is to be replaced.
// Those that serve nobody are stopped at once, the others when as many settled
// ones stand beside them, or Unavailable allows it. An instance that was lost
// or ended is started anew as one of goal.Revision; one that ended as Failed
// only after task.RetryDelay.
//
// While goal.Paused every revision is right: nothing is started or stopped for
// the deployment's sake, and up to Surge instances above the wished number may
// stay. What dies or leaves is replaced by one of goal.Base, which is known to be
// good, or of goal.Revision if there is none.
func Next(goal Goal, seen []Instance, now time.Time) Plan {
	c := count(goal, seen, now)
	excess := c.excess()
	plan := c.plan(slices.Concat(c.replaced(excess), excess), now)
	plan.Start = c.missing()
	if until := c.failed.until(); plan.Start > 0 && now.Before(until) {
		plan.Start, plan.AskAgain = 0, earliest(plan.AskAgain, until)
	}
	return plan
}

// plan returns a plan that stops those and starts nothing.
func (c *census) plan(stop []*Instance, now time.Time) Plan {
	p := Plan{
		Revision: c.goal.starts(),
		Wanted:   c.goal.Instances,
		Ready:    len(c.settled) + len(c.fresh),
		Settled:  len(c.settled),
		Old:      c.wrong(),
		Going:    len(c.going),
		Failures: c.failures,
		Paused:   c.goal.Paused,
		AskAgain: c.wake,
	}
	p.Stop, p.Cancel = split(stop)
	p.Done = !p.Paused && c.right() == p.Wanted && p.Settled == p.Wanted && p.Old == 0
	if !p.Done {
		p.Waiting = c.without(stop).waiting(now)
	}
	return p
}

// String prints the plan as people read it, as in "start 2, stop hello-1".
func (p Plan) String() string {
	var parts []string
	if p.Start > 0 {
		parts = append(parts, "start "+strconv.Itoa(p.Start))
	}
	if len(p.Stop) > 0 {
		parts = append(parts, "stop "+join(p.Stop))
	}
	if len(p.Cancel) > 0 {
		parts = append(parts, "cancel "+join(p.Cancel))
	}
	if len(parts) == 0 {
		return "nothing to do"
	}
	return strings.Join(parts, ", ")
}

// Acts reports whether the plan changes anything.
func (p Plan) Acts() bool { return p.Start > 0 || len(p.Stop) > 0 || len(p.Cancel) > 0 }

// starts returns the revision that new instances get.
func (g Goal) starts() id.Revision {
	if g.Paused && g.Base != 0 {
		return g.Base
	}
	return g.Revision
}

// floor returns how many good instances there must be.
func (g Goal) floor() int { return max(0, g.Instances-g.Unavailable) }

// split parts what holds a claim, or may soon, from what can be forgotten.
func split(list []*Instance) (stop, cancel []id.Task) {
	for _, i := range list {
		if i.State == task.Pending {
			cancel = append(cancel, i.Task)
		} else {
			stop = append(stop, i.Task)
		}
	}
	return stop, cancel
}

// join lists tasks, at most so many that a line stays readable.
func join(list []id.Task) string {
	const most = 5
	shown, rest := list, ""
	if len(list) > most {
		shown, rest = list[:most-1], fmt.Sprintf(" and %d more", len(list)-most+1)
	}
	names := make([]string, len(shown))
	for i, t := range shown {
		names[i] = string(t)
	}
	return strings.Join(names, " ") + rest
}

// clamp returns n held between 0 and limit; a limit below 0 counts as 0.
func clamp(n, limit int) int { return max(0, min(n, limit)) }

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
