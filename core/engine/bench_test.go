package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
)

const (
	benchAgents = 1_000
	benchTasks  = 10_000
)

// benchCluster returns a cluster of many agents and one service of few instances
// beside many other services.
func benchCluster(b *testing.B) *engine.Engine {
	b.Helper()
	e := engine.New(engine.Config{Epoch: 1})
	for n := range benchAgents {
		name := id.Agent(fmt.Sprintf("a%d", n))
		fold(b, e, engine.AgentJoined{BootID: "boot", Agent: ledger.Agent{ID: name, Partitions: benchPartitions(b)}}, noon)
	}
	fold(b, e, deployOf(web("hello", "ok", 1)), noon)
	e.Take(noon)
	return e
}

func fold(b *testing.B, e *engine.Engine, event engine.Event, now time.Time) {
	b.Helper()
	if _, err := e.Step(event, now); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScaleUp takes one service from one to 10,000 instances on 1,000
// agents, until all are ready. Agents report in batches of 100 tasks.
func BenchmarkScaleUp(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		e := benchCluster(b)
		now := noon
		b.StartTimer()
		fold(b, e, engine.Scale{Service: "hello", Instances: benchTasks}, now)
		for !e.AskAgain().After(now) {
			e.Take(now)
		}
		live, _ := e.Tasks("hello")
		for i, t := range live {
			now = now.Add(time.Millisecond)
			ready := task.Status{State: task.Ready, Since: now, ReadySince: now, Attempt: 1}
			fold(b, e, engine.AgentReported{Agent: t.Claim.Agent, Tasks: []engine.Report{{Task: t.ID, Status: ready}}}, now)
			if i%100 == 99 {
				e.Take(now)
			}
		}
		if n := len(e.Table().Services[0].Endpoints); n != benchTasks {
			b.Fatalf("%d endpoints", n)
		}
	}
}

// BenchmarkJobs runs 10 jobs of 2,000 copies on ten large agents, whose choice costs
// little, until all have finished. Agents report in batches of 100 tasks.
func BenchmarkJobs(b *testing.B) {
	const jobs, copies, batched = 10, 2_000, 100
	for b.Loop() {
		b.StopTimer()
		e, now := engine.New(engine.Config{Epoch: 1}), noon
		for n := range 10 {
			name := id.Agent(fmt.Sprintf("a%d", n))
			fold(b, e, engine.AgentJoined{BootID: "boot", Agent: ledger.Agent{ID: name, Partitions: hugePartitions()}}, noon)
		}
		b.StartTimer()
		for n := range jobs {
			fold(b, e, deployOf(job(id.Service(fmt.Sprintf("job-%d", n)), "ok", copies)), now)
		}
		var placed []*engine.Task
		for !e.AskAgain().IsZero() && !e.AskAgain().After(now) {
			for _, change := range e.Take(now).Records {
				if t, ok := change.Record.(*engine.Task); ok && t.Status.State == task.Assigned {
					placed = append(placed, t)
				}
			}
		}
		if len(placed) != jobs*copies {
			b.Fatalf("%d tasks were placed", len(placed))
		}
		for _, state := range []task.State{task.Running, task.Finished} {
			for reported := range slices.Chunk(placed, batched) {
				now = now.Add(time.Millisecond)
				for _, t := range reported {
					status := task.Status{State: state, Since: now, Attempt: 1}
					if state == task.Finished {
						status.Last = &task.Exit{At: now}
					}
					fold(b, e, engine.AgentReported{Agent: t.Claim.Agent, Tasks: []engine.Report{{Task: t.ID, Status: status}}}, now)
				}
				e.Take(now)
			}
		}
		if s := e.Service("job-0"); s.Result != engine.Succeeded {
			b.Fatalf("job-0: %+v", s)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*jobs*copies), "ns/task")
}

// BenchmarkReport folds in one report in a large cluster where many services
// are at rest.
func BenchmarkReport(b *testing.B) {
	e := benchCluster(b)
	now := noon
	for n := range 1_000 {
		fold(b, e, deployOf(web(id.Service(fmt.Sprintf("s%d", n)), "ok", 3)), now)
	}
	for !e.AskAgain().After(now) {
		e.Take(now)
	}
	live, _ := e.Tasks("hello")
	status := task.Status{State: task.Running, Since: now, Attempt: 1}
	for b.Loop() {
		now = now.Add(time.Millisecond)
		status.Attempt, status.Since = status.Attempt+1, now
		fold(b, e, engine.AgentReported{Agent: live[0].Claim.Agent, Tasks: []engine.Report{{Task: live[0].ID, Status: status}}}, now)
		e.Take(now)
	}
}

// BenchmarkDrain asks for the drain of one of 1,000 agents with 10,000 instances of
// one service, and takes it back.
func BenchmarkDrain(b *testing.B) {
	e := spreadCluster(b)
	for b.Loop() {
		fold(b, e, engine.DrainAgent{Agent: "a7"}, noon)
		fold(b, e, engine.UndrainAgent{Agent: "a7"}, noon)
	}
}

// BenchmarkPlanMoves looks for moves of 10,000 instances on 1,000 agents, of which
// one is empty.
func BenchmarkPlanMoves(b *testing.B) {
	e := spreadCluster(b)
	fold(b, e, engine.AgentJoined{BootID: "boot", Agent: ledger.Agent{ID: "new", Partitions: benchPartitions(b)}}, noon)
	for b.Loop() {
		plan, err := e.PlanMoves(engine.Rebalance{})
		if err != nil || len(plan.Moves) == 0 {
			b.Fatalf("planned %+v, %v", plan, err)
		}
	}
}

// spreadCluster returns a cluster with 10,000 ready instances of one service.
func spreadCluster(b *testing.B) *engine.Engine {
	b.Helper()
	e := benchCluster(b)
	fold(b, e, engine.Scale{Service: "hello", Instances: benchTasks}, noon)
	for !e.AskAgain().After(noon) {
		e.Take(noon)
	}
	live, _ := e.Tasks("hello")
	for _, t := range live {
		ready := task.Status{State: task.Ready, Since: noon, ReadySince: noon, Attempt: 1}
		fold(b, e, engine.AgentReported{Agent: t.Claim.Agent, Tasks: []engine.Report{{Task: t.ID, Status: ready}}}, noon)
	}
	for later := noon.Add(time.Minute); !e.AskAgain().IsZero() && !e.AskAgain().After(later); {
		e.Take(later)
	}
	return e
}

func hugePartitions() []ledger.Partition {
	return []ledger.Partition{
		{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(1 << 40), Weight: ledger.WeightOne},
		{ID: "mem", Type: resource.Mem, Quantity: resource.Scalar(1 << 50), Weight: ledger.WeightOne},
	}
}

func benchPartitions(b *testing.B) []ledger.Partition {
	b.Helper()
	ports, err := resource.RangesOf(resource.Range{First: 20000, Last: 29999})
	if err != nil {
		b.Fatal(err)
	}
	return []ledger.Partition{
		{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(16_000), Weight: ledger.WeightOne},
		{ID: "mem", Type: resource.Mem, Quantity: resource.Scalar(64 << 30), Weight: ledger.WeightOne},
		{ID: "ports", Type: resource.Ports, Quantity: ports, Weight: ledger.WeightOne},
	}
}
