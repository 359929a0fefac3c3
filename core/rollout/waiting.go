package rollout

import (
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// waiting says in words what has to happen before the goal is reached, the most
// telling of all reasons, or "" when nothing but the plan itself is needed.
func (c *census) waiting(now time.Time) string {
	blocked, failing, coming := c.parts()
	silent, shaken := c.doubts()
	switch {
	case c.goal.Paused:
		return "an operator: the deployment is paused"
	case len(blocked) > 0:
		return "room for " + names(tasksOf(blocked))
	case len(failing) > 0:
		return names(tasksOf(failing)) + " to be started again after a failure"
	case len(coming) > 0:
		return names(tasksOf(coming)) + " to become ready"
	case len(c.fresh) > 0:
		return names(tasksOf(c.fresh)) + " to settle"
	case len(silent) > 0:
		return "the silent agent of " + names(tasksOf(silent))
	case now.Before(c.failed.until()):
		return "a while, because instances of this revision failed"
	case len(c.going) > 0:
		return names(tasksOf(c.going)) + " to stop"
	case len(shaken) > 0:
		return names(tasksOf(shaken)) + " to be ready again or given up"
	}
	return ""
}

// parts divides the instances that are on their way by what keeps them.
func (c *census) parts() (blocked, failing, coming []*Instance) {
	for _, i := range c.coming {
		switch {
		case i.Blocked:
			blocked = append(blocked, i)
		case i.State == task.Backoff:
			failing = append(failing, i)
		default:
			coming = append(coming, i)
		}
	}
	return blocked, failing, coming
}

// doubts divides those of which nothing good is known from those that were good
// a moment ago.
func (c *census) doubts() (silent, shaken []*Instance) {
	silent = slices.Clone(c.silent)
	for _, i := range c.doubtful {
		if i.Suspect {
			silent = append(silent, i)
		} else {
			shaken = append(shaken, i)
		}
	}
	return silent, shaken
}

// names returns the first task by number, and how many there are besides.
func names(list []id.Task) string {
	first := slices.MinFunc(list, byTask)
	if len(list) == 1 {
		return string(first)
	}
	return fmt.Sprintf("%s and %d more", first, len(list)-1)
}

func tasksOf(list []*Instance) []id.Task {
	tasks := make([]id.Task, len(list))
	for i, instance := range list {
		tasks[i] = instance.Task
	}
	return tasks
}
