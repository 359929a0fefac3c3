package engine_test

import (
	"errors"
	"fmt"
	"maps"
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
	"github.com/aloft-run/aloft/core/task"
)

// TestAnswers checks what operators are told about what they asked for.
func TestAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)

	deployed := w.ask(deployOf(web("a", "ok", 1), job("b", "work", 1)))
	one := w.ask(deployOf(web("c", "ok", 1)))
	pool := w.ask(engine.SetPool{Pool: ledger.Pool{ID: "p", Priority: 3}})

	want := []engine.Deployed{
		{Service: "a", Revision: 1, Deployment: "a-1", Changed: true},
		{Service: "b", Revision: 1, Run: 1, Changed: true},
	}
	if diff := cmp.Diff(want, deployed.Deployed); diff != "" || !deployed.Changed || deployed.Service != nil {
		t.Errorf("two specs (-want +got):\n%s", diff)
	}
	if one.Deployment != "c-1" || one.Service == nil || one.Service.Name != "c" {
		t.Errorf("one spec: found %+v", one)
	}
	if pool.Pool == nil || pool.Pool.Version != 1 || pool.Pool.Priority != 3 {
		t.Errorf("a pool: found %+v", pool.Pool)
	}
}

// TestCronThatHangs has a bound, though its runs may overlap.
func TestCronThatHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deploy(cron("slow", "long", spec.Allow))

	w.pass(3 * time.Hour) // no agent comes

	if live, _ := w.engine.Tasks("slow"); len(live) != 100 {
		t.Errorf("%d runs are open, want 100", len(live))
	}
}

// TestViews reads everything that there is to read.
func TestViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	e := w.engine

	capacity := e.Capacity()
	live, ended := e.Tasks("hello")

	if len(capacity) != 3 || capacity[0].Type != resource.CPUs || capacity[0].Free != 7000 || capacity[0].Weighted != 7000 {
		t.Errorf("capacity: found %+v", capacity)
	}
	if capacity[2].Kind != resource.KindRanges {
		t.Errorf("kind of ports: found %v", capacity[2].Kind)
	}
	if len(live) != 4 || len(ended) != 0 || e.Task("hello-1-1") != live[0] || len(e.AgentTasks("a1")) != 4 {
		t.Errorf("tasks: found %v, %v", live, ended)
	}
	if len(e.Revisions("hello")) != 1 || e.Revision("hello", 1) != e.SpecOf("hello-1-1") {
		t.Errorf("revisions: found %v", e.Revisions("hello"))
	}
	if routers := e.Routers(); len(routers) != 1 || !routers[0].Connected || routers[0].Confirmation.Version != e.Table().Version {
		t.Errorf("routers: found %+v", routers)
	}
	if names := namesOf(e); names != "a1 hello" {
		t.Errorf("names: found %s", names)
	}
	if e.Books().AgentCount() != 1 || e.AgentState("a1") != "ready" {
		t.Errorf("agents: found %d, %s", e.Books().AgentCount(), e.AgentState("a1"))
	}
}

func namesOf(e *engine.Engine) string {
	var names []string
	for a := range e.Agents() {
		names = append(names, string(a.ID))
	}
	for s := range e.Services() {
		names = append(names, string(s.Name))
	}
	return strings.Join(names, " ")
}

// TestViewsOfNothing asks for what is not there.
func TestViewsOfNothing(t *testing.T) {
	t.Parallel()
	e := engine.New(engine.Config{})
	run, stop := e.Desired("nope")
	live, ended := e.Tasks("nope")
	_, err := e.Explain("nope")

	if len(run)+len(stop)+len(live)+len(ended)+len(e.Strays("nope"))+len(e.Revisions("nope"))+len(e.Deployments("nope"))+len(e.AgentTasks("nope")) > 0 {
		t.Error("found lists of what is not there")
	}
	if e.Agent("nope") != nil || e.Service("nope") != nil || e.Revision("nope", 1) != nil || e.Deployment("nope") != nil ||
		e.Task("nope") != nil || e.Pool("nope") != nil || e.SpecOf("nope") != nil {
		t.Error("found records of what is not there")
	}
	if !errors.Is(err, engine.ErrUnknown) || e.Waiting("nope") != "" || e.AgentState("nope") != "unknown" || !e.AskAgain().IsZero() {
		t.Errorf("found %v, %q, %q, %v", err, e.Waiting("nope"), e.AgentState("nope"), e.AskAgain())
	}
}

