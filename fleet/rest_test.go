package fleet_test

import (
	"slices"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/fleet"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// TestAtRest loads a cluster at rest, has its agents come, and finds nothing to
// do: neither for the leader nor for the next one.
func TestAtRest(t *testing.T) {
	t.Parallel()
	rest, err := fleet.AtRest(fleet.Size{Agents: 7, Services: 5, Instances: 20}, noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(engine.Config{Epoch: 1})

	if err := e.Load(slices.Values(rest.Records)); err != nil {
		t.Fatal(err)
	}

	if err := e.Check(); err != nil {
		t.Error(err)
	}
	if changes := e.Take(noon); len(changes.Records) > 0 {
		t.Errorf("it has to change %v", changes.Records)
	}
	for _, a := range rest.Agents {
		if _, err := e.Step(engine.AgentJoined{Agent: a.Agent, BootID: "fleet", Hostname: string(a.ID), Version: "fleet", Tasks: a.Tasks}, noon); err != nil {
			t.Fatal(err)
		}
	}
	if changes := e.Take(noon); len(changes.Records) > 0 || len(changes.Agents) != len(rest.Agents) {
		t.Errorf("the agents' return changes %v, and has orders for %v", changes.Records, changes.Agents)
	}
	if err := e.Check(); err != nil {
		t.Error(err)
	}
}

// TestManyMayReturnLate: a leader that must take in many agents does not miss those
// that have had no chance yet.
func TestManyMayReturnLate(t *testing.T) {
	t.Parallel()
	rest, err := fleet.AtRest(fleet.Size{Agents: 3_000, Services: 1, Instances: 1}, noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(engine.Config{Epoch: 1})
	if err := e.Load(slices.Values(rest.Records)); err != nil {
		t.Fatal(err)
	}
	e.Take(noon)
	missed := func(after time.Duration) (agents int) {
		for _, change := range e.Take(noon.Add(after)).Records {
			if a, ok := change.Record.(*engine.Agent); ok && !a.SilentSince.IsZero() {
				agents++
			}
		}
		return agents
	}

	if early, late := missed(3_900*time.Millisecond), missed(4*time.Second); early != 0 || late != len(rest.Agents) {
		t.Errorf("%d of %d agents are missed after 3.9 s, %d after 4 s", early, len(rest.Agents), late)
	}
}

// BenchmarkLoad and BenchmarkReturn take a large cluster apart from its masters.
func BenchmarkLoad(b *testing.B) {
	rest, err := fleet.AtRest(large, noon.Add(-time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e := engine.New(engine.Config{Epoch: 1})
		if err := e.Load(slices.Values(rest.Records)); err != nil {
			b.Fatal(err)
		}
		e.Take(noon)
	}
}

func BenchmarkReturn(b *testing.B) {
	rest, err := fleet.AtRest(large, noon.Add(-time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		e := engine.New(engine.Config{Epoch: 1})
		if err := e.Load(slices.Values(rest.Records)); err != nil {
			b.Fatal(err)
		}
		e.Take(noon)
		b.StartTimer()
		for i, a := range rest.Agents {
			now := noon.Add(time.Duration(i) * time.Millisecond / 5)
			if _, err := e.Step(engine.AgentJoined{Agent: a.Agent, BootID: "fleet", Hostname: string(a.ID), Version: "fleet", Tasks: a.Tasks}, now); err != nil {
				b.Fatal(err)
			}
			if i%100 == 99 {
				e.Take(now)
			}
		}
	}
}
