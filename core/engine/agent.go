package engine

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// machine is what the engine knows of an agent.
type machine struct {
	record  *Agent
	awaited bool                 // loaded as connected, and not back yet
	waited  time.Time            // when it was at the door of this leader last; zero: never
	tasks   map[*entry]struct{}  // those that hold a claim on it
	strays  map[id.Task]struct{} // what it runs and should not
	daemons map[id.Service]fit   // whether it suits a daemon, as far as that is known
	lost    map[id.Task]*service // given up while it was silent; it may still run them
	loaded  []*entry             // those that hold a claim on it, while Load is under way
}

func newMachine() *machine {
	return &machine{
		tasks: make(map[*entry]struct{}), strays: make(map[id.Task]struct{}), lost: make(map[id.Task]*service),
		daemons: make(map[id.Service]fit),
	}
}

func (m *machine) silent() bool { return !m.record.SilentSince.IsZero() }

// left reports whether the agent has gone on purpose, with nothing left behind.
func (m *machine) left() bool { return m.silent() && m.record.Leaving && len(m.tasks) == 0 }

// closed reports whether the agent may take no new claims: because it shall be
// empty, cannot be told, or runs what the books do not know.
func (m *machine) closed() bool {
	return m.record.Draining || m.silent() || len(m.strays) > 0 || m.awaited && len(m.lost) > 0
}

// putAgent replaces an agent's record by a changed copy, and keeps the books'
// word on whether it takes claims.
func (e *Engine) putAgent(m *machine, change func(*Agent)) {
	e.markAgent(m, change)
	for t := range m.tasks {
		e.touch(t.owner)
	}
}

// markAgent is putAgent for what no service has to be planned for.
func (e *Engine) markAgent(m *machine, change func(*Agent)) {
	next := *m.record
	change(&next)
	m.record = &next
	e.listSilent(m)
	e.closeAsNeeded(m)
	e.batch.put(m.record.Key(), m.record)
}

// listSilent keeps account of whether an agent is silent.
func (e *Engine) listSilent(m *machine) {
	if m.silent() {
		e.silent[m.record.ID] = struct{}{}
	} else {
		delete(e.silent, m.record.ID)
	}
}

// closeAsNeeded opens or closes an agent in the books.
func (e *Engine) closeAsNeeded(m *machine) {
	closed := m.closed()
	if closed == m.record.Closed {
		return
	}
	next := *m.record
	next.Closed = closed
	m.record = &next
	var err error
	if closed {
		err = e.books.CloseAgent(next.ID)
	} else {
		err = e.books.OpenAgent(next.ID)
		e.roomGrew()
	}
	if err != nil {
		panic(fmt.Sprintf("engine: agent %s is not in the books: %v", next.ID, err))
	}
	e.batch.put(next.Key(), &next)
	e.touchDaemons()
}