// TestIteratorsStop breaks off every walk.
func TestIteratorsStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	w.addAgent("a2", 1)
	w.deploy(web("other", "ok", 1))
	for range w.engine.Agents() {
		break
	}
	for range w.engine.Services() {
		break
	}
	for r := range w.engine.Records() {
		if r.Key().Kind != engine.ClusterKind {
			t.Errorf("the first record is %v, want the cluster's", r.Key())
		}
		break
	}
}

// TestTaskNames gives long service names to tasks.
func TestTaskNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	long := strings.Repeat("x", 61)

	w.deploy(web(id.Service(long+"a"), "ok", 2), web(id.Service(long+"b"), "ok", 2))

	seen := make(map[id.Task]bool)
	for s := range w.engine.Services() {
		live, _ := w.engine.Tasks(s.Name)
		for _, t := range live {
			seen[t.ID] = true
			if err := id.Check(t.ID); err != nil {
				w.Fatalf("%s: %v", t.ID, err)
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("found %v, want four names", slices.Sorted(maps.Keys(seen)))
	}
}

// TestPriority lets the pool of the higher priority have the room that there is.
func TestPriority(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setPool("low", 4000, 1)
	w.setPool("high", 4000, 2)
	w.deploy(web("early", "ok", 4, inPools("low")))
	w.deploy(web("late", "ok", 4, inPools("high")))

	waiting := explained(w, "early-1-2")
	w.setPool("other", 0, 9)
	w.addAgent("a1", 1)

	if live, _ := w.engine.Tasks("late"); live[3].Status.State != task.Assigned {
		t.Errorf("the higher priority has %s", w.status("late"))
	}
	if !strings.Contains(waiting, "in line behind 5 tasks of 8, the first is late-1-1") {
		t.Errorf("found %s", waiting)
	}
}

func explained(w *world, name string) string {
	w.Helper()
	lines, err := w.engine.Explain(name)
	if err != nil {
		w.Fatalf("explain: %v", err)
	}
	return strings.Join(lines, "\n")
}

// TestReasonsAreNotChurned changes why a task waits all the time; the reason is
// written down anew only now and then, and the newest is told in the end.
func TestReasonsAreNotChurned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setPool("p", 0, 0)
	w.addAgent("a1", 8)
	w.deploy(web("hello", "ok", 3, inPools("p"), func(s *spec.Spec) { s.Deploy.Deadline = time.Hour }))
	reasons := make(map[string]bool)

	for i := range 50 {
		w.setPool("p", int64(i), 0)
		w.pass(time.Second)
		reasons[w.engine.Task("hello-1-1").Status.Reason] = true
	}
	w.pass(10 * time.Second)

	if len(reasons) > 7 {
		t.Errorf("%d reasons in 50 s, want one each 10 s", len(reasons))
	}
	if reason := w.engine.Task("hello-1-1").Status.Reason; !strings.Contains(reason, "0.049") {
		t.Errorf("the last reason is %q, want that of the last change", reason)
	}
}

// TestNextInLineIsToldWhy takes away the first task that waits.
func TestNextInLineIsToldWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deploy(web("hello", "ok", 3))
	w.ask(engine.Scale{Service: "hello", Instances: 4})
	w.ask(engine.Restart{Service: "hello", Task: "hello-1-1"})
	w.pass(time.Second)

	live, _ := w.engine.Tasks("hello")

	if live[0].Status.Reason == "" {
		t.Errorf("%s waits and nobody is told why: %s", live[0].ID, w.status("hello"))
	}
}

// TestAddresses brings an agent back at another address.
func TestAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	m := w.machines["a1"]
	joined := engine.AgentJoined{Agent: m.agent, BootID: m.boot, Address: "fd00::7"}
	for name, p := range m.tasks {
		joined.Tasks = append(joined.Tasks, engine.Report{Task: name, Status: p.status})
	}

	w.step(joined)
	w.commit()

	if at := w.engine.Table().Services[0].Endpoints[0].Address; at != "[fd00::7]:20000" {
		t.Errorf("found %s", at)
	}
}

