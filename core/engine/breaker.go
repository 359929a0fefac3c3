package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/resource"
)

// What a cluster's breaker is like until an operator sets it.
const (
	BreakerLimit  = 30               // percent of the agents
	BreakerWindow = 30 * time.Second // within which they fall silent
)

// The bounds of what an operator may set.
const (
	breakerLimitMax  = 99 // more than all agents can never be silent
	breakerWindowMin = time.Second
	breakerWindowMax = time.Hour
)

// breakerLeast is how few may fail together without a doubt about who looks at
// them: one machine of a small cluster, or one instance of a small service, may.
const breakerLeast = 2

// Breaker is what leaders remember of the breaker. When too many agents fall
// silent together, it is rather the observer that fails: while the breaker is
// open, no task is given up because its agent is silent, and none is replaced
// because it is unhealthy.
type Breaker struct {
	Limit     int           // percent; 0: BreakerLimit; below 0: it never opens
	Window    time.Duration // 0: BreakerWindow
	OpenSince time.Time     // zero while it is closed
	From      time.Time     // while it is open: agents that were silent before do not count
	Released  time.Time     // an operator ended it then: agents that were silent already do not count any more
}

// Open reports whether the breaker is open.
func (b Breaker) Open() bool { return !b.OpenSince.IsZero() }

// Settings returns the limit in percent, below 0 when it is off, and the window.
func (b Breaker) Settings() (limit int, window time.Duration) {
	return cmp.Or(b.Limit, BreakerLimit), cmp.Or(b.Window, BreakerWindow)
}

// counts reports whether a silent agent is missed: one that is drained has left
// on purpose.
func (b Breaker) counts(a *Agent, from time.Time) bool {
	return !a.SilentSince.IsZero() && !a.Draining && !a.SilentSince.Before(from) && a.SilentSince.After(b.Released)
}

// Misses reports whether the breaker, while it is open, misses an agent.
func (b Breaker) Misses(a *Agent) bool { return b.Open() && b.counts(a, b.From) }

// trips reports whether so many of all, agents or instances of a service, are too
// many.
func (b Breaker) trips(missed, all int) bool {
	limit, _ := b.Settings()
	return limit > 0 && missed >= breakerLeast && missed*100 > limit*all
}

// breaker returns the breaker as the record of the cluster has it.
func (e *Engine) breaker() Breaker {
	if e.cluster == nil {
		return Breaker{}
	}
	return e.cluster.Breaker
}

// frozen reports whether no task may be given up because its agent is silent.
func (e *Engine) frozen() bool { return e.breaker().Open() }

// doubtFor is how long a new leader waits, again and again, that does not know yet
// whether the breaker has to open.
const doubtFor = time.Second

// doubts reports whether the breaker will open if those agents that a new leader awaits do
// not come: until then one that was silent before is not given up, for this leader may be
// the one that hears nobody.
func (e *Engine) doubts() bool {
	if !e.now.Before(e.began.Add(e.returnWithin())) {
		e.doubt = false
		return false
	}
	if e.doubtAt.Equal(e.now) {
		return e.doubt
	}
	e.doubtAt = e.now
	awaited := 0
	for _, m := range e.agents {
		if m.awaited && !m.record.Draining {
			awaited++
		}
	}
	b := e.breaker()
	missed, all := e.countMissed(e.began.Add(-window(b)))
	e.doubt = awaited > 0 && b.trips(missed+awaited, all)
	return e.doubt
}

// tendBreaker opens the breaker when too many agents fell silent together, and
// closes it once that is no longer so. It looks only when an agent fell silent,
// or when the breaker is open: what has been silent for a while opens nothing.
func (e *Engine) tendBreaker() {
	fell := e.fell
	e.fell, e.doubtAt = false, time.Time{}
	if e.doubt && !e.doubts() {
		e.touchSilent() // those that were awaited have come
	}
	b := e.breaker()
	switch {
	case b.Open():
		if missed, all := e.countMissed(b.From); !b.trips(missed, all) {
			text := fmt.Sprintf("%s missing; what is still silent is given up in its time from now", countOf(missed, all))
			e.closeBreaker(func(c *Cluster) { c.Regained = e.now })
			e.note(Note{Kind: BreakerClosed, Text: text})
		}
	case fell:
		from := e.newestSilence().Add(-window(b))
		if count, all := e.countMissed(from); b.trips(count, all) {
			missed, _ := e.missed(from)
			e.putCluster(func(c *Cluster) { c.Breaker.OpenSince, c.Breaker.From = e.now, from })
			e.touchUnhealthy()
			e.note(Note{Kind: BreakerOpened, Text: fmt.Sprintf("%s fell silent within %v: %s; nothing is replaced for that, or for being unhealthy",
				countOf(count, all), window(b), nameAgents(missed))})
		}
	}
}

func window(b Breaker) time.Duration {
	_, window := b.Settings()
	return window
}

// newestSilence returns when the agent was last heard of that fell silent last,
// of those that have not left on purpose.
func (e *Engine) newestSilence() time.Time {
	var newest time.Time
	for _, m := range e.agents {
		if m.record.SilentSince.After(newest) && !m.record.Draining {
			newest = m.record.SilentSince
		}
	}
	return newest
}

