package fleet_test

import (
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"

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
	c := newScene(b, 1, fleet.Size{Agents: rollAgents})
	c.join()
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
	until(c.B, "the deployment is done", func() bool {
		list, err := c.client.Cluster().ListDeployments(c.Context(), connect.NewRequest(&pb.ListDeploymentsRequest{Service: service, PageSize: 1}))
		if err != nil {
			c.Fatal(err)
		}
		newest := list.Msg.GetDeployments()[0]
		state := newest.GetState()
		if state != pb.DeploymentState_DEPLOYMENT_STATE_GOING && state != pb.DeploymentState_DEPLOYMENT_STATE_DONE {
			c.Fatalf("deployment %s is %s: %s", newest.GetId(), state, newest.GetReason())
		}
		return state == pb.DeploymentState_DEPLOYMENT_STATE_DONE
	})
	return time.Since(began)
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
	c := newScene(b, 1, fleet.Size{Agents: tasks / growAgents, Services: tasks / 100, Instances: 100})
	c.join()
	report := func(what string, took time.Duration) {
		b.ReportMetric(millis(took), fmt.Sprintf("%s-%d-ms", what, tasks))
	}
	report("load", c.load)
	for _, what := range []string{theList, theWatch} {
		r := c.reader(what)
		report(what, r.several(b, 3, tasks))
		r.stop(b)
	}
	report("deploy", c.deployed("grown", fmt.Sprintf(
		"service: grown\ninstances: %d\nresources: {cpus: 0.1, mem: 32MiB}\nrun: {command: [./serve]}\ndeploy: {settle: 0s}\n", tasks/growDeploys)))
	c.leave()
	c.kill(0)
}
