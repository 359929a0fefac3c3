package engine

// retire keeps the numbers of tasks up to one, which a removed service gave out,
// from being given out again. Agents remember which tasks they have started, and
// refuse to start one of that name a second time.
func (e *Engine) retire(tasks int64) {
	if tasks <= e.retired() {
		return
	}
	e.cluster = &Cluster{Tasks: tasks}
	e.batch.put(e.cluster.Key(), e.cluster)
}

// retired returns the number after which a new service numbers its tasks: a
// removed one may have had its name.
func (e *Engine) retired() int64 {
	if e.cluster == nil {
		return 0
	}
	return e.cluster.Tasks
}
