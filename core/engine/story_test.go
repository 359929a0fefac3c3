package engine_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// stories are the lives of clusters, each told by what operators and machines do.
func stories() map[string]func(w *world) {
	return map[string]func(w *world){
		"roll":                  roll,
		"never-ready":           neverReady,
		"exits-at-once":         exitsAtOnce,
		"first-fails":           firstFails,
		"pause-on-failure":      pauseOnFailure,
		"scale":                 scale,
		"deploy-in-deploy":      deployInDeploy,
		"settings-only":         settingsOnly,
		"route-moves":           routeMoves,
		"killed-instance":       killedInstance,
		"agent-back-in-time":    agentBackInTime,
		"agent-back-late":       agentBackLate,
		"agent-rebooted":        agentRebooted,
		"drain-two-agents":      drainTwoAgents,
		"pool-resized":          poolResized,
		"larger-than-any-agent": largerThanAnyAgent,
		"no-room-for-surge":     noRoomForSurge,
		"busy-router":           busyRouter,
		"router-gone":           routerGone,
		"job-retries":           jobRetries,
		"job-too-late":          jobTooLate,
		"job-again":             jobAgain,
		"job-on-drained-agent":  jobOnDrainedAgent,
		"cron-skip":             cronSkip,
		"cron-replace":          cronReplace,
		"daemon":                daemonLife,
		"restart":               restart,
		"roll-back":             rollBack,
		"abort-and-pause":       abortAndPause,
		"stop-start-remove":     stopStartRemove,
	}
}

// hello starts the cluster that most stories begin with.
func hello(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 4, version(1)))
	w.pass(5 * time.Second)
}

func roll(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(20 * time.Second)
}

func neverReady(w *world) {
	hello(w)
	w.deploy(web("hello", "never", 4, version(3)))
	w.pass(2 * time.Minute)
}

func exitsAtOnce(w *world) {
	hello(w)
	w.deploy(web("hello", "exit", 4, version(3)))
	w.pass(10 * time.Second)
	d := w.engine.Deployment("hello-2")
	w.say("deployment hello-2: %s; %v", d.State, d.Failure.Exit.LastLogs)
}

func firstFails(w *world) {
	w.addAgent("a1", 8)
	w.deploy(web("hello", "exit", 4))
	w.pass(10 * time.Second)
	w.deploy(web("hello", "ok", 4))
	w.pass(10 * time.Second)
}

func pauseOnFailure(w *world) {
	hello(w)
	w.deploy(web("hello", "exit", 4, func(s *spec.Spec) { s.Deploy.OnFailure = spec.Pause }))
	w.pass(5 * time.Second)
	w.ask(engine.AbortDeployment{Deployment: "hello-2"})
	w.pass(20 * time.Second)
}

func scale(w *world) {
	hello(w)
	w.ask(engine.Scale{Service: "hello", Instances: 8})
	w.pass(5 * time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 2})
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(5 * time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 3})
	w.pass(20 * time.Second)
}

func deployInDeploy(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(4)))
	w.pass(4 * time.Second)
	w.deploy(web("hello", "ok", 4, version(5)))
	w.pass(4 * time.Second)
	w.say("%s", w.status("hello"))
	w.pass(20 * time.Second)
}

func settingsOnly(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 5, version(1), func(s *spec.Spec) { s.Deploy.Drain = time.Minute }))
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 5, version(2)))
	w.pass(3 * time.Second)
	w.deploy(web("hello", "ok", 5, version(2), func(s *spec.Spec) { s.Deploy.Settle = time.Second }))
	w.pass(20 * time.Second)
	w.deploy(web("hello", "ok", 5, version(1)))
	w.pass(20 * time.Second)
}

func routeMoves(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 2))
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 2, func(s *spec.Spec) {
		s.Ports = []spec.Port{{Name: "web"}}
		s.Routes = []spec.Route{{Host: "hello.localhost", Path: "/", Port: "web"}, {Host: "new.localhost", Path: "/", Port: "web"}}
	}))
	w.sayTable()
	w.pass(time.Second)
	w.sayTable()
	w.pass(10 * time.Second)
	w.sayTable()
}

func killedInstance(w *world) {
	hello(w)
	w.kill("hello-1-2")
	w.say("%s", w.status("hello"))
	w.pass(5 * time.Second)
	w.explain("hello-1-2")
}

