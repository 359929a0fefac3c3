package fleet_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/fleet"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

const (
	rollAgents    = 100
	rollInstances = 1_000
	growAgents    = 20 // tasks on each agent of a cluster that grows
	growDeploys   = 10 // tasks for each instance that is deployed there
)

// BenchmarkRoll replaces all instances of a service by those of a new revision, with
// a surge of 10 % and no time to settle. It reports
//
//	first-ms  until the first revision is done
//	roll-ms   until the second is, all instances of the first stopped
//	master-cpu-s  CPU time of the master for the second
func BenchmarkRoll(b *testing.B) {
	c, _ := grown(b, fleet.Size{Agents: rollAgents}, 0)
	for b.Loop() {
		b.ReportMetric(millis(c.roll("v1")), "first-ms")
		used := c.cpu(0)
		b.ReportMetric(millis(c.roll("v2")), "roll-ms")
		b.ReportMetric((c.cpu(0) - used).Seconds(), "master-cpu-s")
	}
	b.ReportMetric(0, "ns/op")
}

// roll deploys a version and returns how long that took.
func (c *masters) roll(version string) time.Duration {
	c.Helper()
	return c.deployed("rolled", fmt.Sprintf(
		"service: rolled\ninstances: %d\nresources: {cpus: 0.1, mem: 32MiB}\nrun: {command: [./serve, %s]}\ndeploy: {surge: 10%%, settle: 0s}\n",
		rollInstances, version))
}

// deployed submits a spec and returns how long it took until its deployment was done.
func (c *masters) deployed(service, text string) time.Duration {
	c.Helper()
	began := time.Now()
	if err := c.deploy(c.Context(), text); err != nil {
		c.Fatal(err)
	}
	for {
		list, err := c.client.Cluster().ListDeployments(c.Context(), connect.NewRequest(&pb.ListDeploymentsRequest{Service: service, PageSize: 1}))
		if err != nil {
			c.Fatal(err)
		}
		newest := list.Msg.GetDeployments()[0]
		switch newest.GetState() {
		case pb.DeploymentState_DEPLOYMENT_STATE_GOING:
		case pb.DeploymentState_DEPLOYMENT_STATE_DONE:
			return time.Since(began)
		default:
			c.Fatalf("deployment %s is %s: %s", newest.GetId(), newest.GetState(), newest.GetReason())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// BenchmarkGrowth does the same with clusters of 1,000, 10,000 and 100,000 tasks. It
// reports for each size N
//
//	load-N-ms    from the start of the master's process until it answers a write
//	list-N-ms    all pages of a list of the tasks
//	watch-N-ms   the first answer of a watch of everything
//	deploy-N-ms  a service of N/10 instances, until its deployment is done
func BenchmarkGrowth(b *testing.B) {
	for b.Loop() {
		for _, tasks := range []int{1_000, 10_000, 100_000} {
			measureGrowth(b, tasks)
		}
	}
	b.ReportMetric(0, "ns/op")
}

func measureGrowth(b *testing.B, tasks int) {
	b.Helper()
	size := fleet.Size{Agents: tasks / growAgents, Services: tasks / 100, Instances: 100}
	c, load := grown(b, size, tasks)
	reader, err := client.New(c.apis...)
	if err != nil {
		b.Fatal(err)
	}
	defer reader.Close()
	report := func(what string, took time.Duration) {
		b.ReportMetric(millis(took), fmt.Sprintf("%s-%d-ms", what, tasks))
	}
	report("load", load)
	report("list", several(func() { listAll(b, reader, tasks) }))
	report("watch", several(func() { watchAll(b, reader, tasks) }))
	report("deploy", c.deployed("grown", fmt.Sprintf(
		"service: grown\ninstances: %d\nresources: {cpus: 0.1, mem: 32MiB}\nrun: {command: [./serve]}\ndeploy: {settle: 0s}\n", tasks/growDeploys)))
	c.end()
}

// several returns the middle of how long something takes.
func several(do func()) time.Duration {
	var took []time.Duration
	for range 3 {
		began := time.Now()
		do()
		took = append(took, time.Since(began))
	}
	return middle(took)
}

// grown returns a master of a cluster at rest, whose agents are all there, and how
// long the master took to answer.
func grown(b *testing.B, size fleet.Size, tasks int) (*growing, time.Duration) {
	b.Helper()
	rest, err := fleet.AtRest(size, time.Now().Add(-time.Hour).Truncate(time.Second))
	if err != nil {
		b.Fatal(err)
	}
	c := &growing{masters: newMasters(b, 1)}
	if tasks > 0 {
		c.fill(rest.Records)
	}
	began := time.Now()
	c.start(0)
	c.awaitWrite()
	load := time.Since(began)
	agents, err := fleet.New(fleet.Config{Masters: c.apis, Agents: rest.Agents})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = agents.Run(ctx) })
	c.end = sync.OnceFunc(func() {
		stop()
		running.Wait()
		c.kill(0)
	})
	b.Cleanup(c.end)
	until(b, "all agents have joined", func() bool { return agents.Joined(1) == size.Agents })
	return c, load
}

// growing is a cluster of one size.
type growing struct {
	*masters

	end func()
}
