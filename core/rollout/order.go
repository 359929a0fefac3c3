package rollout

import (
	"cmp"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// sooner orders instances by who is stopped first: the one furthest from being
// ready, then the one that leaves anyway, then one of a revision not known to be
// good, then the one with more siblings near it, then the newest.
func (g Goal) sooner(a, b *Instance) int {
	return cmp.Or(
		yesFirst(a.Blocked, b.Blocked),
		cmp.Compare(nearness(a.State), nearness(b.State)),
		yesFirst(a.Leaving, b.Leaving),
		yesFirst(a.Revision != g.Base, b.Revision != g.Base),
		cmp.Compare(b.Crowd, a.Crowd),
		b.Since.Compare(a.Since),
		byTask(b.Task, a.Task),
	)
}

// nearness orders the live states by how near they are to serve.
func nearness(s task.State) int {
	if s == task.Backoff {
		return int(task.Pending) // it has to go the whole way again
	}
	return int(s)
}

func yesFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// byTask orders the tasks of one service by their numbers: web-9 before web-10.
func byTask(a, b id.Task) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }
