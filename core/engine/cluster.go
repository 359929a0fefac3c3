package engine

import (
	"slices"

	"github.com/aloft-run/aloft/core/id"
)

// putCluster replaces the record of the cluster as a whole by a changed copy.
func (e *Engine) putCluster(change func(*Cluster)) {
	next := Cluster{}
	if e.cluster != nil {
		next = *e.cluster
	}
	change(&next)
	e.cluster = &next
	e.batch.put(next.Key(), &next)
}

// retire keeps the numbers of tasks up to one, which a removed service gave out,
// from being given out again. Agents remember which tasks they have started, and
// refuse to start one of that name a second time.
func (e *Engine) retire(tasks int64) {
	if tasks > e.retired() {
		e.putCluster(func(c *Cluster) { c.Tasks = tasks })
	}
}

// retired returns the number after which a new service numbers its tasks: a
// removed one may have had its name.
func (e *Engine) retired() int64 {
	if e.cluster == nil {
		return 0
	}
	return e.cluster.Tasks
}

// remember keeps the name of a router for the next leader, which waits for it
// before it stops anything.
func (e *Engine) remember(name id.Router) {
	if e.cluster != nil && slices.Contains(e.cluster.Routers, name) {
		return
	}
	e.putCluster(func(c *Cluster) {
		c.Routers = slices.Sorted(slices.Values(append(slices.Clone(c.Routers), name)))
	})
}

// forget drops the name of a router.
func (e *Engine) forget(name id.Router) {
	e.putCluster(func(c *Cluster) {
		c.Routers = slices.DeleteFunc(slices.Clone(c.Routers), func(other id.Router) bool { return other == name })
	})
}
