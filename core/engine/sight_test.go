package engine_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// suspects counts the endpoints of the newest table that are suspect, and those that are
// not.
func (f *fleet) suspects(changes engine.Changes) (suspect, others int) {
	f.Helper()
	if changes.Table == nil {
		f.Fatal("there is no new table")
	}
	for _, s := range changes.Table.Services {
		for _, endpoint := range s.Endpoints {
			if endpoint.Suspect {
				suspect++
			} else {
				others++
			}
		}
	}
	return suspect, others
}

// fill has a service with an instance on each agent of one cpu, all of them ready.
func (f *fleet) fill(agents int) {
	f.Helper()
	f.step(engine.Deploy{Specs: []engine.Submission{web("web", "ok", agents, func(s *spec.Spec) {
		s.Resources = vector(1_000, 64<<20)
	})}})
	for f.Take(f.now); f.AskAgain().Equal(f.now); f.Take(f.now) { // some are placed at a time
	}
	for i := range agents {
		agent := agentNumber(i + 1)
		run, _ := f.Desired(agent)
		if len(run) != 1 {
			f.Fatalf("agent %s has %d tasks", agent, len(run))
		}
		f.step(engine.AgentReported{Agent: agent, Tasks: []engine.Report{{
			Task: run[0].ID, Status: task.Status{State: task.Ready, Since: f.now, ReadySince: f.now, Attempt: 1},
		}}})
	}
	f.Take(f.now)
}

// TestManySightsAreLookedAtTogether: when a few agents fall silent the table says so at
// once. When very many do, one after the other, it is made anew once a second, and in the
// end says of each what is so; and so it is when they come back.
func TestManySightsAreLookedAtTogether(t *testing.T) {
	t.Parallel()
	const few, agents, each = 10, 1_000, 2 * time.Millisecond
	f := newFleet(t, 0)
	for i := range agents {
		join := joining(i + 1)
		join.Agent.Partitions = partitionsOf(t, 1)
		f.step(join)
	}
	f.Take(f.now)
	f.fill(agents)
	f.now = f.now.Add(time.Minute)
	f.Take(f.now)

	for i := range few {
		f.step(engine.AgentSilent{Agent: agentNumber(i + 1)})
		if suspect, _ := f.suspects(f.Take(f.now)); suspect != i+1 {
			t.Errorf("%d agents are silent, %d endpoints suspect", i+1, suspect)
		}
	}
	tables := 0
	for i := few; i < agents; i++ {
		f.now = f.now.Add(each)
		f.step(engine.AgentSilent{Agent: agentNumber(i + 1)})
		if f.Take(f.now).Table != nil {
			tables++
		}
		if i%100 != 0 {
			continue
		}
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
	}
	f.now = f.now.Add(time.Second)
	if suspect, others := f.suspects(f.Take(f.now)); suspect != agents || others != 0 {
		t.Errorf("%d endpoints are suspect, and %d are not", suspect, others)
	}
	if tables > 100+int(agents*each/time.Second) {
		t.Errorf("meanwhile %d tables were made", tables)
	}

	for i := range agents {
		run, _ := f.Desired(agentNumber(i + 1))
		join := joining(i + 1)
		join.Agent.Partitions = partitionsOf(t, 1)
		join.Tasks = []engine.Report{{Task: run[0].ID, Status: run[0].Status}}
		f.step(join)
	}
	f.Take(f.now)
	f.now = f.now.Add(time.Second)
	if suspect, others := f.suspects(f.Take(f.now)); suspect != 0 || others != agents {
		t.Errorf("they are back, and %d endpoints are suspect, %d are not", suspect, others)
	}
}
