package rollout

import (
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// roster is a daemon's instances by where they are.
type roster struct {
	instances []Instance           // those on agents that fit
	where     map[id.Task]id.Agent // of instances
	taken     map[id.Agent]bool    // agents that fit and have one, on its way out or not
	failed    map[id.Agent]*lapses // of the agents that fit
	astray    []*Instance          // live, on agents that do not fit
}

// muster sorts the instances of a daemon; fitting is sorted.
func muster(goal Goal, fitting []id.Agent, seen []Member, now time.Time) *roster {
	r := &roster{where: map[id.Task]id.Agent{}, taken: map[id.Agent]bool{}, failed: map[id.Agent]*lapses{}}
	for i := range seen {
		m := &seen[i]
		_, fits := slices.BinarySearch(fitting, m.Agent)
		switch {
		case fits:
			r.add(goal, m, now)
		case m.State.Live():
			r.astray = append(r.astray, &m.Instance)
		}
	}
	slices.SortFunc(r.astray, goal.sooner)
	return r
}

// add takes in an instance on an agent that fits.
func (r *roster) add(goal Goal, m *Member, now time.Time) {
	r.instances = append(r.instances, m.Instance)
	r.where[m.Task] = m.Agent
	switch {
	case !m.State.Ended():
		r.taken[m.Agent] = true
	case goal.lapsed(&m.Instance, now):
		if r.failed[m.Agent] == nil {
			r.failed[m.Agent] = &lapses{}
		}
		r.failed[m.Agent].add(m.Since)
	}
}

// startAfter returns when an instance may be started on that agent.
func (r *roster) startAfter(agent id.Agent) time.Time {
	if failed := r.failed[agent]; failed != nil {
		return failed.until()
	}
	return time.Time{}
}

// doubles returns all but the best of the instances that are to stay on each
// agent.
func (r *roster) doubles(c *census) []*Instance {
	var list []*Instance
	seen := map[id.Agent]bool{}
	for _, group := range [][]*Instance{c.settled, c.fresh, c.silent, c.coming} {
		best := slices.SortedFunc(slices.Values(group), func(a, b *Instance) int { return c.goal.sooner(b, a) })
		for _, i := range best {
			if agent := r.where[i.Task]; seen[agent] {
				list = append(list, i)
			} else {
				seen[agent] = true
			}
		}
	}
	return list
}