// TestAgentsThatDoNotComeToANewLeader are unreachable after a while.
func TestAgentsThatDoNotComeToANewLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	w.machines["a1"].connected = false
	since := w.now
	w.lead()

	w.pass(2 * time.Second)
	early := w.engine.AgentState("a1")
	w.pass(2 * time.Second)

	if a := w.engine.Agent("a1"); early != "ready" || w.engine.AgentState("a1") != "unreachable" || !a.SilentSince.Equal(since) {
		t.Errorf("found %s after 2 s, then silent since %v; want %v", early, a.SilentSince, since)
	}
}

// TestAgentWhoseClockIsAhead reports what is still to come by the cluster's clock.
func TestAgentWhoseClockIsAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.machines["a1"].connected = false // the reports come by hand
	w.deploy(web("hello", "ok", 1))
	ahead := w.now.Add(time.Hour)
	ready := task.Status{State: task.Ready, Since: ahead, ReadySince: ahead, Attempt: 1}
	report := engine.AgentReported{Agent: "a1", Tasks: []engine.Report{{Task: "hello-1-1", Status: ready}}}
	since := w.now
	w.step(report)
	w.commit()
	w.now = w.now.Add(time.Second)
	w.step(report) // again, as to a new leader
	w.commit()

	w.now = w.now.Add(time.Second)
	w.commit()

	if status := w.engine.Task("hello-1-1").Status; !status.Since.Equal(since) || !status.ReadySince.Equal(since) {
		t.Errorf("found ready since %v and %v, want %v", status.Since, status.ReadySince, since)
	}
	if d := w.engine.Deployment("hello-1"); d.State != engine.Done {
		t.Errorf("the deployment is %s, want done after 2 s of settling", d.State)
	}
}

// TestAssignedTasksAreToldAgain loses the order to start a task.
func TestAssignedTasksAreToldAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.machines["a1"].connected = false // and the master does not know yet
	w.deploy(web("hello", "ok", 1))
	w.step(engine.AgentSilent{Agent: "a1"})
	w.commit()

	w.connect("a1")
	w.pass(time.Second)

	if got := w.status("hello"); got != "hello-1-1 ready" {
		t.Errorf("found %s", got)
	}
}

// TestHistoryIsBounded deploys and kills for long.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.engine = engine.New(engine.Config{EndedMax: 3, DeploymentsMax: 4, RevisionsMax: 5})
	w.addAgent("a1", 8)
	for n := range 12 {
		w.deploy(web("hello", "ok", 1, version(n)))
		w.pass(10 * time.Second)
	}

	_, ended := w.engine.Tasks("hello")

	if len(ended) != 3 || len(w.engine.Deployments("hello")) != 4 {
		t.Errorf("found %d ended tasks and %d deployments", len(ended), len(w.engine.Deployments("hello")))
	}
	numbers := []id.Revision{}
	for _, r := range w.engine.Revisions("hello") {
		numbers = append(numbers, r.Number)
	}
	if diff := cmp.Diff([]id.Revision{8, 9, 10, 11, 12}, numbers); diff != "" {
		t.Errorf("revisions (-want +got):\n%s", diff)
	}
}

// TestZones runs a cron by the clock of another place.
func TestZones(t *testing.T) {
	t.Parallel()
	zones := func(name string) (*time.Location, error) {
		if name != "Far/East" {
			return nil, fmt.Errorf("no zone %s", name)
		}
		return time.FixedZone(name, 5*3600), nil
	}
	in := func(zone string) engine.Submission {
		return job("tick", "work", 1, func(s *spec.Spec) {
			s.Kind, s.Schedule = spec.Cron, spec.Schedule{Line: "0 18 * * *", Timezone: zone}
		})
	}
	w := newWorld(t)
	w.engine = engine.New(engine.Config{Zones: zones})

	w.deploy(in("Far/East"))
	next := w.engine.Service("tick").NextRun
	w.deploy(in("No/Where"))

	if want := noon.Add(time.Hour); !next.Equal(want) {
		t.Errorf("next run: found %v, want %v", next, want)
	}
	if !w.engine.Service("tick").NextRun.IsZero() || !strings.Contains(w.story.String(), "no zone No/Where") {
		t.Errorf("an unknown zone: found %v", w.engine.Service("tick").NextRun)
	}
}

// TestClockGoesBack steps with a time before the last one.
func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hello(w)
	if _, err := w.engine.Step(engine.Scale{Service: "hello", Instances: 5}, noon.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}

	changes := w.engine.Take(noon.Add(-time.Hour))

	if at := changes.Notes[0].At; !at.Equal(w.now) {
		t.Errorf("found a note of %v, want %v", at, w.now)
	}
}
