package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// TestAnyLife lets operators do anything and machines fail in every way. The
// laws hold after every step, a refused event changes nothing, and once the
// harm ends every service comes to what is wanted of it.
func TestAnyLife(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := &chaos{world: newWorld(t)}
		c.addAgent("a1", 2)

		t.Repeat(map[string]func(*rapid.T){
			"deploy":    c.deployAny,
			"operate":   c.operate,
			"agent":     c.harmAgent,
			"router":    c.harmRouter,
			"pool":      c.changePool,
			"kill":      c.killAny,
			"sicken":    c.sickenAny,
			"pass":      func(t *rapid.T) { c.pass(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond) },
			"pass more": func(t *rapid.T) { c.pass(time.Duration(rapid.IntRange(1, 120).Draw(t, "s")) * time.Second) },
			"lead":      func(*rapid.T) { c.lead() },
		})

		c.heal(t)
		c.checkHanded()
	})
}

// chaos is a world in which anything happens.
type chaos struct {
	*world
	versions int
}

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

// attempt asks for something that may be refused; then nothing has changed.
func (c *chaos) attempt(event engine.Event) {
	c.Helper()
	before := slices.Collect(c.engine.Records())
	if _, err := c.engine.Step(event, c.now); err != nil {
		known := []error{engine.ErrUnknown, engine.ErrStale, engine.ErrInvalid, engine.ErrConflict}
		if !slices.ContainsFunc(known, func(e error) bool { return errors.Is(err, e) }) {
			c.Fatalf("%T: an error of no kind: %v", event, err)
		}
		if !slices.Equal(before, slices.Collect(c.engine.Records())) {
			c.Fatalf("%T was refused and changed something: %v", event, err)
		}
		return
	}
	c.say("%T %+v", event, event)
	c.commit()
}

func (c *chaos) deployAny(t *rapid.T) {
	c.versions++
	var submissions []engine.Submission
	for range rapid.IntRange(1, 2).Draw(t, "specs") {
		submissions = append(submissions, c.anySpec(t))
	}
	c.attempt(engine.Deploy{Specs: submissions, Reason: "chaos"})
	if _, err := c.engine.Plan(submissions, c.now); err != nil && errors.Is(err, engine.ErrRecords) {
		c.Fatalf("plan: %v", err)
	}
}

func (c *chaos) anySpec(t *rapid.T) engine.Submission {
	edit := func(s *spec.Spec) {
		s.Pools = pick(t, "pools", nil, []id.Pool{"p1"}, []id.Pool{"p1", "p2"})
		s.Deploy.Surge.Count = rapid.IntRange(0, 2).Draw(t, "surge")
		s.Deploy.Unavailable.Count = rapid.IntRange(0, 2).Draw(t, "unavailable")
		s.Deploy.Settle = pick(t, "settle", 0, time.Second)
		s.Deploy.Drain = pick(t, "drain", 0, time.Second, 10*time.Second)
		s.Deploy.OnFailure = pick(t, "on failure", spec.Rollback, spec.Pause)
		s.Retries = rapid.IntRange(0, 2).Draw(t, "retries")
		if rapid.Bool().Draw(t, "new version") {
			version(c.versions)(s)
		}
	}
	does := pick(t, "does", "ok", "ok", "never", "exit")
	n := rapid.IntRange(0, 4).Draw(t, "instances")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return job("job", pick(t, "job does", "work", "fail", "long"), n, edit, ofUser(pick(t, "user", "", "anna", "ben")), func(s *spec.Spec) { s.Timeout = pick(t, "timeout", 0, 3*time.Second) })
	case 1:
		return cron("cron", pick(t, "cron does", "work", "fail", "long"), pick(t, "overlap", spec.Skip, spec.Allow, spec.Replace))
	case 2:
		return daemon("daemon", does, edit)
	default:
		return web(pick[id.Service](t, "service", "s1", "s2", "s3"), does, n, edit)
	}
}

func (c *chaos) operate(t *rapid.T) {
	name := pick[id.Service](t, "service", "s1", "s2", "s3", "job", "cron", "daemon")
	deployment := id.Deployment("none-1")
	if s := c.engine.Service(name); s != nil && s.Deployment != "" {
		deployment = s.Deployment
	}
	n := rapid.IntRange(0, 5).Draw(t, "n")
	c.attempt(pick[engine.Event](t, "event",
		engine.Scale{Service: name, Instances: n},
		engine.Restart{Service: name},
		engine.StopService{Service: name, Remove: n == 0},
		engine.RollBack{Service: name, To: id.Revision(n)},
		engine.RollBack{Service: name},
		engine.PauseDeployment{Deployment: deployment},
		engine.ResumeDeployment{Deployment: deployment},
		engine.AbortDeployment{Deployment: deployment},
		engine.ReleaseBreaker{},
		engine.SetBreaker{Limit: n * 20, Window: time.Duration(n) * time.Second},
		engine.Tick{},
		engine.Rebalance{Max: n},
		engine.Rebalance{Services: []id.Service{name}},
		engine.AbortMoves{},
	))
	if lines, err := c.engine.Explain(string(name)); (err == nil) != (c.engine.Service(name) != nil) || err == nil && len(lines) == 0 {
		c.Fatalf("explain %s: %v, %v", name, lines, err)
	} else if turn, waits := c.engine.FirstTurn(string(name)); waits != slices.ContainsFunc(lines, inLine) || waits && !slices.Contains(lines, turn.String()) {
		c.Fatalf("the turn of %s is %+v, %v; explained by %q", name, turn, waits, lines)
	}
}

