package master

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
)

// lookup returns the record of that kind and name. The error is what the API
// answers when there is none.
func lookup[R engine.Record](v *view, what string, key engine.Key) (R, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	r, ok := find[R](v, key)
	if !ok {
		return r, connect.NewError(connect.CodeNotFound, fmt.Errorf("%w %s: %s", engine.ErrUnknown, what, key.ID))
	}
	return r, nil
}

// unknown returns what the API answers to a list of what belongs to a record that
// is not there; nil where there is one, or the list is of all.
func (v *view) unknown(what string, kind engine.Kind, name string) error {
	if name == "" {
		return nil
	}
	_, err := lookup[engine.Record](v, what, engine.Key{Kind: kind, ID: name})
	return err
}

// all returns the records of one kind that pass keep, in no order.
func all[R engine.Record](v *view, kind engine.Kind, keep func(R) bool) []R {
	v.mu.RLock()
	defer v.mu.RUnlock()
	var list []R
	for _, record := range v.kinds[kind] {
		if r, ok := record.(R); ok && keep(r) {
			list = append(list, r)
		}
	}
	return list
}

// parts is what belongs to one service.
type parts struct {
	tasks       []*engine.Task       // newest first
	revisions   []*engine.Revision   // newest first
	deployments []*engine.Deployment // newest first
}

func (v *view) parts(service id.Service) parts {
	p := v.unsorted(service)
	slices.SortFunc(p.tasks, func(a, b *engine.Task) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), newer(a.ID, b.ID))
	})
	slices.SortFunc(p.revisions, func(a, b *engine.Revision) int { return cmp.Compare(b.Number, a.Number) })
	slices.SortFunc(p.deployments, func(a, b *engine.Deployment) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), newer(a.ID, b.ID))
	})
	return p
}

// unsorted is parts in no order: what takes longer is done without the lock.
func (v *view) unsorted(service id.Service) parts {
	v.mu.RLock()
	defer v.mu.RUnlock()
	index, ok := v.byService[service]
	if !ok {
		return parts{}
	}
	return parts{tasks: valuesOf(index.tasks), revisions: valuesOf(index.revisions), deployments: valuesOf(index.deployments)}
}

func valuesOf[K comparable, V any](m map[K]V) []V {
	return slices.AppendSeq(make([]V, 0, len(m)), maps.Values(m))
}

// newer orders names of one service that end in a number: web-10 before web-9.
func newer[T ~string](a, b T) int {
	return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(b, a))
}

// tasksOf returns the tasks of a service, in no order.
func (v *view) tasksOf(service id.Service) []*engine.Task {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if index, ok := v.byService[service]; ok {
		return valuesOf(index.tasks)
	}
	return nil
}

// written returns the tasks whose output a name means: one task, or those of a
// service. Of a service these are the tasks that have not ended, or else the
// newest that has; of a job or cron the newest of each copy of its newest run.
// Where a task has had no place yet, there is no output.
func (v *view) written(name string) []*engine.Task {
	if t, err := lookup[*engine.Task](v, "task", engine.Key{Kind: engine.TaskKind, ID: name}); err == nil {
		return placed([]*engine.Task{t})
	}
	s, err := lookup[*engine.Service](v, "service", engine.Key{Kind: engine.ServiceKind, ID: name})
	if err != nil {
		return nil
	}
	tasks := placed(v.parts(s.Name).tasks)
	if s.Kind == spec.Job || s.Kind == spec.Cron {
		return newestCopies(tasks, s.Run)
	}
	if running := live(tasks); len(running) > 0 {
		return running
	}
	return tasks[:min(1, len(tasks))]
}

// unwritten says why a name means no task with output.
func (v *view) unwritten(name string) error {
	if name == "" || v.unknown("task", engine.TaskKind, name) != nil && v.unknown("service", engine.ServiceKind, name) != nil {
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("%w task or service: %s", engine.ErrUnknown, name))
	}
	return connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no output of %s: nothing of it has been started yet", name))
}

// placed returns the tasks that have, or had, an agent.
func placed(tasks []*engine.Task) []*engine.Task {
	return slices.DeleteFunc(tasks, func(t *engine.Task) bool { return t.Claim.Agent == "" })
}

// newestCopies returns of each copy of a run the first task in the list.
func newestCopies(tasks []*engine.Task, run int64) []*engine.Task {
	seen := make(map[int]bool)
	return slices.DeleteFunc(tasks, func(t *engine.Task) bool {
		if t.Run != run || seen[t.Copy] {
			return true
		}
		seen[t.Copy] = true
		return false
	})
}

// claimsOn returns how many tasks hold a claim on each agent.
func (v *view) claimsOn() map[id.Agent]int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	counts := make(map[id.Agent]int, len(v.byAgent))
	for agent, on := range v.byAgent {
		counts[agent] = on.count()
	}
	return counts
}

// live returns the tasks that have not ended.
func live(tasks []*engine.Task) []*engine.Task {
	return slices.DeleteFunc(slices.Clone(tasks), func(t *engine.Task) bool { return t.Status.State.Ended() })
}
