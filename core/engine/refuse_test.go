package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
)

// busyCluster is one in which most requests have something to collide with.
func busyCluster(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.addAgent("a1", 8)
	w.setPool("web", 4000, 0)
	w.deploy(web("hello", "ok", 2, inPools("web")))
	w.deploy(web("idle", "ok", 1))
	w.deploy(job("work", "long", 1), cron("tick", "work", spec.Skip))
	w.pass(5 * time.Second)
	w.ask(engine.StopService{Service: "idle"})
	w.pass(5 * time.Second)
	return w
}

func routed(host string) func(*spec.Spec) {
	return func(s *spec.Spec) { s.Routes = []spec.Route{{Host: host, Path: "/", Port: "http"}} }
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		event engine.Event
		want  error
		says  string
	}{
		"deploy nothing":                    {engine.Deploy{}, engine.ErrInvalid, "no spec"},
		"deploy without a spec":             {engine.Deploy{Specs: []engine.Submission{{}}}, engine.ErrInvalid, "submission 1 has no spec"},
		"deploy two specs of one name":      {deployOf(web("a", "ok", 1), web("a", "ok", 2)), engine.ErrInvalid, "two specs are named a"},
		"deploy into an unknown pool":       {deployOf(web("a", "ok", 1, inPools("nope"))), engine.ErrUnknown, "unknown pool nope: there is web"},
		"deploy a route of another service": {deployOf(web("a", "ok", 1, routed("hello.localhost"))), engine.ErrConflict, "route hello.localhost/ of a: service hello has it"},
		"deploy one route twice":            {deployOf(web("a", "ok", 1, routed("x")), web("b", "ok", 1, routed("x"))), engine.ErrConflict, "route x/ is in both a and b"},
		"deploy a job where a service is":   {deployOf(job("hello", "work", 1)), engine.ErrConflict, "hello is a service"},
		"deploy on an old version":          {engine.Deploy{Specs: []engine.Submission{web("hello", "ok", 1)}, Versions: map[id.Service]int64{"hello": 99}}, engine.ErrStale, "based on version 99, it is at 1"},
		"deploy what was removed":           {engine.Deploy{Specs: []engine.Submission{web("gone", "ok", 1)}, Versions: map[id.Service]int64{"gone": 1}}, engine.ErrStale, "it has been removed"},
		"scale an unknown service":          {engine.Scale{Service: "nope"}, engine.ErrUnknown, "unknown service: nope"},
		"scale a job":                       {engine.Scale{Service: "work", Instances: 2}, engine.ErrInvalid, "work is a job"},
		"scale below zero":                  {engine.Scale{Service: "hello", Instances: -1}, engine.ErrInvalid, "-1 instances"},
		"scale beyond all bounds":           {engine.Scale{Service: "hello", Instances: 1_000_000}, engine.ErrInvalid, "want 0 to 100000"},
		"scale what is stopped":             {engine.Scale{Service: "idle", Instances: 2}, engine.ErrConflict, "idle is stopped"},
		"scale on an old version":           {engine.Scale{Service: "hello", Instances: 3, Version: 7}, engine.ErrStale, "service hello changed since it was read"},
		"restart an unknown service":        {engine.Restart{Service: "nope"}, engine.ErrUnknown, "nope"},
		"restart a job":                     {engine.Restart{Service: "work"}, engine.ErrInvalid, "end by themselves"},
		"restart what is stopped":           {engine.Restart{Service: "idle"}, engine.ErrConflict, "stopped"},
		"restart an unknown task":           {engine.Restart{Service: "hello", Task: "hello-9-9"}, engine.ErrUnknown, "task of service hello: hello-9-9"},
		"restart a task of another service": {engine.Restart{Service: "hello", Task: "idle-1-1"}, engine.ErrUnknown, "idle-1-1"},
		"stop an unknown service":           {engine.StopService{Service: "nope"}, engine.ErrUnknown, "nope"},
		"roll back an unknown service":      {engine.RollBack{Service: "nope"}, engine.ErrUnknown, "nope"},
		"roll back a job":                   {engine.RollBack{Service: "work"}, engine.ErrInvalid, "deploy its spec again"},
		"roll back from the first":          {engine.RollBack{Service: "hello"}, engine.ErrConflict, "no good revision before 1"},
		"roll back to an unknown revision":  {engine.RollBack{Service: "hello", To: 7}, engine.ErrUnknown, "unknown revision 7"},
		"pause an unknown deployment":       {engine.PauseDeployment{Deployment: "hello-9"}, engine.ErrUnknown, "deployment: hello-9"},
		"pause a deployment that is over":   {engine.PauseDeployment{Deployment: "hello-1"}, engine.ErrConflict, "is over: done"},
		"resume a deployment that is over":  {engine.ResumeDeployment{Deployment: "hello-1"}, engine.ErrConflict, "is over"},
		"abort a deployment that is over":   {engine.AbortDeployment{Deployment: "hello-1"}, engine.ErrConflict, "is over"},
		"drain an unknown agent":            {engine.DrainAgent{Agent: "nope"}, engine.ErrUnknown, "agent: nope"},
		"drain with a deadline below zero":  {engine.DrainAgent{Agent: "a1", Deadline: -1}, engine.ErrInvalid, "deadline"},
		"undrain an unknown agent":          {engine.UndrainAgent{Agent: "nope"}, engine.ErrUnknown, "nope"},
		"remove an unknown agent":           {engine.RemoveAgent{Agent: "nope"}, engine.ErrUnknown, "nope"},
		"remove a connected agent":          {engine.RemoveAgent{Agent: "a1"}, engine.ErrConflict, "a1 is connected"},
		"create a pool that exists":         {engine.SetPool{Pool: ledger.Pool{ID: "web"}, Create: true}, engine.ErrConflict, "pool web exists"},
		"set a pool on an old version":      {engine.SetPool{Pool: ledger.Pool{ID: "web"}, Version: 9}, engine.ErrStale, "pool web"},
		"set an unknown pool on a version":  {engine.SetPool{Pool: ledger.Pool{ID: "new"}, Version: 1}, engine.ErrUnknown, "new"},
		"set a pool of a wrong name":        {engine.SetPool{Pool: ledger.Pool{ID: "A!"}}, engine.ErrInvalid, "A!"},
		"delete an unknown pool":            {engine.DeletePool{Pool: "nope"}, engine.ErrUnknown, "nope"},
		"delete a pool on an old version":   {engine.DeletePool{Pool: "web", Version: 9}, engine.ErrStale, "web"},
		"delete a pool in use":              {engine.DeletePool{Pool: "web"}, engine.ErrConflict, "pool web is used by hello"},
		"an agent of a wrong name joins":    {engine.AgentJoined{Agent: ledger.Agent{ID: "A!"}}, engine.ErrInvalid, "A!"},
		"an agent's claimed partition changes": {engine.AgentJoined{Agent: ledger.Agent{ID: "a1", Partitions: []ledger.Partition{
			{ID: "cpus", Type: resource.Mem, Quantity: resource.Scalar(1), Weight: 1000},
		}}}, engine.ErrConflict, "in use"},
		"an unknown agent reports":   {engine.AgentReported{Agent: "nope"}, engine.ErrUnknown, "nope"},
		"nobody waits":               {engine.AgentsWait{}, engine.ErrInvalid, "no agent"},
		"an unknown agent is silent": {engine.AgentSilent{Agent: "nope"}, engine.ErrUnknown, "nope"},
		"a router of a wrong name":   {engine.RouterConfirmed{Confirmation: route.Confirmation{Router: "R!"}}, engine.ErrInvalid, "router"},
		"an unknown router has gone": {engine.RouterGone{Router: "nope"}, engine.ErrUnknown, "nope"},
		"an unknown router has left": {engine.RouterLeft{Router: "nope"}, engine.ErrUnknown, "nope"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := busyCluster(t)
			before := slices.Collect(w.engine.Records())

			_, err := w.try(tc.event)

			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("found %v, want %v that says %q", err, tc.want, tc.says)
			}
			if !slices.Equal(before, slices.Collect(w.engine.Records())) {
				t.Error("it was refused and changed something")
			}
		})
	}
}