// inLine reports whether a line of an explanation tells where a task stands in the queue.
func inLine(line string) bool {
	return strings.HasPrefix(line, "in line behind ") || strings.HasPrefix(line, "it is first of ")
}

func (c *chaos) harmAgent(t *rapid.T) {
	name := pick[id.Agent](t, "agent", "a1", "a2", "a3")
	m := c.machines[name]
	if m == nil {
		c.addAgent(name, int64(rapid.IntRange(1, 2).Draw(t, "cpus")))
		return
	}
	switch rapid.IntRange(0, 6).Draw(t, "harm") {
	case 0:
		c.attempt(engine.DrainAgent{Agent: name, Deadline: pick(t, "deadline", 0, 5*time.Second), Force: rapid.Bool().Draw(t, "force")})
	case 1:
		c.attempt(pick[engine.Event](t, "whose", engine.UndrainAgent{Agent: name}, engine.DrainAgent{Agent: name, Leaving: true}))
	case 2:
		if !m.connected && m.missed.IsZero() {
			c.reboot(name) // who removes an agent has switched its machine off
		}
		if c.attempt(engine.RemoveAgent{Agent: name}); c.engine.Agent(name) == nil {
			delete(c.machines, name)
		}
	case 3:
		if !m.connected {
			c.reboot(name)
		}
	default:
		switch {
		case m.connected && rapid.Bool().Draw(t, "unnoticed"):
			c.cutOff(name)
		case m.connected:
			c.cut(name)
		default:
			c.connect(name)
		}
	}
}

func (c *chaos) harmRouter(t *rapid.T) {
	name := pick[id.Router](t, "router", "r1", "r2")
	if c.routers[name] == nil {
		c.addRouter(name, time.Duration(rapid.IntRange(0, 3).Draw(t, "busy"))*time.Second)
		return
	}
	c.loseRouter(name)
	if rapid.Bool().Draw(t, "goodbye") {
		delete(c.astray, name)
		c.attempt(engine.RouterLeft{Router: name})
		return
	}
	c.attempt(engine.RouterGone{Router: name})
}

func (c *chaos) changePool(t *rapid.T) {
	name := pick[id.Pool](t, "pool", "p1", "p2")
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		c.attempt(engine.DeletePool{Pool: name})
		return
	}
	c.setPool(name, int64(rapid.IntRange(0, 2000).Draw(t, "cpus")), rapid.IntRange(0, 3).Draw(t, "priority"))
}

func (c *chaos) killAny(t *rapid.T) {
	if running := c.running(task.Starting); len(running) > 0 {
		c.kill(pick(t, "task", running...))
	}
}

func (c *chaos) sickenAny(t *rapid.T) {
	if running := c.running(task.Running); len(running) > 0 {
		c.sicken(pick(t, "task", running...))
	}
}

// running returns the tasks that are at least so far, and have a program.
func (c *chaos) running(from task.State) []id.Task {
	var running []id.Task
	for _, m := range c.machines {
		for name, p := range m.tasks {
			if p.status.State >= from && p.status.State <= task.Ready {
				running = append(running, name)
			}
		}
	}
	slices.Sort(running)
	return running
}

// heal ends all harm, wants only programs that work, and waits.
func (c *chaos) heal(t *rapid.T) {
	for _, name := range []id.Agent{"a1", "a2", "a3"} {
		if m := c.machines[name]; m == nil {
			c.addAgent(name, 8)
		} else if !m.connected {
			c.connect(name)
		}
		c.ask(engine.UndrainAgent{Agent: name})
	}
	c.setPool("p1", 100_000, 0)
	c.setPool("p2", 100_000, 0)
	c.pass(5 * time.Minute)
	for _, name := range []id.Service{"s1", "s2", "s3"} {
		if s := c.engine.Service(name); s != nil && !s.Stopped {
			c.versions++
			c.deploy(web(name, "ok", s.Instances, version(c.versions)))
		}
	}
	c.attempt(engine.StopService{Service: "cron"})
	c.attempt(engine.StopService{Service: "job"}) // of which copies that never end may fill an agent that the daemon needs
	if s := c.engine.Service("daemon"); s != nil && !s.Stopped {
		c.versions++
		c.deploy(daemon("daemon", "ok", version(c.versions)))
	}
	c.addAgent("big", 64)
	c.pass(10 * time.Minute)
	for s := range c.engine.Services() {
		if err := c.settled(s); err != nil {
			t.Fatalf("%v\n%v\n%s", err, c.end(), c.story.String())
		}
	}
}

// settled returns why a service has not come to what is wanted of it.
func (c *chaos) settled(s *engine.Service) error {
	live, _ := c.engine.Tasks(s.Name)
	switch {
	case s.Stopped && len(live) > 0:
		return fmt.Errorf("%s is stopped and has %s", s.Name, c.status(s.Name))
	case s.Removing:
		return fmt.Errorf("%s was not forgotten", s.Name)
	case s.Stopped || s.Kind == spec.Job || s.Kind == spec.Cron:
		return nil
	case s.Deployment != "":
		return fmt.Errorf("%s is still deploying", s.Name)
	case c.good(s.Name) != s.Instances || len(live) != s.Instances:
		return fmt.Errorf("%s has %d good of %d instances: %s", s.Name, c.good(s.Name), s.Instances, c.status(s.Name))
	}
	return nil
}
