package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
)

// watchPorts fails if a task gets a port at which a router that the masters know may
// still send requests for another task.
func (w *world) watchPorts(placed *engine.Task) {
	w.Helper()
	for _, r := range slices.Concat(slices.Collect(maps.Values(w.routers)), slices.Collect(maps.Values(w.astray))) {
		if !w.knows(r.name) {
			continue
		}
		for _, part := range r.applied.Services {
			for _, endpoint := range part.Endpoints {
				if w.shares(placed, endpoint) {
					w.Fatalf("%s gets %v, where router %s still sees %s\n%s", placed.ID, placed.Ports, r.name, endpoint.Task, w.story.String())
				}
			}
		}
	}
}

// shares reports whether a task has the address of another one's endpoint, and not
// because its spec names the port. All agents here have one address.
func (w *world) shares(placed *engine.Task, endpoint route.Endpoint) bool {
	other := w.engine.Task(endpoint.Task)
	if other == nil || other.ID == placed.ID || other.Claim.Agent != placed.Claim.Agent {
		return false
	}
	for _, port := range w.engine.SpecOf(placed.ID).Spec.Ports {
		if port.Number == 0 && endpoint.Address == fmt.Sprintf("%s:%d", w.engine.Agent(placed.Claim.Agent).Address, placed.Ports.Number(port.Name)) {
			return true
		}
	}
	return false
}

// fewPorts makes an agent with two ports. Only a reboot of it frees the port of a task
// that was not stopped.
func fewPorts(w *world) {
	ports, err := resource.RangesOf(resource.Range{First: 7000, Last: 7001})
	if err != nil {
		w.Fatalf("%v", err)
	}
	a := ledger.Agent{ID: "a1", Partitions: []ledger.Partition{
		{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(8000), Weight: ledger.WeightOne},
		{ID: "mem", Type: resource.Mem, Quantity: resource.Scalar(8 << 30), Weight: ledger.WeightOne},
		{ID: "ports", Type: resource.Ports, Quantity: ports, Weight: ledger.WeightOne},
	}}
	w.bootMachine(a)
}

// portsGiven returns how many of the agent's two ports tasks hold.
func portsGiven(w *world) int {
	n := 0
	for s := range w.engine.Services() {
		live, _ := w.engine.Tasks(s.Name)
		for _, t := range live {
			if t.Status.State.HoldsClaim() {
				n += len(t.Ports)
			}
		}
	}
	return n
}

// TestPortsRest: a machine restarts and all that ran on it is lost. Its ports are not
// given to others before every router has confirmed that it does not send there any
// more, or is forgotten. A new leader keeps to that. Ports that a spec names are the
// service's own, and wait for nobody.
func TestPortsRest(t *testing.T) {
	t.Parallel()
	named := func(s *spec.Spec) { s.Ports[0].Number = 7000 }
	tests := map[string]struct {
		edit   []func(*spec.Spec)
		router func(w *world) // what becomes of the router before the machine restarts
		then   func(w *world) // and afterwards
		soon   int            // ports that are held a second later
		late   int            // and after a minute
	}{
		"the router follows":                {nil, func(*world) {}, func(*world) {}, 2, 2},
		"the router is cut off":             {nil, cutRouter, func(*world) {}, 0, 2},
		"the router is cut off, and back":   {nil, cutRouter, func(w *world) { w.addRouter("r1", 0) }, 2, 2},
		"it is cut off, and the port named": {[]func(*spec.Spec){named}, cutRouter, func(*world) {}, 1, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			fewPorts(w)
			w.addRouter("r1", 0)
			instances := 2
			if test.edit != nil {
				instances = 1
			}
			w.deploy(web("s1", "ok", instances, test.edit...))
			w.pass(10 * time.Second)
			if portsGiven(w) != instances {
				t.Fatalf("%d ports are held, want %d: %s", portsGiven(w), instances, w.status("s1"))
			}

			test.router(w)
			w.reboot("a1")
			w.connect("a1")
			test.then(w)

			w.pass(time.Second)
			if got := portsGiven(w); got != test.soon {
				t.Errorf("%d ports are held a second later, want %d: %s\n%s", got, test.soon, w.status("s1"), w.story.String())
			}
			w.pass(time.Minute)
			if got := portsGiven(w); got != test.late {
				t.Errorf("%d ports are held a minute later, want %d: %s\n%s", got, test.late, w.status("s1"), w.story.String())
			}
		})
	}
}

// cutRouter ends the session of the router, which goes on with the table that it has.
func cutRouter(w *world) {
	w.loseRouter("r1")
	w.ask(engine.RouterGone{Router: "r1"})
}

// TestRestsAtANewLeader: it waits for the routers of the one before, though it does
// not know what they have.
func TestRestsAtANewLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.patience = time.Minute
	fewPorts(w)
	w.addRouter("r1", 0)
	w.deploy(web("s1", "ok", 2))
	w.pass(10 * time.Second)
	cutRouter(w)
	w.reboot("a1")
	w.connect("a1")
	w.lead()

	w.pass(30 * time.Second)
	if got := portsGiven(w); got != 0 {
		t.Errorf("%d ports are held, while the router may send to both", got)
	}
	w.addRouter("r1", 0)
	w.pass(time.Second)
	if got := portsGiven(w); got != 2 {
		t.Errorf("%d ports are held, and the router has confirmed: %s", got, w.status("s1"))
	}
}
