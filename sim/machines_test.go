package sim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/probe"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// machine is a machine with an agent, whose programs outlive it.
type machine struct {
	caller
	address string
	cpus    int64 // thousandths
	ports   resource.Quantity
	dir     string

	mu     sync.Mutex // guards all below
	boot   int
	host   *programs     // of this boot
	agent  *agentProcess // nil while it is dead
	full   int           // disk
	wanted bool          // an agent that cannot start is tried again
}

// agentProcess is one life of an agent.
type agentProcess struct {
	kill  context.CancelFunc
	ended chan struct{}
}

// programs are what runs on a machine from one boot to the next. It is the
// runtime of its agents.
type programs struct {
	*fake.Runtime
	m    *machine
	halt context.CancelFunc
	off  chan struct{} // closed when the machine goes down

	mu   sync.Mutex // guards list
	list map[runtime.Key]*program
}

// program is one that has been started.
type program struct {
	key     runtime.Key
	service id.Service
	port    int
	readyAt time.Time // zero: never
	hangs   bool
}

// boot starts the machine.
func (m *machine) bootUp() {
	ctx, halt := context.WithCancel(context.Background())
	h := &programs{m: m, halt: halt, off: make(chan struct{}), list: make(map[runtime.Key]*program)}
	h.Runtime = fake.New(h.play)
	m.mu.Lock()
	m.boot++
	m.host = h
	m.off = h.off
	m.mu.Unlock()
	m.c.alive.Go(func() { _ = h.Run(ctx) })
}

// powerOff takes the machine with all that runs on it. Nobody is told.
func (m *machine) powerOff() {
	m.mu.Lock()
	host := m.host
	m.host = nil
	m.mu.Unlock()
	if host == nil {
		return
	}
	close(host.off)
	m.c.obs.machineDown(m.name)
	m.killAgent()
	host.halt()
}

// startAgent starts the agent, unless it runs. One whose folder cannot be used
// is started again a while later, as an init system does.
func (m *machine) startAgent() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = true
	if m.agent != nil || m.host == nil {
		return
	}
	a, err := agent.New(agent.Config{
		ID: id.Agent(m.name), BootID: strconv.Itoa(m.boot), Hostname: m.name, Version: "sim", Address: m.address,
		Attributes: map[string]string{"zone": "z" + m.name[len(m.name)-1:]}, DataDir: m.dir, Probe: m.probe,
		Partitions: []ledger.Partition{
			{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(m.cpus), Weight: 1000},
			{ID: "mem", Type: resource.Mem, Quantity: resource.Scalar(1 << 40), Weight: 1000},
			{ID: "ports", Type: resource.Ports, Quantity: m.ports, Weight: 1000},
		},
	}, &m.caller, m.host, nil)
	if err != nil {
		panic(err) // the config is always a good one
	}
	ctx, kill := context.WithCancel(context.Background())
	p := &agentProcess{kill: kill, ended: make(chan struct{})}
	m.agent = p
	m.c.alive.Go(func() {
		defer close(p.ended)
		err := a.Run(ctx)
		m.mu.Lock()
		m.agent = nil
		again := m.wanted && ctx.Err() == nil
		m.mu.Unlock()
		if again {
			m.c.obs.tell("agent %s could not go on: %v", m.name, err)
			m.c.later(time.Second, m.startAgent)
		}
	})
}

// killAgent ends the agent, and not its programs.
func (m *machine) killAgent() {
	m.mu.Lock()
	p := m.agent
	m.wanted = false
	m.mu.Unlock()
	if p != nil {
		p.kill()
		<-p.ended
	}
}

// fillDisk keeps the agent from its tasks' files, until emptyDisk.
func (m *machine) fillDisk() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full++; m.full > 1 {
		return nil
	}
	tasks := filepath.Join(m.dir, "tasks")
	err := os.Rename(tasks, tasks+".aside")
	return errors.Join(err, os.WriteFile(tasks, nil, 0o600))
}

func (m *machine) emptyDisk() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full--; m.full > 0 {
		return nil
	}
	tasks := filepath.Join(m.dir, "tasks")
	return errors.Join(os.Remove(tasks), os.Rename(tasks+".aside", tasks))
}

// hosts returns what runs since the last boot; nil while the machine is down.
func (m *machine) hosts() *programs {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.host
}

// play is the script of the programs: BEHAVES in their environment says what
// they do.
func (h *programs) play(launch runtime.Launch) fake.Play {
	kind, detail, _ := strings.Cut(launch.Env["BEHAVES"], ":")
	after, _ := time.ParseDuration(detail) // "" is at once
	port, _ := strconv.Atoi(launch.Env["PORT_HTTP"])
	p := &program{key: launch.Key, service: id.Service(launch.Env["ALOFT_SERVICE"]), port: port, readyAt: time.Now().Add(200 * time.Millisecond)}
	play := fake.Play{Obeys: 100 * time.Millisecond}
	switch kind {
	case "slow":
		p.readyAt = time.Now().Add(after)
	case "never":
		p.readyAt = time.Time{}
	case "exits", "dies":
		play.Lives, play.Exit = max(after, time.Millisecond), runtime.Exit{Code: 1}
		h.m.c.later(play.Lives, func() { h.m.c.obs.died(p.service) })
	case "works":
		play.Lives = max(after, time.Millisecond)
	case "stubborn":
		play.Obeys = -1
	case "hangs":
		h.m.c.later(after, func() { h.hang(p) })
	}
	h.mu.Lock()
	h.list[launch.Key] = p
	h.mu.Unlock()
	return play
}

