package master

import (
	"slices"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// orders gathers what one agent shall do, as the published state says.
type orders struct {
	view    *view
	specs   *toldSpecs
	agent   id.Agent
	message *pb.Orders
	known   map[id.Task]struct{} // that the agent has: their names are enough
	leased  bool                 // some of what it runs must not run where masters are out of reach
}

// addAll says what the agent has to do with tasks, each once and in order.
func (o *orders) addAll(names []id.Task) {
	slices.Sort(names)
	names = slices.Compact(names)
	for i, found := range o.view.jobs(names) {
		o.add(names[i], found)
	}
}

// add says what the agent has to do with a task.
func (o *orders) add(name id.Task, found job) {
	t := found.task
	o.leased = o.leased || found.revision != nil && found.revision.Spec.OnPartition == spec.EndOff
	switch {
	case t == nil || t.Claim.Agent != o.agent || t.Status.State.Ended() || found.revision == nil:
		o.message.Forget = append(o.message.Forget, string(name))
	case t.Status.State == task.Stopping:
		grace := wire.FromDuration(found.settings.Spec.Deploy.Grace)
		o.message.Stop = append(o.message.Stop, &pb.StopOrder{Task: string(name), Grace: grace})
	case o.has(name):
		o.message.Run = append(o.message.Run, &pb.RunOrder{Task: string(name), Service: string(t.Service), Revision: int64(t.Revision)})
	default:
		told := o.specs.get(found.revision)
		if !slices.Contains(o.message.Revisions, told.revision) {
			o.message.Revisions = append(o.message.Revisions, told.revision)
		}
		o.message.Run = append(o.message.Run, o.run(t, told))
	}
}

func (o *orders) has(name id.Task) bool {
	_, known := o.known[name]
	return known
}

// run is the order to run a task.
func (o *orders) run(t *engine.Task, told toldSpec) *pb.RunOrder {
	resources := told.resources
	if len(resources) == 0 || len(t.Ports) > 0 || slices.ContainsFunc(t.Claim.Slices, isListed) {
		resources = wire.FromVector(o.view.claimed(t))
	}
	return &pb.RunOrder{
		Task: string(t.ID), Service: string(t.Service), Revision: int64(t.Revision), Resources: resources,
		Attempts: int32(t.Status.Attempt), Run: t.Run, Copy: int32(t.Copy), Ports: wire.FromPorts(t.Ports),
	}
}

// isListed reports whether a slice is of what is told apart, and not an amount.
func isListed(s ledger.Slice) bool { return s.Quantity.Kind() != resource.KindScalar }
