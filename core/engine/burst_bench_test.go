package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

const (
	burstJobs      = 100_000
	burstUsers     = 50
	burstShapes    = 20
	burstAgents    = 100
	burstInstances = 10
)

// BenchmarkBurst deploys a service on a cluster that is full and on which nobody
// waits, or 100,000 jobs of 50 users and 20 shapes do: until its 10 instances have a
// place, which is that of 10 tasks that have ended just before.
func BenchmarkBurst(b *testing.B) {
	for _, waiting := range []int{0, burstJobs} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			var c *burst
			most := time.Duration(0)
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				if c == nil || len(c.running) < burstInstances {
					c = newBurst(b, waiting)
				}
				c.end(b)
				b.StartTimer()
				began := time.Now()
				c.deploy(b, id.Service(fmt.Sprintf("web-%d", n)))
				most = max(most, time.Since(began))
			}
			b.ReportMetric(float64(most.Nanoseconds()), "max-ns")
		})
	}
}

// BenchmarkDeclined has 50 users, or one, try in vain whether there is room for them on
// 5,000 agents, each for another amount: a round in which nothing can be placed.
func BenchmarkDeclined(b *testing.B) {
	for _, users := range []int{1, 50} {
		b.Run(fmt.Sprintf("users=%d", users), func(b *testing.B) { decline(b, users) })
	}
}

func decline(b *testing.B, users int) {
	b.Helper()
	const agents = 5_000
	c := &burst{engine: engine.New(engine.Config{Epoch: 1}), now: noon}
	for n := range agents {
		name := id.Agent(fmt.Sprintf("a%d", n))
		fold(b, c.engine, engine.AgentJoined{BootID: "boot", Agent: ledger.Agent{ID: name, Partitions: benchPartitions(b)}}, c.now)
	}
	fold(b, c.engine, deployOf(job("fill", "ok", agents, func(s *spec.Spec) { s.Resources = vector(15_500, 60<<30) })), c.now)
	c.settle()
	for n := range users {
		asked := func(s *spec.Spec) { s.Resources = vector(int64(1_000+n), 64<<20) }
		fold(b, c.engine, deployOf(job(id.Service(fmt.Sprintf("j%d", n)), "ok", 10, asked, ofUser(fmt.Sprintf("u%d", n)))), c.now)
	}
	c.settle()
	if n := c.waiting(); n != 10*users {
		b.Fatalf("%d tasks wait", n)
	}
	for n := 0; b.Loop(); n++ {
		c.now = c.now.Add(time.Millisecond)
		fold(b, c.engine, engine.SetPool{Pool: ledger.Pool{ID: "other", Priority: n % 2}}, c.now) // there may be more room
		c.settle()
	}
	if n := c.waiting(); n != 10*users {
		b.Fatalf("%d tasks wait after all rounds", n)
	}
}

// waiting counts the tasks of jobs by users that have no place.
func (c *burst) waiting() (n int) {
	for s := range c.engine.Services() {
		live, _ := c.engine.Tasks(s.Name)
		for _, t := range live {
			if t.Status.State == task.Pending {
				n++
			}
		}
	}
	return n
}

// burst is a full cluster.
type burst struct {
	engine  *engine.Engine
	now     time.Time
	running []*engine.Task // those that fill it
}

func newBurst(b *testing.B, waiting int) *burst {
	b.Helper()
	c := &burst{engine: engine.New(engine.Config{Epoch: 1}), now: noon}
	for n := range burstAgents {
		name := id.Agent(fmt.Sprintf("a%d", n))
		fold(b, c.engine, engine.AgentJoined{BootID: "boot", Agent: ledger.Agent{ID: name, Partitions: benchPartitions(b)}}, c.now)
	}
	fold(b, c.engine, deployOf(job("fill", "ok", 16*burstAgents, whole)), c.now)
	c.settle()
	c.running, _ = c.engine.Tasks("fill")
	for n := range waiting {
		name, user := id.Service(fmt.Sprintf("j%d", n)), fmt.Sprintf("u%d", n%burstUsers)
		fold(b, c.engine, deployOf(job(name, "ok", 1, cores(int64(1+n/burstUsers%burstShapes)), ofUser(user))), c.now)
	}
	c.settle()
	return c
}

// settle takes until nothing is left to be done now.
func (c *burst) settle() {
	for !c.engine.AskAgain().IsZero() && !c.engine.AskAgain().After(c.now) {
		c.engine.Take(c.now)
	}
}

// end has as many tasks end as a service has instances. Nobody has taken their place
// yet.
func (c *burst) end(b *testing.B) {
	b.Helper()
	c.now = c.now.Add(time.Millisecond)
	for _, t := range c.running[:burstInstances] {
		for _, state := range []task.State{task.Running, task.Finished} {
			status := task.Status{State: state, Since: c.now, Attempt: 1}
			if state == task.Finished {
				status.Last = &task.Exit{At: c.now}
			}
			fold(b, c.engine, engine.AgentReported{Agent: t.Claim.Agent, Tasks: []engine.Report{{Task: t.ID, Status: status}}}, c.now)
		}
	}
	c.running = c.running[burstInstances:]
}

// deploy deploys a service, until it has all its places.
func (c *burst) deploy(b *testing.B, name id.Service) {
	b.Helper()
	fold(b, c.engine, deployOf(web(name, "ok", burstInstances, whole)), c.now)
	for placed := 0; placed < burstInstances; {
		if c.engine.AskAgain().IsZero() || c.engine.AskAgain().After(c.now) {
			b.Fatalf("%d instances have a place", placed)
		}
		for _, change := range c.engine.Take(c.now).Records {
			if t, ok := change.Record.(*engine.Task); ok && t.Service == name && t.Status.State == task.Assigned {
				placed++
			}
		}
	}
}