func (h *programs) hang(p *program) {
	h.mu.Lock()
	p.hangs = true
	h.mu.Unlock()
	h.m.c.obs.died(p.service) // without mu: the laws ask what runs
}

func (h *programs) isHung(p *program) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return p.hangs
}

// Start is told to the laws before it happens.
func (h *programs) Start(ctx context.Context, launch runtime.Launch) error {
	h.m.c.obs.starting(h.m.name, launch.Key)
	err := h.Runtime.Start(ctx, launch)
	h.m.c.obs.started(h.m.name, launch.Key, err)
	return err
}

// Stop is told to the laws before it happens.
func (h *programs) Stop(ctx context.Context, key runtime.Key, grace time.Duration) error {
	if p := h.program(key); p != nil && h.runs(key) {
		_, well := h.listener(p.port)
		h.m.c.obs.stopping(h.m.name, key, !well)
	}
	return h.Runtime.Stop(ctx, key, grace)
}

func (h *programs) program(key runtime.Key) *program {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.list[key]
}

// running returns the attempts that run, in order.
func (h *programs) running() []runtime.Key {
	tasks, _ := h.List(h.m.c.living) // fails only when the run is over
	var keys []runtime.Key
	for _, t := range tasks {
		if t.Exit == nil {
			keys = append(keys, t.Key)
		}
	}
	return keys
}

func (h *programs) runs(key runtime.Key) bool { return slices.Contains(h.running(), key) }

// listener returns the program that has a port, and whether it answers.
func (h *programs) listener(port int) (p *program, answers bool) {
	for _, key := range h.running() {
		if p = h.program(key); p != nil && p.port == port {
			h.mu.Lock()
			defer h.mu.Unlock()
			return p, !p.hangs && !p.readyAt.IsZero() && !p.readyAt.After(time.Now())
		}
	}
	return nil, false
}

// probe is how the agent asks its programs.
func (m *machine) probe(target probe.Target) (probe.Checker, error) {
	return asking{m, target.Port}, nil
}

type asking struct {
	m    *machine
	port int
}

// Check asks once.
func (a asking) Check(ctx context.Context) error {
	host := a.m.hosts()
	if host == nil {
		return errRefused
	}
	p, answers := host.listener(a.port)
	switch {
	case answers:
		return nil
	case p != nil && host.isHung(p):
		<-ctx.Done()
		return context.Cause(ctx)
	default:
		return errRefused
	}
}

// tasksOf returns the tasks of attempts.
func tasksOf(keys []runtime.Key) []id.Task {
	var names []id.Task
	for _, key := range keys {
		names = append(names, key.Task)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// specText writes the document of a service.
func specText(a action) string {
	name := a.arg(0)
	kind := a.named("kind", "service")
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s\n", kind, name)
	switch kind {
	case "service":
		fmt.Fprintf(&text, "instances: %s\n", a.named("instances", "1"))
	case "job":
		fmt.Fprintf(&text, "copies: %s\nretries: 1\n", a.named("instances", "1"))
	case "cron":
		fmt.Fprintf(&text, "copies: %s\nschedule: \"* * * * *\"\noverlap: %s\n", a.named("instances", "1"), a.named("overlap", "skip"))
	}
	if pool := a.named("pool", ""); pool != "" {
		fmt.Fprintf(&text, "pool: %s\n", pool)
	}
	fmt.Fprintf(&text, "resources: {cpus: %s, mem: 64MiB}\n", a.named("cpus", "0.5"))
	fmt.Fprintf(&text, "run: {command: [./x], env: {BEHAVES: %q, VERSION: %q}}\n", a.named("behaves", "ok"), a.named("version", "1"))
	if kind == "job" || kind == "cron" {
		return text.String() + "deploy: {grace: 2s}\n"
	}
	text.WriteString("ports: [http]\nready: {http: /, port: http}\n")
	if a.named("alive", "") != "" {
		text.WriteString("alive: {http: /, port: http, every: 1s, timeout: 1s, failures: 2}\n")
	}
	routed := ""
	if kind == "service" {
		fmt.Fprintf(&text, "route: {host: %s.sim, port: http}\n", name)
		routed = ", drain: " + a.named("drain", "5s")
	}
	fmt.Fprintf(&text, "deploy: {surge: %s, unavailable: %s, settle: %s, deadline: 30s%s, grace: 2s, failures: 2, on_failure: %s}\n",
		a.named("surge", "1"), a.named("unavailable", "0"), a.named("settle", "1s"), routed, a.named("on_failure", "rollback"))
	return text.String()
}
