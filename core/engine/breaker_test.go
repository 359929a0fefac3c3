package engine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// fleet is a cluster of agents a1, a2 and so on, as an engine alone sees it.
type fleet struct {
	testing.TB
	*engine.Engine

	now time.Time
}

func newFleet(tb testing.TB, agents int) *fleet {
	tb.Helper()
	f := &fleet{TB: tb, Engine: engine.New(engine.Config{Epoch: 1}), now: noon}
	for i := range agents {
		f.step(joining(i + 1))
	}
	f.Take(f.now)
	return f
}

func joining(number int) engine.AgentJoined {
	joined := engine.AgentJoined{BootID: "boot", Hostname: "host"}
	joined.Agent.ID = agentNumber(number)
	return joined
}

func agentNumber(n int) id.Agent { return id.Agent(fmt.Sprintf("a%d", n)) }

func (f *fleet) step(event engine.Event) {
	f.Helper()
	if _, err := f.Step(event, f.now); err != nil {
		f.Fatalf("%T: %v", event, err)
	}
}

// cut has agents fall silent, one after the other, from the first to the last.
func (f *fleet) cut(first, last int) {
	f.Helper()
	for i := first; i <= last; i++ {
		f.step(engine.AgentSilent{Agent: agentNumber(i)})
		f.Take(f.now)
	}
}

func (f *fleet) connect(first, last int) {
	f.Helper()
	for i := first; i <= last; i++ {
		f.step(joining(i))
		f.Take(f.now)
	}
}

func (f *fleet) pass(d time.Duration) {
	f.now = f.now.Add(d)
	f.Take(f.now)
}

// The breaker opens when more than 30 % of the agents, and at least 2, fall
// silent together, and closes when so many are back that it would not open.
func TestBreakerBySize(t *testing.T) {
	t.Parallel()
	for agents, most := range map[int]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 2, 10: 3, 11: 3, 1000: 300} {
		t.Run(fmt.Sprintf("%d agents", agents), func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, agents)

			f.cut(1, most)
			if f.Breaker().Open() {
				t.Fatalf("it opened when %d were silent", most)
			}
			if most == agents {
				return
			}
			f.cut(most+1, most+1)
			if state := f.Breaker(); !state.Open() || len(state.Missed) != most+1 || state.Agents != agents {
				t.Fatalf("with %d silent: open %t, %d of %d missed", most+1, state.Open(), len(state.Missed), state.Agents)
			}
			f.connect(1, 1)
			if f.Breaker().Open() {
				t.Errorf("it is open still with %d silent", most)
			}
		})
	}
}

