package engine_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

func inPools(names ...id.Pool) func(*spec.Spec) {
	return func(s *spec.Spec) { s.Pools = names }
}

// setPool sets a pool of some thousandths of cpus.
func (w *world) setPool(name id.Pool, cpus int64, priority int) {
	w.Helper()
	quantity := resource.Vector{}.With(resource.CPUs, resource.Scalar(cpus))
	w.ask(engine.SetPool{Pool: ledger.Pool{ID: name, Quantity: quantity, Priority: priority}})
}

// refused asks for what is refused, and says why.
func (w *world) refused(event engine.Event) {
	w.Helper()
	answer, err := w.try(event)
	if err == nil {
		w.Fatalf("%+v was not refused: %+v", event, answer)
	}
	w.say("refused: %v", err)
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

// sayMoves tells what a rebalance would do.
func (w *world) sayMoves(event engine.Rebalance) {
	w.Helper()
	before := slices.Collect(w.engine.Records())
	plan, err := w.engine.PlanMoves(event)
	if err != nil {
		w.Fatalf("%+v: %v", event, err)
	}
	if !slices.Equal(before, slices.Collect(w.engine.Records())) {
		w.Fatalf("a plan of moves changed the cluster")
	}
	w.say("%d moves, more %t, skipped %v", len(plan.Moves), plan.More, plan.Skipped)
	for _, m := range plan.Moves {
		fmt.Fprintf(&w.story, "              %s from %s to %s: %s\n", m.Task, m.From, m.To, m.Why)
	}
}

func (w *world) sayTable() {
	for _, part := range w.engine.Table().Services {
		var endpoints []string
		for _, e := range part.Endpoints {
			line := fmt.Sprintf("{%s %d %s}", e.Task, e.Revision, e.Address)
			if e.Suspect {
				line += " suspect"
			}
			endpoints = append(endpoints, line)
		}
		w.say("table %s: %s %v -> %v", w.engine.Table().Version, part.Name, part.Rules, endpoints)
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
