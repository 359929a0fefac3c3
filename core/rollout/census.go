package rollout

import (
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/task"
)

// census sorts instances by what a plan may do with them. Those that are to
// stay are settled, fresh, coming or silent; those that are to be replaced are
// serving, idle or doubtful.
type census struct {
	goal Goal

	settled []*Instance // good for at least Settle
	fresh   []*Instance // good, not for long enough to count
	coming  []*Instance // on their way to become good
	silent  []*Instance // nothing is known of them at the moment

	serving  []*Instance // good
	idle     []*Instance // they serve nobody, or must go all the same
	doubtful []*Instance // they may serve: silent, or not ready for a moment

	going []*Instance // on their way out

	failures int       // failed starts of goal.Revision
	failed   lapses    // of the revision to start
	wake     time.Time // when an instance changes its group though nothing happens
}

// count sorts seen into the groups of a census.
func count(goal Goal, seen []Instance, now time.Time) *census {
	c := &census{goal: goal}
	for i := range seen {
		at := &seen[i]
		if at.Revision == goal.Revision {
			c.failures += at.Failures
			if at.Unhealthy {
				c.failures++
			}
		}
		switch {
		case at.State.Ended():
			if goal.lapsed(at, now) {
				c.failed.add(at.Since)
			}
		case !at.State.Live():
			c.going = append(c.going, at)
		case at.Leaving || at.Revision != goal.Revision && !goal.Paused:
			c.addWrong(at, now)
		default:
			c.addRight(at, now)
		}
	}
	return c
}

// lapsed reports whether i is a reason to wait before the next start.
func (g Goal) lapsed(i *Instance, now time.Time) bool {
	failed := i.State == task.Failed || i.State == task.Stopped && i.Unhealthy
	return failed && i.Revision == g.starts() && now.Before(i.Since.Add(task.ResetAfter))
}

// addRight takes in an instance that is to stay.
func (c *census) addRight(i *Instance, now time.Time) {
	due := i.ReadySince.Add(c.goal.Settle)
	switch {
	case i.Suspect:
		c.silent = append(c.silent, i)
	case !i.State.Serving():
		c.coming = append(c.coming, i)
	case now.Before(due):
		c.fresh = append(c.fresh, i)
		c.wake = earliest(c.wake, due)
	default:
		c.settled = append(c.settled, i)
	}
}

// addWrong takes in an instance that is to be replaced.
func (c *census) addWrong(i *Instance, now time.Time) {
	due := i.Since.Add(Patience)
	shaken := i.State == task.Running && i.Revision == c.goal.Base && now.Before(due)
	switch {
	case i.Suspect:
		c.doubtful = append(c.doubtful, i)
	case i.Overdue:
		c.idle = append(c.idle, i)
	case i.State.Serving():
		c.serving = append(c.serving, i)
	case shaken:
		c.doubtful = append(c.doubtful, i)
		c.wake = earliest(c.wake, due)
	default:
		c.idle = append(c.idle, i)
	}
}

// right returns the number of instances that are to stay.
func (c *census) right() int { return len(c.settled) + len(c.fresh) + len(c.coming) + len(c.silent) }

// wrong returns the number of instances that are to be replaced.
func (c *census) wrong() int { return len(c.serving) + len(c.idle) + len(c.doubtful) }

// excess returns the instances that are too many among those that could stay,
// the least useful first, so that a good one goes only when all others went.
func (c *census) excess() []*Instance {
	limit := c.goal.Instances
	if c.goal.Paused {
		limit += c.goal.Surge
	}
	n := c.right() - limit
	if n <= 0 {
		return nil
	}
	var all []*Instance
	for _, group := range [][]*Instance{c.coming, c.silent, c.fresh, c.settled} {
		all = append(all, slices.SortedFunc(slices.Values(group), c.goal.sooner)...)
	}
	return all[:n]
}

// replaced returns the instances that are to be replaced and can be stopped
// now, once excess is gone as well.
func (c *census) replaced(excess []*Instance) []*Instance {
	settled := min(len(c.settled), c.right()-len(excess))
	free := slices.DeleteFunc(slices.Clone(c.serving), func(i *Instance) bool { return i.Held })
	spare := clamp(settled+len(c.serving)-c.goal.floor(), len(free))
	list := slices.SortedFunc(slices.Values(c.idle), c.goal.sooner)
	if spare > 0 {
		list = append(list, slices.SortedFunc(slices.Values(free), c.goal.sooner)[:spare]...)
	}
	if settled >= c.goal.Instances {
		list = append(list, slices.SortedFunc(slices.Values(c.doubtful), c.goal.sooner)...)
	}
	return list
}

// missing returns how many instances to start: as many as lack, if that leaves
// no more claims than allowed.
func (c *census) missing() int {
	have := c.right()
	if c.goal.Paused {
		have -= c.unproven()
	}
	room := c.goal.Instances + c.goal.Surge - c.right() - c.wrong() - len(c.going)
	return clamp(room, c.goal.Instances-have)
}

// unproven returns how many instances of the revision on trial are not good:
// while the deployment is paused nobody knows whether they ever will be.
func (c *census) unproven() int {
	n := 0
	for _, i := range c.coming {
		if i.Revision != c.goal.starts() {
			n++
		}
	}
	return n
}

// without returns the census of what is left when those have left. Only the
// groups that a plan may wait for are corrected.
func (c *census) without(stopped []*Instance) *census {
	if len(stopped) == 0 {
		return c
	}
	left := *c
	gone := make(map[*Instance]bool, len(stopped))
	for _, i := range stopped {
		gone[i] = true
	}
	for _, group := range []*[]*Instance{&left.coming, &left.silent, &left.fresh, &left.doubtful} {
		*group = slices.DeleteFunc(slices.Clone(*group), func(i *Instance) bool { return gone[i] })
	}
	return &left
}