// What is no sign that the observer fails does not open the breaker; what is one does.
func TestBreakerRule(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		agents int
		when   func(f *fleet)
		open   bool
	}{
		"they fall silent one after the other, over more than the window": {agents: 10, when: func(f *fleet) {
			for i := 1; i <= 5; i++ {
				f.cut(i, i)
				f.pass(20 * time.Second)
			}
		}},
		"they fall silent within the window, and not at once": {agents: 10, open: true, when: func(f *fleet) {
			for i := 1; i <= 4; i++ {
				f.cut(i, i)
				f.pass(10 * time.Second)
			}
		}},
		"drained agents leave": {agents: 10, when: func(f *fleet) {
			for i := 1; i <= 6; i++ {
				f.step(engine.DrainAgent{Agent: agentNumber(i)})
			}
			f.cut(1, 7)
		}},
		"drained agents are no agents": {agents: 10, open: true, when: func(f *fleet) {
			for i := 5; i <= 10; i++ {
				f.step(engine.DrainAgent{Agent: agentNumber(i)})
			}
			f.cut(1, 2)
		}},
		"others have been silent for long": {agents: 10, when: func(f *fleet) {
			f.cut(1, 3)
			f.pass(time.Minute)
			f.cut(4, 5)
		}},
		"the agents left do not count those silent for long": {agents: 10, open: true, when: func(f *fleet) {
			f.cut(1, 3)
			f.pass(time.Minute)
			f.cut(4, 6)
		}},
		"they come back in time": {agents: 10, when: func(f *fleet) {
			for i := 1; i <= 10; i++ {
				f.cut(i, i)
				f.connect(i, i)
			}
		}},
		"a drain when they are silent for long": {agents: 10, when: func(f *fleet) {
			f.cut(1, 3)
			f.pass(time.Hour)
			f.step(engine.DrainAgent{Agent: "a9"})
			f.pass(time.Second)
		}},
		"it is off": {agents: 10, when: func(f *fleet) {
			f.step(engine.SetBreaker{Limit: -1})
			f.cut(1, 9)
		}},
		"the limit is higher": {agents: 10, when: func(f *fleet) {
			f.step(engine.SetBreaker{Limit: 50})
			f.cut(1, 5)
		}},
		"the window is shorter": {agents: 10, when: func(f *fleet) {
			f.step(engine.SetBreaker{Window: 5 * time.Second})
			f.cut(1, 2)
			f.pass(6 * time.Second)
			f.cut(3, 4)
		}},
		"the limit is raised while it is open": {agents: 10, when: func(f *fleet) {
			f.cut(1, 4)
			f.step(engine.SetBreaker{Limit: 40})
			f.pass(0)
		}},
		"an operator drains who is missing": {agents: 10, when: func(f *fleet) {
			f.cut(1, 4)
			f.step(engine.DrainAgent{Agent: "a1"})
			f.step(engine.DrainAgent{Agent: "a2"})
			f.pass(0)
		}},
		"it was released, and no other fell silent": {agents: 10, when: func(f *fleet) {
			f.cut(1, 4)
			f.step(engine.ReleaseBreaker{})
			f.pass(time.Second)
			f.cut(5, 5)
		}},
		"it was released, and others fell silent": {agents: 10, open: true, when: func(f *fleet) {
			f.cut(1, 4)
			f.step(engine.ReleaseBreaker{})
			f.pass(time.Second)
			f.cut(5, 6)
		}},
		"it was released, and they came back and fell silent again": {agents: 10, open: true, when: func(f *fleet) {
			f.cut(1, 4)
			f.step(engine.ReleaseBreaker{})
			f.pass(time.Second)
			f.connect(1, 4)
			f.cut(1, 4)
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, test.agents)

			test.when(f)

			if open := f.Breaker().Open(); open != test.open {
				t.Errorf("open: %t, want %t", open, test.open)
			}
		})
	}
}

// Agents that a new leader awaits and that do not come back fall silent
// together, though each session broke when the leader before died.
func TestBreakerOfANewLeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		back int
		open bool
	}{
		"all come back": {back: 10}, "most come back": {back: 7}, "too few come back": {back: 6, open: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 10)
			next := &fleet{TB: t, Engine: engine.New(engine.Config{Epoch: 2}), now: f.now.Add(time.Second)}
			if err := next.Load(f.Records()); err != nil {
				t.Fatal(err)
			}

			next.pass(0)
			next.connect(1, test.back)
			next.pass(time.Minute)

			if open := next.Breaker().Open(); open != test.open {
				t.Errorf("open: %t, want %t", open, test.open)
			}
		})
	}
}

// A new leader gives up nobody who was silent before it knows whether those come whom it
// awaits: with them it may be too many.
func TestNewLeaderDoubtsItself(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		back int
		lost bool
	}{
		"too few come back": {back: 2}, "all come back": {back: 4, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for i := range 5 {
				w.addAgent(agentNumber(i+1), 2)
			}
			w.deploy(web("s1", "ok", 5, givenUpAfter(6*time.Second)))
			w.pass(time.Minute)
			w.cut("a1")
			w.pass(4500 * time.Millisecond)
			for i := range 4 {
				w.cutOff(agentNumber(i + 2)) // and the leader before never notices
			}

			w.lead()
			for i := range test.back {
				w.connect(agentNumber(i + 2))
			}
			w.pass(6 * time.Second) // a1 is silent for 6 s before those are that do not come

			gone := strings.Contains(w.story.String(), "agent a1 has been silent for")
			if gone != test.lost || w.engine.Breaker().Open() == test.lost {
				t.Errorf("its tasks were given up: %t, want %t; the breaker is open: %t\n%s", gone, test.lost, w.engine.Breaker().Open(), w.story.String())
			}
		})
	}
}

