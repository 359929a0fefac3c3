package engine_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
)

// machine is an agent as the master sees it.
type machine struct {
	agent     ledger.Agent
	boot      string
	connected bool
	leaving   bool
	epoch     uint64    // of the leader that it has a session with
	last      time.Time // when it was last connected
	missed    time.Time // when the leader that it had a session with notices that it is gone; zero: it has
	tasks     map[id.Task]*program
}

// addAgent starts an agent with some cpus, the same number of GiB, and ports.
func (w *world) addAgent(name id.Agent, cpus int64, attributes ...string) {
	a := ledger.Agent{ID: name, Attributes: map[string]string{}, Partitions: partitionsOf(w, cpus)}
	for _, attribute := range attributes {
		key, value, _ := strings.Cut(attribute, "=")
		a.Attributes[key] = value
	}
	w.bootMachine(a)
}

// fataler is a test, or the world of one.
type fataler interface {
	Fatalf(format string, args ...any)
}

// partitionsOf returns so many cpus, the same number of GiB, and ports.
func partitionsOf(tb fataler, cpus int64) []ledger.Partition {
	ports, err := resource.RangesOf(resource.Range{First: 20000, Last: 29999})
	if err != nil {
		tb.Fatalf("ports: %v", err)
	}
	return []ledger.Partition{
		{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(cpus * 1000), Weight: ledger.WeightOne},
		{ID: "mem", Type: resource.Mem, Quantity: resource.Scalar(cpus << 30), Weight: ledger.WeightOne},
		{ID: "ports", Type: resource.Ports, Quantity: ports, Weight: ledger.WeightOne},
	}
}

func (w *world) bootMachine(a ledger.Agent) {
	w.Helper()
	w.machines[a.ID] = &machine{agent: a, boot: "boot-1", tasks: make(map[id.Task]*program)}
	w.connect(a.ID)
}

// connect opens an agent's session.
func (w *world) connect(name id.Agent) {
	w.Helper()
	m := w.machines[name]
	m.connected = true
	w.join(m)
	w.commit()
}

// heard reports whether the agent has a session with the leader.
func (m *machine) heard(w *world) bool { return m.connected && m.epoch == w.epoch }

func (w *world) join(m *machine) {
	w.Helper()
	m.epoch, m.missed = w.epoch, time.Time{}
	joined := engine.AgentJoined{Agent: m.agent, Leaving: m.leaving, BootID: m.boot, Hostname: "host-" + string(m.agent.ID), Address: "10.0.0.1"}
	for _, name := range slices.Sorted(maps.Keys(m.tasks)) {
		joined.Tasks = append(joined.Tasks, engine.Report{Task: name, Status: m.tasks[name].status})
	}
	w.step(joined)
	w.order(m.agent.ID)
}

// cut breaks an agent's session. Its tasks run on.
func (w *world) cut(name id.Agent) {
	w.Helper()
	w.machines[name].connected, w.machines[name].last = false, w.now
	w.step(engine.AgentSilent{Agent: name})
	w.publish(w.engine.Take(w.now)) // never lost with its leader: the next one would have to wait first
}

// cutOff cuts an agent off in a way that its leader only notices three seconds
// later. Its tasks run on.
func (w *world) cutOff(name id.Agent) {
	m := w.machines[name]
	m.connected, m.last, m.missed = false, w.now, w.now.Add(3*time.Second)
}

// notice has the leader notice that an agent is cut off. One that came later has
// no session with it to miss.
func (m *machine) notice(w *world) {
	w.Helper()
	if m.missed.IsZero() || m.missed.After(w.now) {
		return
	}
	m.missed = time.Time{}
	if m.epoch == w.epoch {
		w.step(engine.AgentSilent{Agent: m.agent.ID, Heard: m.last})
	}
}

// reboot ends all tasks of an agent that is cut off.
func (w *world) reboot(name id.Agent) {
	m := w.machines[name]
	m.boot += "+"
	clear(m.tasks)
}

// order tells an agent what to run and stop.
func (w *world) order(name id.Agent) {
	w.Helper()
	m := w.machines[name]
	if m == nil || !m.heard(w) {
		return
	}
	run, stop := w.engine.Desired(name)
	for _, t := range run {
		if w.durable[t.Key()] != nil && m.tasks[t.ID] == nil && t.Status.State == task.Assigned {
			m.tasks[t.ID] = newProgram(w, t)
		}
	}
	for _, t := range stop {
		if p := m.tasks[t.ID]; p != nil {
			p.stop(w.now)
		} else if w.durable[t.Key()] != nil {
			m.tasks[t.ID] = &program{status: task.Status{State: task.Stopped, Since: w.now, Attempt: t.Status.Attempt}, told: false}
		}
	}
	for _, stray := range w.engine.Strays(name) {
		if p := m.tasks[stray]; p != nil {
			p.stop(w.now)
		}
	}
}

