package master

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// operations returns what the store shall do. A group that is too large for one
// transaction is cut in order, and a crash may leave only its beginning. So the
// order is one in which every beginning can be loaded: a claim is given back
// before another task gets it, what is referred to stands before what refers to
// it, and the numbers of a service are used up before it is gone. Only what belongs to a service may stand without it: see
// withoutRemains.
func operations(changes []engine.Change) ([]store.Op, error) {
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b engine.Change) int { return cmp.Compare(turn(a), turn(b)) })
	ops := make([]store.Op, 0, len(changes))
	for _, change := range changes {
		op := store.Op{Key: wire.StoreKey(change.Key), Delete: change.Record == nil}
		if change.Record != nil {
			value, err := wire.Marshal(change.Record)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", op.Key, err)
			}
			op.Value = value
		}
		ops = append(ops, op)
	}
	return ops, nil
}

// The turns in which changes are written.
const (
	usedNumbers = iota
	endedTasks
	goneServices
	agentsAndPools
	revisionsAndDeployments
	newServices
	liveTasks
	goneTasks
	goneRest
)

func turn(c engine.Change) int {
	switch r := c.Record.(type) {
	case nil:
		switch c.Key.Kind {
		case engine.ServiceKind:
			return goneServices
		case engine.TaskKind:
			return goneTasks
		default:
			return goneRest
		}
	case *engine.Cluster:
		return usedNumbers
	case *engine.Task:
		if r.Status.State.Ended() {
			return endedTasks
		}
		return liveTasks
	case *engine.Service:
		return newServices
	case *engine.Revision, *engine.Deployment:
		return revisionsAndDeployments
	default:
		return agentsAndPools
	}
}
