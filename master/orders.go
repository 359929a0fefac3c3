package master

import (
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// orders gathers what one agent shall do, as the published state says.
type orders struct {
	view    *view
	agent   id.Agent
	message *pb.Orders
	known   map[id.Task]struct{}    // that the agent has: their names are enough
	specs   map[engine.Key]struct{} // of the revisions that the message has
	leased  bool                    // some of what it runs must not run where masters are out of reach
}

func newOrders(v *view, agent id.Agent) *orders {
	return &orders{view: v, agent: agent, message: &pb.Orders{}, specs: make(map[engine.Key]struct{})}
}

// add says what the agent has to do with a task.
func (o *orders) add(name id.Task) {
	found := o.view.job(name)
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
		o.message.Run = append(o.message.Run, runOrder(t, found.claimed))
		o.addSpec(found.revision)
	}
}

func (o *orders) has(name id.Task) bool {
	_, known := o.known[name]
	return known
}

func runOrder(t *engine.Task, claimed resource.Vector) *pb.RunOrder {
	m := wire.FromTask(t)
	return &pb.RunOrder{
		Task: m.GetId(), Service: m.GetService(), Revision: m.GetRevision(), Ports: m.GetPorts(),
		Resources: wire.FromVector(claimed), Attempts: m.GetStatus().GetAttempt(), Run: m.GetRun(), Copy: m.GetCopy(),
	}
}

func (o *orders) addSpec(rev *engine.Revision) {
	if _, sent := o.specs[rev.Key()]; sent {
		return
	}
	o.specs[rev.Key()] = struct{}{}
	o.message.Revisions = append(o.message.Revisions, &pb.RevisionSpec{
		Service: string(rev.Service), Revision: int64(rev.Number), Spec: wire.FromSpec(rev.Spec),
	})
}