func (v AgentJoined) fold(e *Engine) (Answer, error) {
	if strings.ContainsAny(v.Address, "[]/ \t\r\n") { // routers refuse a whole table for one such endpoint
		return Answer{}, invalid("agent %s: address %q: want a host name or an IP address", v.Agent.ID, v.Address)
	}
	m := e.agents[v.Agent.ID]
	if m != nil && m.isAs(v) {
		e.goOn(m, v)
		return Answer{Changed: true}, nil
	}
	record := &Agent{Agent: v.Agent}
	if m != nil {
		copied := *m.record
		record = &copied
	}
	record.Attributes, record.Partitions = maps.Clone(v.Agent.Attributes), slices.Clone(v.Agent.Partitions)
	record.Hostname, record.Version, record.Address = v.Hostname, v.Version, cmp.Or(v.Address, "127.0.0.1")
	record.Closed = false // until it is known what it brings
	undrained := record.Leaving && !v.Leaving
	if undrained {
		record.stay()
	}
	if v.Leaving && !record.Draining {
		record.Draining, record.Leaving = true, true
	}
	if err := e.books.SetAgent(record.Agent); err != nil {
		if errors.Is(err, ledger.ErrInUse) {
			return Answer{}, fmt.Errorf("%w: %w", ErrConflict, err)
		}
		return Answer{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	e.countTotals()
	if view, ok := e.books.Agent(record.ID); ok {
		record.Partitions = view.Agent().Partitions // with those that are gone and still claimed
	}
	silent, rebooted, alone := false, false, !e.connected()
	if m == nil {
		m = newMachine()
		e.agents[record.ID] = m
		e.note(Note{Kind: AgentAppeared, Agent: record.ID, Text: record.Hostname})
	} else {
		silent, rebooted = m.silent(), m.record.BootID != v.BootID
	}
	moved := m.record != nil && m.record.Address != record.Address
	clear(m.daemons)
	record.BootID, record.JoinedAt, record.SilentSince, record.Unreachable = v.BootID, e.now, time.Time{}, false
	m.record, m.awaited = record, false
	e.returned(m, v, rebooted)
	e.markAgent(m, func(*Agent) {})
	e.seeAgain(m, silent && !moved && !undrained)
	e.timers.set(timerKey{agentTimer, string(record.ID)}, time.Time{})
	e.batch.order(record.ID)
	e.roomGrew()
	e.touchDaemons()
	if alone {
		e.regain()
	}
	if undrained {
		e.note(Note{Kind: AgentUndrained, Agent: record.ID, Text: "it is back and takes tasks again"})
	}
	if silent {
		e.note(Note{Kind: AgentReturned, Agent: record.ID, Text: resource.Count(len(v.Tasks), "task")})
	}
	return Answer{Changed: true}, nil
}

// isAs reports whether an agent that joins is as it was known, and was not missed:
// only its session is another one.
func (m *machine) isAs(v AgentJoined) bool {
	r := m.record
	return !m.silent() && r.BootID == v.BootID && r.Hostname == v.Hostname && r.Version == v.Version &&
		r.Address == cmp.Or(v.Address, "127.0.0.1") && maps.Equal(r.Attributes, v.Agent.Attributes) &&
		samePartitions(r.Partitions, v.Agent.Partitions)
}

// samePartitions reports whether each partition of a list is in the other, and the
// other way round.
func samePartitions(a, b []ledger.Partition) bool {
	within := func(list []ledger.Partition) func(ledger.Partition) bool {
		return func(p ledger.Partition) bool {
			return slices.ContainsFunc(list, func(q ledger.Partition) bool {
				return p.ID == q.ID && p.Type == q.Type && p.Weight == q.Weight && p.Quantity.Equal(q.Quantity)
			})
		}
	}
	inA, inB := within(a), within(b)
	return len(a) == len(b) && !slices.ContainsFunc(a, func(p ledger.Partition) bool { return !inB(p) }) &&
		!slices.ContainsFunc(b, func(p ledger.Partition) bool { return !inA(p) })
}

// goOn takes up the session of an agent that was not missed. So all agents of a
// large cluster can come to a new leader at once: nothing of it must be written.
func (e *Engine) goOn(m *machine, v AgentJoined) {
	m.awaited = false
	e.returned(m, v, false)
	e.closeAsNeeded(m)
	e.timers.set(timerKey{agentTimer, string(m.record.ID)}, time.Time{})
	e.batch.order(m.record.ID)
}

// returned folds the complete report of an agent that joins.
func (e *Engine) returned(m *machine, v AgentJoined, rebooted bool) {
	named := make(map[id.Task]bool, len(v.Tasks))
	clear(m.strays)
	for _, report := range v.Tasks {
		named[report.Task] = true
		if e.takeBack(m, report, rebooted) {
			continue
		}
		if rebooted && e.perished(m, report) {
			e.lose(e.tasks[report.Task], fmt.Sprintf("agent %s was started anew", m.record.ID))
		}
		e.observe(m, report)
	}
	for name := range m.lost {
		if !named[name] {
			e.release(m, name)
		}
	}
	for _, t := range sortedEntries(m.tasks) {
		switch {
		case rebooted && !named[t.record.ID]:
			e.lose(t, fmt.Sprintf("agent %s was started anew", m.record.ID))
		case !named[t.record.ID] && t.state() != task.Assigned:
			e.lose(t, fmt.Sprintf("agent %s came back without it", m.record.ID))
		}
	}
}

// perished reports whether a task ended with the machine that it ran on. Its agent
// would start an instance again after a while, and calls a job's copy failed. One
// that it has started again already, while no leader heard of it, goes on.
func (e *Engine) perished(m *machine, report Report) bool {
	t := e.tasks[report.Task]
	if _, held := m.tasks[t]; !held || !t.state().Live() || t.state() == task.Backoff {
		return false
	}
	return report.Status.State == task.Backoff || report.Status.State == task.Failed
}

func (v AgentReported) fold(e *Engine) (Answer, error) {
	m := e.agents[v.Agent]
	if m == nil {
		return Answer{}, unknown("agent", v.Agent)
	}
	for _, report := range v.Tasks {
		e.observe(m, report)
	}
	e.closeAsNeeded(m)
	return Answer{Changed: len(v.Tasks) > 0}, nil
}

// observe folds an agent's word on one task.
func (e *Engine) observe(m *machine, report Report) {
	t := e.tasks[report.Task]
	if t == nil || t.state().Ended() || t.record.Claim.Agent != m.record.ID {
		e.disown(m, report)
		return
	}
	before := t.record.Status
	next, changed := task.Observe(before, e.inTime(before, report.Status))
	if changed {
		next = t.judgeEnd(next)
		e.become(t, next)
		e.noteHealth(t, before)
		if failedStart(before, next, t.owner.record.Kind) {
			e.noteFailure(t)
		}
	}
	if t.state().Ended() {
		e.disown(m, report)
	}
}

// inTime returns what an agent reports with no time of it still to come: the
// clock of an agent may be ahead, and what it calls ready would not have settled
// before the cluster's clock got there. What is known of the same state stays, so
// that reports of it again do not move its time.
func (e *Engine) inTime(known, reported task.Status) task.Status {
	next := reported
	if reported.Since.After(e.now) {
		next.Since = e.now
		if known.State == reported.State && known.Attempt == reported.Attempt {
			next.Since = known.Since
		}
	}
	if reported.UnhealthySince.After(e.now) {
		next.UnhealthySince = e.now
		if known.IsUnhealthy() && known.Attempt == reported.Attempt {
			next.UnhealthySince = known.UnhealthySince
		}
	}
	if reported.ReadySince.After(e.now) {
		next.ReadySince = next.Since
		if !known.ReadySince.IsZero() && known.Attempt == reported.Attempt {
			next.ReadySince = known.ReadySince
		}
	}
	return next
}

// failedStart reports whether an attempt failed by itself between two reports.
func failedStart(before, after task.Status, kind spec.Kind) bool {
	ends := kind.RunsToCompletion() // with exit code 0 if all is well; a service should not end
	return before.State.Live() && after.Last != nil && !after.Last.Equal(before.Last) && (!ends || !after.Last.Good())
}

// disown tells an agent to stop a task that it should not run, or to forget it
// once it has ended.
func (e *Engine) disown(m *machine, report Report) {
	if report.Status.State.Ended() {
		delete(m.strays, report.Task)
		e.release(m, report.Task)
		e.batch.forget = append(e.batch.forget, Ended{m.record.ID, report.Task})
		return
	}
	if _, known := m.strays[report.Task]; !known {
		m.strays[report.Task] = struct{}{}
		e.batch.order(m.record.ID)
	}
}

// release notes that an agent no longer has a task that was given up.
func (e *Engine) release(m *machine, name id.Task) {
	if s := m.lost[name]; s != nil {
		delete(m.lost, name)
		s.stray--
		e.touch(s)
	}
}

func (v AgentSilent) fold(e *Engine) (Answer, error) {
	m := e.agents[v.Agent]
	if m == nil {
		return Answer{}, unknown("agent", v.Agent)
	}
	if m.silent() {
		return Answer{Changed: true}, nil
	}
	since := v.Heard
	if since.IsZero() || since.After(e.now) {
		since = e.now
	}
	if since.Before(m.record.JoinedAt) && !m.awaited { // its joining was heard
		since = m.record.JoinedAt
	}
	e.fallSilent(m, since)
	return Answer{Changed: true}, nil
}

func (v AgentsWait) fold(e *Engine) (Answer, error) {
	if len(v.Agents) == 0 {
		return Answer{}, fmt.Errorf("%w: no agent waits", ErrInvalid)
	}
	for _, name := range v.Agents {
		if m := e.agents[name]; m != nil {
			m.waited = e.now
		}
	}
	return Answer{Changed: true}, nil
}

// fallSilent begins to count for how long nothing is heard of an agent.
func (e *Engine) fallSilent(m *machine, since time.Time) {
	m.awaited, e.fell = false, e.fell || !m.record.Draining
	e.markAgent(m, func(a *Agent) { a.SilentSince = since })
	e.sight(m)
	left := m.left()
	if left {
		e.note(Note{Kind: AgentLeft, Agent: m.record.ID, Text: "on purpose, with no tasks"})
	}
	due := since.Add(e.config.SuspectAfter)
	if !e.now.Before(due) {
		e.giveUpHope(m)
		return
	}
	e.timers.set(timerKey{agentTimer, string(m.record.ID)}, due)
	if left {
		return
	}
	e.note(Note{Kind: AgentSuspect, Agent: m.record.ID, Text: "its session broke, with " + resource.Count(len(m.tasks), "task")})
}

// giveUpHope says that a silent agent will not be back in a moment.
func (e *Engine) giveUpHope(m *machine) {
	e.markAgent(m, func(a *Agent) { a.Unreachable = true })
	if m.left() {
		return // nobody hopes
	}
	text := fmt.Sprintf("not heard of for %v, with %s", e.now.Sub(m.record.SilentSince).Round(100*time.Millisecond), resource.Count(len(m.tasks), "task"))
	e.note(Note{Kind: AgentUnreachable, Agent: m.record.ID, Text: text})
}

// lose gives up a task that holds a claim.
func (e *Engine) lose(t *entry, reason string) {
	m := e.agents[t.record.Claim.Agent]
	if m.silent() {
		m.lost[t.record.ID] = t.owner
		t.owner.stray++
	}
	e.move(t, task.Lose{At: e.now, Reason: reason})
	if m.silent() && len(m.tasks) == 0 {
		e.note(Note{Kind: AgentLost, Agent: m.record.ID, Text: "its last task was given up"})
	}
}

// awaitReturn begins to wait for the agents and routers that the leader before
// knew as connected, and goes on to wait for those that were silent already.
func (e *Engine) awaitReturn() {
	for name, m := range e.agents {
		since := m.record.SilentSince
		if m.awaited {
			since = e.began
		}
		if !m.record.Unreachable {
			e.timers.set(timerKey{agentTimer, string(name)}, since.Add(e.returnWithin()))
		}
	}
	for name, r := range e.routers {
		r.goneAt = e.began
		e.timers.set(timerKey{routerTimer, string(name)}, e.began.Add(e.config.RouterReturn))
	}
	e.restLoaded()
}

// A new leader takes in so many agents within the usual time, and each of the others
// takes it so much longer.
const (
	returnAtOnce = 1_000
	returnEach   = 500 * time.Microsecond
)

// returnWithin returns how long an agent may take to come back to a new leader. Where
// there are many, those that are late are not lost: they are still on their way.
func (e *Engine) returnWithin() time.Duration {
	return e.config.SuspectAfter + time.Duration(max(0, len(e.agents)-returnAtOnce))*returnEach
}

// wakeAgent has an agent that did not come back, to this leader or at all, be
// unreachable.
func (e *Engine) wakeAgent(name id.Agent) {
	m := e.agents[name]
	if m == nil {
		return
	}
	if due := m.waited.Add(e.config.SuspectAfter); e.now.Before(due) {
		e.timers.set(timerKey{agentTimer, string(name)}, due)
		return
	}
	switch {
	case m.awaited:
		e.fallSilent(m, e.began)
	case m.silent() && !m.record.Unreachable:
		e.giveUpHope(m)
	}
}

// connected reports whether any agent can be told to do something.
func (e *Engine) connected() bool {
	for _, m := range e.agents {
		if !m.silent() {
			return true
		}
	}
	return false
}

// regain begins to wait anew for agents that are silent, once there is one again.
func (e *Engine) regain() {
	if len(e.agents) > 1 {
		e.putCluster(func(c *Cluster) { c.Regained = e.now })
	}
	e.touchSilent()
}

// touchDaemons has every daemon planned: agents came, went, or changed.
func (e *Engine) touchDaemons() {
	for _, s := range e.daemons {
		e.touch(s)
	}
}

func sortedEntries(entries map[*entry]struct{}) []*entry {
	return slices.SortedFunc(maps.Keys(entries), func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.record.Service, b.record.Service), compareEntries(a, b))
	})
}