func deployOf(submissions ...engine.Submission) engine.Event {
	return engine.Deploy{Specs: submissions}
}

// TestRefusalNamesAllProblems deploys several specs with something wrong in each.
func TestRefusalNamesAllProblems(t *testing.T) {
	t.Parallel()
	w := busyCluster(t)

	_, err := w.try(deployOf(web("a", "ok", 1, inPools("p1", "p2")), job("hello", "work", 1), web("good", "ok", 1)))

	for _, says := range []string{"unknown pool p1", "unknown pool p2", "hello is a service"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("found %v, want also %q", err, says)
		}
	}
	if w.engine.Service("good") != nil {
		t.Error("a part of a refused deployment was folded in")
	}
}

// TestNothingChanges asks for what is so already.
func TestNothingChanges(t *testing.T) {
	t.Parallel()
	tests := map[string]engine.Event{
		"deploy the wanted spec":         deployOf(web("hello", "ok", 2, inPools("web"))),
		"deploy a job whose run goes on": deployOf(job("work", "long", 1)),
		"scale to the wanted number":     engine.Scale{Service: "hello", Instances: 2},
		"stop what is stopped":           engine.StopService{Service: "idle"},
		"roll back to the wanted one":    engine.RollBack{Service: "hello", To: 1},
		"undrain what is not drained":    engine.UndrainAgent{Agent: "a1"},
		"set a pool to what it is":       engine.SetPool{Pool: ledger.Pool{ID: "web", Quantity: resource.Vector{}.With(resource.CPUs, resource.Scalar(4000))}},
		"only time":                      engine.Tick{},
	}
	for name, event := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := busyCluster(t)

			answer, err := w.engine.Step(event, w.now)

			if changes := w.engine.Take(w.now); err != nil || answer.Changed || !changes.Empty() {
				t.Errorf("found %+v, %v, %+v; want nothing", answer, err, changes)
			}
		})
	}
}