func agentBackInTime(w *world) {
	hello(w)
	w.cut("a1")
	w.explain("hello-1-1")
	w.pass(10 * time.Second)
	w.connect("a1")
	w.pass(40 * time.Second)
}

func agentBackLate(w *world) {
	hello(w)
	w.cut("a1")
	w.pass(10 * time.Second)
	w.addAgent("a2", 8)
	w.pass(30 * time.Second)
	w.say("%s", w.status("hello"))
	w.connect("a1")
	w.say("strays %v, a1 closed %t", w.engine.Strays("a1"), w.engine.Agent("a1").Closed)
	w.pass(time.Second)
	w.say("strays %v, a1 closed %t", w.engine.Strays("a1"), w.engine.Agent("a1").Closed)
}

func agentRebooted(w *world) {
	hello(w)
	w.cut("a1")
	w.pass(5 * time.Second)
	w.reboot("a1")
	w.connect("a1")
	w.pass(5 * time.Second)
}

func drainTwoAgents(w *world) {
	hello(w)
	w.ask(engine.DrainAgent{Agent: "a1"})
	w.explain("hello")
	w.pass(5 * time.Second)
	w.addAgent("a2", 8)
	w.pass(20 * time.Second)
	w.say("a1 is %s: %s", w.engine.AgentState("a1"), w.status("hello"))
	w.ask(engine.UndrainAgent{Agent: "a1"})
	w.ask(engine.DrainAgent{Agent: "a2"})
	w.pass(20 * time.Second)
	w.say("a2 is %s: %s", w.engine.AgentState("a2"), w.status("hello"))
	w.cut("a2")
	w.ask(engine.RemoveAgent{Agent: "a2"})
	delete(w.machines, "a2")
}

func poolResized(w *world) {
	w.addAgent("a1", 8)
	w.setPool("web", 500, 0)
	w.deploy(web("hello", "ok", 4, inPools("web")))
	w.pass(5 * time.Second)
	w.explain("hello")
	w.setPool("web", 1250, 0)
	w.pass(5 * time.Second)
	w.setPool("web", 750, 0)
	w.kill("hello-1-1")
	w.ask(engine.Scale{Service: "hello", Instances: 5})
	w.pass(5 * time.Second)
	w.explain("hello")
}

func largerThanAnyAgent(w *world) {
	w.addAgent("a1", 1)
	w.deploy(web("big", "ok", 1, func(s *spec.Spec) { s.Resources = vector(2000, 64<<20) }))
	w.deploy(web("small", "ok", 1))
	w.pass(5 * time.Second)
	w.explain("big-1-1")
	w.addAgent("a2", 4)
	w.pass(5 * time.Second)
}

func noRoomForSurge(w *world) {
	w.addAgent("a1", 1)
	w.addRouter("r1", 0)
	lenient := func(s *spec.Spec) { s.Deploy.Unavailable = spec.Amount{Count: 1} }
	w.deploy(web("hello", "ok", 4, version(1), lenient))
	w.pass(5 * time.Second)
	w.plan(web("hello", "ok", 4, version(2), lenient))
	w.deploy(web("hello", "ok", 4, version(2), lenient))
	w.pass(20 * time.Second)
	w.plan(web("hello", "ok", 4, version(3)))
	w.deploy(web("hello", "ok", 4, version(3)))
	w.pass(5 * time.Second)
	w.explain("hello")
	w.addAgent("a2", 1)
	w.pass(20 * time.Second)
}

func busyRouter(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 3*time.Second)
	w.addRouter("r2", 40*time.Second)
	w.deploy(web("hello", "ok", 2))
	w.pass(5 * time.Second)
	w.ask(engine.Scale{Service: "hello", Instances: 1})
	w.pass(time.Second)
	w.explain("hello")
	w.pass(40 * time.Second)
}

func routerGone(w *world) {
	w.addAgent("a1", 8)
	w.addRouter("r1", 0)
	w.deploy(web("hello", "ok", 2, func(s *spec.Spec) { s.Deploy.Drain = 5 * time.Minute }))
	w.pass(5 * time.Second)
	delete(w.routers, "r1")
	_, _ = w.try(engine.RouterGone{Router: "r1"}) // a new leader does not know it
	w.ask(engine.Scale{Service: "hello", Instances: 1})
	w.pass(50 * time.Second)
	w.explain("hello")
	w.pass(30 * time.Second)
}

