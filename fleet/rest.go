package fleet

import (
	"fmt"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	"github.com/aloft-run/aloft/specfile"
)

// Size is how large a cluster is.
type Size struct {
	Agents    int
	Services  int
	Instances int // of each service
}

// Rest is a cluster in which nothing is left to do: each service has all its
// instances, ready since long ago and spread evenly over the agents.
type Rest struct {
	Records []engine.Record // as the store of its masters has them
	Agents  []Agent         // with the tasks that they run
}

// firstPort is the first of those that each agent offers.
const firstPort = 20_000

// AtRest returns a cluster of that size at rest since a time. The same arguments
// give the same cluster.
func AtRest(size Size, since time.Time) (*Rest, error) {
	rest := &Rest{}
	ports, err := resource.RangesOf(resource.Range{First: firstPort, Last: firstPort + 9_999})
	if err != nil {
		return nil, err
	}
	for i := range size.Agents {
		a := ledger.Agent{ID: id.Agent(fmt.Sprintf("agent-%06d", i)), Attributes: map[string]string{"zone": string(rune('a' + i%3))}}
		a.Partitions = []ledger.Partition{
			{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(16_000), Weight: ledger.WeightOne},
			{ID: "mem", Type: resource.Mem, Quantity: resource.Scalar(64 << 30), Weight: ledger.WeightOne},
			{ID: "ports", Type: resource.Ports, Quantity: ports, Weight: ledger.WeightOne},
		}
		rest.Agents = append(rest.Agents, Agent{Agent: a})
		rest.Records = append(rest.Records, &engine.Agent{
			Agent: a, BootID: bootID, Hostname: string(a.ID), Version: "fleet", Address: "127.0.0.1", JoinedAt: since,
		})
	}
	for i := range size.Services {
		if err := rest.addService(fmt.Sprintf("service-%04d", i), i*size.Instances, size.Instances, since); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// addService adds a service whose first instance is on the agent of that number.
func (r *Rest) addService(name string, first, instances int, since time.Time) error {
	source := fmt.Sprintf("service: %s\ninstances: %d\nresources: {cpus: 0.1, mem: 64MiB}\n"+
		"run: {command: [./serve, \"${PORT_HTTP}\"]}\nports: [http]\nready: {http: /ready, port: http}\n"+
		"route: {host: %s.example.com, port: http}\n", name, instances, name)
	specs, err := specfile.Load(name+".yaml", []byte(source))
	if err != nil {
		return err
	}
	service, deployment := id.Service(name), id.Deployment(name+"-1")
	r.Records = append(r.Records,
		&engine.Service{
			Name: service, Kind: spec.Service, Revision: 1, LastGood: 1, Newest: 1, Instances: instances, Deployments: 1,
			Tasks: int64(instances), Version: 1, CreatedAt: since, ChangedAt: since,
		},
		&engine.Revision{Service: service, Number: 1, Generation: 1, Spec: specs[0], Source: source, CreatedAt: since},
		&engine.Deployment{ID: deployment, Service: service, To: 1, State: engine.Done, StartedAt: since, EndedAt: since},
	)
	for i := range instances {
		agent := &r.Agents[(first+i)%len(r.Agents)]
		t, err := newTask(service, i+1, agent, since)
		if err != nil {
			return err
		}
		r.Records = append(r.Records, t)
		agent.Tasks = append(agent.Tasks, engine.Report{Task: t.ID, Status: t.Status})
	}
	return nil
}

// newTask returns an instance that has run on an agent for long.
func newTask(service id.Service, number int, on *Agent, since time.Time) (*engine.Task, error) {
	port := int64(firstPort + len(on.Tasks))
	ports, err := resource.RangesOf(resource.Range{First: port, Last: port})
	name := id.Task(fmt.Sprintf("%s-1-%d", service, number))
	return &engine.Task{
		ID: name, Service: service, Revision: 1, Ports: engine.Ports{{Name: "http", Number: int(port)}}, CreatedAt: since,
		Status: task.Status{State: task.Ready, Since: since, ReadySince: since, Attempt: 1},
		Claim: ledger.Claim{Task: name, Agent: on.ID, Slices: []ledger.Slice{
			{Partition: "cpus", Quantity: resource.Scalar(100)},
			{Partition: "mem", Quantity: resource.Scalar(64 << 20)},
			{Partition: "ports", Quantity: ports},
		}},
	}, err
}