// countMissed returns how many missed does, in less time.
func (e *Engine) countMissed(from time.Time) (missed, all int) {
	return e.eachMissed(from, func(*Agent) {})
}

// missed returns the agents that are missed, of those silent since then, and the
// number of these and all that are in a session or awaited. What drains counts
// on neither side.
func (e *Engine) missed(from time.Time) (missed []*Agent, all int) {
	_, all = e.eachMissed(from, func(a *Agent) { missed = append(missed, a) })
	slices.SortFunc(missed, func(x, y *Agent) int {
		return cmp.Or(x.SilentSince.Compare(y.SilentSince), cmp.Compare(x.ID, y.ID))
	})
	return missed, all
}

// eachMissed visits those that are missed, in no order, and counts as missed does.
func (e *Engine) eachMissed(from time.Time, visit func(*Agent)) (missed, all int) {
	b := e.breaker()
	for _, m := range e.agents {
		switch {
		case b.counts(m.record, from):
			missed++
			visit(m.record)
		case !m.silent() && !m.record.Draining:
			all++
		}
	}
	return missed, all + missed
}

// closeBreaker closes the breaker, and has planned anew what it held back.
func (e *Engine) closeBreaker(change func(*Cluster)) {
	e.putCluster(func(c *Cluster) {
		c.Breaker.OpenSince, c.Breaker.From = time.Time{}, time.Time{}
		change(c)
	})
	e.touchSilent()
	e.touchUnhealthy()
}

// touchSilent has every service planned that has tasks on a silent agent.
func (e *Engine) touchSilent() {
	for _, m := range e.agents {
		if !m.silent() {
			continue
		}
		for t := range m.tasks {
			e.touch(t.owner)
		}
	}
}

func (v ReleaseBreaker) fold(e *Engine) (Answer, error) {
	if v.Service != "" {
		s := e.services[v.Service]
		if s == nil {
			return Answer{}, unknown("service", v.Service)
		}
		return Answer{Changed: e.releaseService(s)}, nil
	}
	released := false
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		released = e.releaseService(e.services[name]) || released
	}
	if !e.frozen() {
		return Answer{Changed: released}, nil
	}
	missed, all := e.missed(e.breaker().From)
	e.closeBreaker(func(c *Cluster) { c.Breaker.Released = e.now })
	e.note(Note{Kind: BreakerReleased, Text: "by an operator, with " + countOf(len(missed), all) + " missing; their tasks are given up in their time"})
	return Answer{Changed: true}, nil
}

func (v SetBreaker) fold(e *Engine) (Answer, error) {
	switch {
	case v.Limit > breakerLimitMax:
		return Answer{}, invalid("a limit of %d %%, want 1 to %d, or off", v.Limit, breakerLimitMax)
	case v.Window != 0 && (v.Window < breakerWindowMin || v.Window > breakerWindowMax):
		return Answer{}, invalid("a window of %v, want %v to %v", v.Window, breakerWindowMin, breakerWindowMax)
	}
	next := e.breaker()
	next.Limit, next.Window = cmp.Or(max(v.Limit, -1), next.Limit), cmp.Or(v.Window, next.Window)
	if next == e.breaker() {
		return Answer{}, nil
	}
	e.putCluster(func(c *Cluster) { c.Breaker = next })
	e.touchUnhealthy()
	e.note(Note{Kind: BreakerSet, Text: next.String()})
	return Answer{Changed: true}, nil
}

// String says in words when the breaker opens.
func (b Breaker) String() string {
	limit, window := b.Settings()
	if limit < 0 {
		return "it never opens"
	}
	return fmt.Sprintf("it opens when more than %d %% of the agents, and at least %d, fall silent within %v; for a service, when so many of its instances turn unhealthy", limit, breakerLeast, window)
}

// BreakerState is the breaker with the agents that it misses.
type BreakerState struct {
	Breaker
	Missed   []*Agent      // by how long they are silent; none while it is closed
	Agents   int           // those that are missed and those in a session, but for what drains
	Services []SickService // whose own breakers are open, by name
}

// Breaker returns how the breaker stands.
func (e *Engine) Breaker() BreakerState {
	state := BreakerState{Breaker: e.breaker()}
	from := state.From
	if !state.Open() {
		from = e.now.Add(1) // none
	}
	state.Missed, state.Agents = e.missed(from)
	for _, name := range slices.Sorted(maps.Keys(e.services)) {
		if s := e.services[name]; s.record.Breaker.Open() {
			sick := SickService{ServiceBreaker: s.record.Breaker, Service: name}
			sick.Unhealthy, sick.Instances = s.sick(s.record.Breaker.From)
			state.Services = append(state.Services, sick)
		}
	}
	return state
}

func countOf(n, all int) string { return fmt.Sprintf("%d of %s", n, resource.Count(all, "agent")) }

// nameAgents lists agents, at most so many that a line stays readable.
func nameAgents(list []*Agent) string {
	const most = 5
	names := make([]string, 0, most)
	for _, a := range list[:min(len(list), most)] {
		names = append(names, string(a.ID))
	}
	text := strings.Join(names, ", ")
	if more := len(list) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