func jobRetries(w *world) {
	w.addAgent("a1", 8)
	w.addAgent("a2", 8)
	w.deploy(job("good", "work", 3))
	w.deploy(job("bad", "fail", 1, func(s *spec.Spec) { s.Retries = 2 }))
	w.pass(20 * time.Second)
	w.explain("bad")
}

func jobTooLate(w *world) {
	w.addAgent("a1", 8)
	w.deploy(job("slow", "long", 1, func(s *spec.Spec) { s.Timeout, s.Retries = 5*time.Second, 1 }))
	w.pass(20 * time.Second)
}

func jobAgain(w *world) {
	w.addAgent("a1", 8)
	w.deploy(job("work", "work", 1))
	w.pass(500 * time.Millisecond)
	w.deploy(job("work", "work", 1))
	w.pass(3 * time.Second)
	w.deploy(job("work", "work", 1))
	w.pass(500 * time.Millisecond)
	w.deploy(job("work", "long", 1))
	w.pass(5 * time.Second)
	w.ask(engine.StopService{Service: "work"})
	w.pass(5 * time.Second)
}

func jobOnDrainedAgent(w *world) {
	w.addAgent("a1", 8)
	w.deploy(job("long", "long", 1))
	w.pass(time.Second)
	w.ask(engine.DrainAgent{Agent: "a1", Deadline: 10 * time.Second})
	w.addAgent("a2", 8)
	w.pass(5 * time.Second)
	w.say("%s", w.status("long"))
	w.pass(10 * time.Second)
	w.say("%s", w.status("long"))
}

func cronSkip(w *world) {
	w.addAgent("a1", 8)
	w.deploy(cron("tick", "work", spec.Skip))
	w.deploy(cron("slow", "long", spec.Skip))
	w.pass(150 * time.Second)
	w.explain("tick")
	w.now = w.now.Add(10 * time.Minute) // nobody led
	w.lead()
	w.pass(10 * time.Second)
}

func cronReplace(w *world) {
	w.addAgent("a1", 8)
	w.deploy(cron("new", "long", spec.Replace))
	w.deploy(cron("all", "long", spec.Allow))
	w.pass(150 * time.Second)
	w.say("%s; %s", w.status("new"), w.status("all"))
}

func daemonLife(w *world) {
	w.addAgent("a1", 8, "zone=a")
	w.addAgent("a2", 8, "zone=b")
	w.addAgent("tiny", 0)
	w.deploy(daemon("logs", "ok", version(1)))
	w.deploy(web("hello", "ok", 2))
	w.pass(5 * time.Second)
	w.addAgent("a3", 8, "zone=a")
	w.pass(5 * time.Second)
	w.plan(daemon("logs", "ok", version(2)))
	w.deploy(daemon("logs", "ok", version(2)))
	w.pass(20 * time.Second)
	w.ask(engine.DrainAgent{Agent: "a1"})
	w.pass(20 * time.Second)
	w.say("%s", w.status("logs"))
	w.deploy(daemon("logs", "ok", version(2), func(s *spec.Spec) {
		s.Placement.Where = []spec.Constraint{{Attribute: "zone", Operator: spec.In, Values: []string{"a"}}}
	}))
	w.pass(20 * time.Second)
	w.say("%s", w.status("logs"))
}

func restart(w *world) {
	hello(w)
	w.ask(engine.Restart{Service: "hello", Task: "hello-1-2"})
	w.pass(5 * time.Second)
	w.ask(engine.Restart{Service: "hello"})
	w.pass(20 * time.Second)
}

func rollBack(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(20 * time.Second)
	w.deploy(web("hello", "ok", 4, version(3)))
	w.pass(20 * time.Second)
	w.ask(engine.RollBack{Service: "hello"})
	w.pass(20 * time.Second)
	w.ask(engine.RollBack{Service: "hello", To: 1})
	w.pass(20 * time.Second)
}

func abortAndPause(w *world) {
	hello(w)
	w.deploy(web("hello", "ok", 4, version(2)))
	w.pass(3 * time.Second)
	w.ask(engine.PauseDeployment{Deployment: "hello-2"})
	w.pass(2 * time.Minute)
	w.explain("hello")
	w.ask(engine.ResumeDeployment{Deployment: "hello-2"})
	w.pass(3 * time.Second)
	w.ask(engine.AbortDeployment{Deployment: "hello-2"})
	w.pass(20 * time.Second)
}