func TestBreakerIsRefused(t *testing.T) {
	t.Parallel()
	for event, want := range map[engine.SetBreaker]string{
		{Limit: 100}:                       "a limit of 100 %, want 1 to 99, or off",
		{Window: time.Millisecond}:         "a window of 1ms, want 1s to 1h0m0s",
		{Window: -time.Second}:             "a window of -1s, want 1s to 1h0m0s",
		{Limit: 10, Window: 2 * time.Hour}: "a window of 2h0m0s, want 1s to 1h0m0s",
	} {
		f := newFleet(t, 1)

		_, err := f.Step(event, f.now)

		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", event, err, want)
		}
	}
}

// Whatever agents and operators do, the breaker is open exactly when an obvious
// count says so.
func TestBreakerLaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		o := &oracle{agents: make(map[id.Agent]*counted)}
		for i := range rapid.IntRange(1, 12).Draw(t, "agents") {
			name := agentNumber(i + 1)
			w.addAgent(name, 2)
			o.agents[name] = &counted{}
		}
		w.deploy(web("s1", "ok", rapid.IntRange(1, 8).Draw(t, "instances")))
		one := func(t *rapid.T) (id.Agent, *counted) {
			name := pick(t, "agent", slices.Sorted(maps.Keys(o.agents))...)
			return name, o.agents[name]
		}

		t.Repeat(map[string]func(*rapid.T){
			"cut": func(t *rapid.T) {
				if name, a := one(t); a.silent.IsZero() {
					a.silent = w.now
					w.cut(name)
					o.fell(w.now, a)
				}
			},
			"connect": func(t *rapid.T) {
				name, a := one(t)
				a.silent = time.Time{}
				w.connect(name)
			},
			"drain": func(t *rapid.T) {
				name, a := one(t)
				a.drained = true
				w.ask(engine.DrainAgent{Agent: name, Force: true})
			},
			"undrain": func(t *rapid.T) {
				name, a := one(t)
				a.drained = false
				w.ask(engine.UndrainAgent{Agent: name})
			},
			"release": func(*rapid.T) {
				w.ask(engine.ReleaseBreaker{})
				if o.open {
					o.open, o.released = false, w.now
				}
			},
			"lead": func(*rapid.T) { w.lead() },
			"pass": func(t *rapid.T) { w.pass(time.Duration(rapid.IntRange(1, 40).Draw(t, "s")) * time.Second) },
			"": func(t *rapid.T) {
				o.tend()
				if state := w.engine.Breaker(); state.Open() != o.open {
					t.Fatalf("open: %t, want %t; %d of %d missed\n%s", state.Open(), o.open, len(state.Missed), state.Agents, w.story.String())
				}
			},
		})
	})
}

// oracle counts silent agents in the obvious way.
type oracle struct {
	agents   map[id.Agent]*counted
	open     bool
	from     time.Time
	released time.Time
}

type counted struct {
	silent  time.Time
	drained bool
}

func (o *oracle) trips(from time.Time) bool {
	there, missed := 0.0, 0.0
	for _, a := range o.agents {
		switch {
		case a.drained:
		case a.silent.IsZero():
			there++
		case !a.silent.Before(from) && a.silent.After(o.released):
			missed++
		}
	}
	return missed >= 2 && missed/(there+missed) > 0.3
}

func (o *oracle) fell(now time.Time, a *counted) {
	if from := now.Add(-30 * time.Second); !o.open && !a.drained && o.trips(from) {
		o.open, o.from = true, from
	}
}

func (o *oracle) tend() { o.open = o.open && o.trips(o.from) }

// watchFrozen fails if a task is given up for its agent's silence while the
// breaker is open.
func (w *world) watchFrozen(after *engine.Task) {
	w.Helper()
	if after.Status.State == task.Lost && strings.Contains(after.Status.Reason, "has been silent") && w.engine.Breaker().Open() {
		w.Fatalf("%s is given up while the breaker is open\n%s", after.ID, w.story.String())
	}
}