func (m *machine) happen(w *world) {
	w.Helper()
	m.notice(w)
	var reports []engine.Report
	for _, name := range slices.Sorted(maps.Keys(m.tasks)) {
		p := m.tasks[name]
		p.happen(w.now)
		if !p.told && m.connected {
			p.told = true
			reports = append(reports, engine.Report{Task: name, Status: p.status})
		}
	}
	if len(reports) > 0 {
		w.step(engine.AgentReported{Agent: m.agent.ID, Tasks: reports})
	}
}

// program is a task on a machine. What it does is named by its command: ok is
// ready 100 ms after its start, never runs and is not ready, exit ends with code
// 1, work ends well after a second, fail ends badly after one, long runs on.
type program struct {
	status   task.Status
	does     string
	again    bool
	next     time.Time
	told     bool
	stopping bool
}

func newProgram(w *world, t *engine.Task) *program {
	r := w.engine.Revision(t.Service, t.Revision)
	return &program{
		status: task.Status{State: task.Assigned, Since: w.now, Attempt: t.Status.Attempt}, does: r.Spec.Run.Command[0],
		again: !r.Spec.RunsToCompletion(), next: w.now.Add(10 * time.Millisecond),
	}
}

func (p *program) stop(now time.Time) {
	if p.stopping || p.status.State.Ended() {
		return
	}
	p.stopping = true
	p.move(task.Stop{At: now})
	p.next = now.Add(200 * time.Millisecond)
}

func (p *program) move(event task.Event) {
	next, err := task.Step(p.status, event)
	if err != nil {
		panic(err)
	}
	p.status, p.told = next, false
}

// happen does what is due.
func (p *program) happen(now time.Time) {
	for !p.next.IsZero() && !p.next.After(now) {
		p.advance(p.next)
	}
}

func (p *program) advance(at time.Time) {
	p.next = time.Time{}
	switch p.status.State {
	case task.Assigned, task.Backoff:
		p.move(task.Accept{At: at, Attempt: p.status.Attempt + 1})
		p.next = at.Add(10 * time.Millisecond)
	case task.Starting:
		p.move(task.Start{At: at})
		if p.does != "never" {
			p.next = at.Add(map[string]time.Duration{"ok": 100 * time.Millisecond, "exit": 20 * time.Millisecond}[p.does] + time.Millisecond)
		}
	case task.Running:
		if p.does == "exit" {
			p.end(at, task.Exit{Code: 1, At: at, LastLogs: []string{"starting", "no such file"}})
			return
		}
		p.move(task.BecomeReady{At: at})
		if p.does == "work" || p.does == "fail" {
			p.next = at.Add(time.Second)
		}
	case task.Ready:
		code := 0
		if p.does == "fail" {
			code = 3
		}
		p.end(at, task.Exit{Code: code, At: at})
	case task.Stopping:
		p.end(at, task.Exit{Signal: 15, At: at})
	default:
	}
}

func (p *program) end(at time.Time, exit task.Exit) {
	p.move(task.End{At: at, Exit: &exit, Completes: !p.again, Again: p.again})
	p.next = p.status.RetryAt
}

// kill ends a task's program at once.
func (w *world) kill(name id.Task) {
	w.Helper()
	for _, m := range w.machines {
		if p := m.tasks[name]; p != nil {
			p.end(w.now, task.Exit{Signal: 9, At: w.now})
		}
	}
	w.happen()
}

// unready has a task's probe fail.
func (w *world) unready(name id.Task, reason string) {
	w.Helper()
	for _, m := range w.machines {
		if p := m.tasks[name]; p != nil {
			p.move(task.BecomeUnready{At: w.now, Reason: reason})
		}
	}
	w.happen()
}

// sicken has a task's program be no longer alive, or alive again.
func (w *world) sicken(names ...id.Task) {
	w.Helper()
	for _, m := range w.machines {
		for _, name := range names {
			p := m.tasks[name]
			switch {
			case p == nil:
			case p.status.IsUnhealthy():
				p.move(task.BecomeHealthy{At: w.now})
			default:
				p.move(task.BecomeUnhealthy{At: w.now, Reason: "not alive: hung"})
			}
		}
	}
	w.happen()
}