func stopStartRemove(w *world) {
	hello(w)
	w.ask(engine.StopService{Service: "hello"})
	w.pass(5 * time.Second)
	w.deploy(web("hello", "ok", 4, version(1)))
	w.pass(5 * time.Second)
	w.ask(engine.StopService{Service: "hello", Remove: true})
	w.pass(5 * time.Second)
	w.say("%d records", len(w.durable))
}

func inPools(names ...id.Pool) func(*spec.Spec) {
	return func(s *spec.Spec) { s.Pools = names }
}

// setPool sets a pool of some thousandths of cpus.
func (w *world) setPool(name id.Pool, cpus int64, priority int) {
	w.Helper()
	quantity := resource.Vector{}.With(resource.CPUs, resource.Scalar(cpus))
	w.ask(engine.SetPool{Pool: ledger.Pool{ID: name, Quantity: quantity, Priority: priority}})
}

func (w *world) explain(name string) {
	w.Helper()
	lines, err := w.engine.Explain(name)
	if err != nil {
		w.Fatalf("explain: %v", err)
	}
	w.say("explain %s:\n              %s", name, strings.Join(lines, "\n              "))
}

// plan tells what a deployment would do.
func (w *world) plan(submissions ...engine.Submission) {
	w.Helper()
	before := slices.Collect(w.engine.Records())
	report, err := w.engine.Plan(submissions, w.now)
	if err != nil {
		w.Fatalf("plan: %v", err)
	}
	if !slices.Equal(before, slices.Collect(w.engine.Records())) {
		w.Fatalf("a plan changed the cluster")
	}
	for _, p := range report.Services {
		w.say("plan %s %s: from %d to %d, changed %t, replaces %t, peak %d (%s) of %v", p.Kind, p.Service, p.From, p.To, p.Changed,
			p.Replaces, p.PeakInstances, p.PeakExtra, p.Pools)
		for _, c := range p.Changes {
			fmt.Fprintf(&w.story, "              %s: %q -> %q\n", c.Field, c.From, c.To)
		}
		for _, line := range slices.Concat(p.Steps, p.Shortages) {
			fmt.Fprintf(&w.story, "              %s\n", line)
		}
	}
}

func (w *world) sayTable() {
	for _, part := range w.engine.Table().Services {
		w.say("table %s: %s %v -> %v", w.engine.Table().Version, part.Name, part.Rules, part.Endpoints)
	}
}

// end tells how a story ended, whoever led.
func (w *world) end() string {
	var end strings.Builder
	for s := range w.engine.Services() {
		live, _ := w.engine.Tasks(s.Name)
		fmt.Fprintf(&end, "%s %s: revision %d, last good %d, %d instances wanted, %d live, %d good, stopped %t, result %d, waiting %q\n",
			s.Kind, s.Name, s.Revision, s.LastGood, s.Instances, len(live), w.good(s.Name), s.Stopped, s.Result, w.engine.Waiting(s.Name))
		for _, d := range w.engine.Deployments(s.Name) {
			fmt.Fprintf(&end, "  %s from %d to %d: %s, peak %d\n", d.ID, d.From, d.To, d.State, d.Peak)
		}
	}
	for a := range w.engine.Agents() {
		fmt.Fprintf(&end, "agent %s: %s, %d tasks, strays %v\n", a.ID, w.engine.AgentState(a.ID), len(w.engine.AgentTasks(a.ID)), w.engine.Strays(a.ID))
	}
	return end.String()
}

// TestStories plays the stories and keeps what happened in files.
func TestStories(t *testing.T) {
	t.Parallel()
	for name, play := range stories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)

			play(w)

			w.checkHanded()
			compareGolden(t, name+".txt", w.story.String()+"\n"+w.end())
		})
	}
}

// TestStoriesUnderNewLeaders plays the stories while the leader changes all the
// time. They end the same way.
func TestStoriesUnderNewLeaders(t *testing.T) {
	t.Parallel()
	for name, play := range stories() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calm, restless := newWorld(t), newWorld(t)
			restless.leadEach = 700 * time.Millisecond

			play(calm)
			play(restless)

			restless.checkHanded()
			if diff := cmp.Diff(calm.end(), restless.end()); diff != "" {
				t.Errorf("the story ends otherwise (-one leader +many):\n%s\n%s", diff, restless.story.String())
			}
		})
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: run with -update if this is meant (-want +got):\n%s", path, diff)
	}
}