// watchSpared fails if an unhealthy instance is stopped for that while the
// breaker, of its service or of all, is open.
func (w *world) watchSpared(before, after *engine.Task) {
	w.Helper()
	s := w.engine.Service(after.Service)
	open := w.engine.Breaker().Open() || s != nil && s.Breaker.Open()
	if open && before.Status.State.Live() && !after.Status.State.Live() && strings.Contains(after.Status.Reason, "not alive") {
		w.Fatalf("%s is stopped while the breaker is open: %s\n%s", after.ID, after.Status.Reason, w.story.String())
	}
}

// The breaker of a service opens when more than 30 % of its instances, and at
// least 2, turn unhealthy together. While it is closed those that do are replaced.
func TestServiceBreakerBySize(t *testing.T) {
	t.Parallel()
	for instances, most := range map[int]int{1: 1, 2: 1, 3: 1, 6: 1, 7: 2, 10: 3} {
		for _, sick := range []int{most, min(most+1, instances)} {
			t.Run(fmt.Sprintf("%d of %d", sick, instances), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.addAgent("a1", 64)
				w.deploy(web("hello", "ok", instances))
				w.pass(10 * time.Second)
				var names []id.Task
				for i := range sick {
					names = append(names, id.Task(fmt.Sprintf("hello-1-%d", i+1)))
				}

				w.sicken(names...)
				opened := w.engine.Service("hello").Breaker.Open()
				w.pass(10 * time.Minute)

				if opened != (sick > most) {
					t.Errorf("it opened: %t", opened)
				}
				replaced := w.engine.Task("hello-1-1").Status.State.Ended()
				if w.good("hello") != instances || replaced == opened {
					t.Errorf("%d are good after a while, the first is replaced: %t\n%s", w.good("hello"), replaced, w.story.String())
				}
			})
		}
	}
}

// An unhealthy instance of a service whose breaker is open is left alone; it is
// replaced after a release, and the breaker does not open for it again.
func TestServiceBreakerIsReleased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addAgent("a1", 64)
	w.deploy(web("hello", "ok", 4))
	w.pass(10 * time.Second)
	w.sicken("hello-1-1", "hello-1-2", "hello-1-3")
	w.pass(time.Hour)
	w.lead()
	w.pass(time.Hour)
	if state := w.engine.Breaker(); len(state.Services) != 1 || len(state.Services[0].Unhealthy) != 3 || state.Services[0].Instances != 4 {
		t.Fatalf("the breaker is %+v", state)
	}
	if w.engine.Task("hello-1-1").Status.State != task.Ready {
		t.Fatalf("%s\n%s", w.status("hello"), w.story.String())
	}

	if _, err := w.try(engine.ReleaseBreaker{Service: "nope"}); err == nil {
		t.Error("the breaker of an unknown service was released")
	}
	w.ask(engine.ReleaseBreaker{Service: "hello"})
	w.pass(time.Minute)

	for _, name := range []id.Task{"hello-1-1", "hello-1-2", "hello-1-3"} {
		if !w.engine.Task(name).Status.State.Ended() {
			t.Errorf("%s was not replaced", name)
		}
	}
	if w.engine.Service("hello").Breaker.Open() || w.good("hello") != 4 {
		t.Errorf("open: %t, good: %d", w.engine.Service("hello").Breaker.Open(), w.good("hello"))
	}
}

// While the breaker over agents is open, no unhealthy instance is replaced.
func TestUnhealthyWhileAgentsAreMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 5 {
		w.addAgent(agentNumber(i+1), 8)
	}
	w.deploy(web("hello", "ok", 5))
	w.pass(10 * time.Second)
	w.cut("a1")
	w.cut("a2")

	w.sicken("hello-1-5")
	w.pass(time.Hour)
	spared := w.engine.Task("hello-1-5").Status.State
	w.connect("a1")
	w.pass(time.Minute)

	if after := w.engine.Task("hello-1-5").Status.State; spared != task.Ready || !after.Ended() {
		t.Errorf("while it is open it is %s, afterwards %s\n%s", spared, after, w.story.String())
	}
}
