package cli

import pb "github.com/aloft-run/aloft/gen/aloft/v1"

// copies is of each copy of a job's run the newest task that has had a place. The zero value
// is that of run 0 without tasks.
type copies struct {
	run    int64
	newest map[int32]*pb.Task
	in     map[pb.TaskState]int // how many of those are in each state
	stale  bool                 // it must be looked which ones are the newest
}

// change takes in that a task is now as after says; nil stands for no task, before or after.
func (c *copies) change(before, after *pb.Task) {
	if before != nil && c.newest[before.GetCopy()] == before {
		if !c.has(after) || after.GetCopy() != before.GetCopy() {
			c.stale = true
			return
		}
		c.set(after)
		return
	}
	if !c.has(after) {
		return
	}
	if newest := c.newest[after.GetCopy()]; newest == nil || newer(after, newest) {
		c.set(after)
	}
}

// has reports whether a task counts.
func (c *copies) has(t *pb.Task) bool { return t != nil && t.GetRun() == c.run && t.GetAgent() != "" }

func (c *copies) set(t *pb.Task) {
	if c.newest == nil {
		c.newest, c.in = make(map[int32]*pb.Task), make(map[pb.TaskState]int)
	}
	if before := c.newest[t.GetCopy()]; before != nil {
		c.in[before.GetStatus().GetState()]--
	}
	c.newest[t.GetCopy()] = t
	c.in[t.GetStatus().GetState()]++
}

// settle makes it those of a run, of which all tasks are given.
func (c *copies) settle(run int64, tasks map[string]*pb.Task) {
	if run == c.run && !c.stale {
		return
	}
	*c = copies{run: run}
	for _, t := range tasks {
		c.change(nil, t)
	}
}
