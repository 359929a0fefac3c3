package sim_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/probe"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// machine is a machine with an agent, whose programs outlive it.
type machine struct {
	c       *cluster
	name    string
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
	starts int           // the agent is killed at the start of so many programs from now; 0: it is not
	back   time.Duration // after which it is started again then
}

// agentProcess is one life of an agent.
type agentProcess struct {
	from  *caller
	kill  context.CancelFunc
	ended chan struct{}
}

// programs are what runs on a machine from one boot to the next. It is the
// runtime of its agents.
type programs struct {
	*fake.Runtime
	m      *machine
	booted time.Time
	halt   context.CancelFunc

	mu     sync.Mutex // guards all below
	list   map[runtime.Key]*program
	leases map[runtime.Key]*tenancy
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
	h := &programs{m: m, booted: time.Now(), halt: halt, list: make(map[runtime.Key]*program), leases: make(map[runtime.Key]*tenancy)}
	h.Runtime = fake.New(h.play)
	m.mu.Lock()
	m.boot++
	m.host = h
	m.mu.Unlock()
	m.c.alive.Go(func() { _ = h.Run(ctx) })
}

// powerOff takes the machine with all that runs on it. Nobody is told.
func (m *machine) powerOff() {
	m.mu.Lock()
	host, p := m.host, m.agent
	m.host = nil
	m.mu.Unlock()
	if host == nil {
		return
	}
	if p != nil {
		p.from.made.hangUp(true)
	}
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
	from := m.c.caller(m.name, m.host.clock)
	a, err := agent.New(agent.Config{
		ID: id.Agent(m.name), BootID: strconv.Itoa(m.boot), Hostname: m.name, Version: "sim", Address: m.address, Clock: m.host.clock,
		Attributes: map[string]string{"zone": "z" + m.name[len(m.name)-1:]}, DataDir: m.dir, Probe: m.probe,
		Partitions: []ledger.Partition{
			{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(m.cpus), Weight: 1000},
			{ID: "mem", Type: resource.Mem, Quantity: resource.Scalar(1 << 40), Weight: 1000},
			{ID: "ports", Type: resource.Ports, Quantity: m.ports, Weight: 1000},
		},
	}, from, m.host, nil)
	if err != nil {
		panic(err) // the config is always a good one
	}
	ctx, kill := context.WithCancel(context.Background())
	p := &agentProcess{from: from, kill: kill, ended: make(chan struct{})}
	m.agent = p
	m.c.alive.Go(func() {
		defer close(p.ended)
		err := a.Run(ctx)
		from.made.hangUp(false)
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

// clock is the machine's own: the time since it was started.
func (h *programs) clock() time.Duration { return time.Since(h.booted) + time.Second }

// caller returns the way to the masters of the agent of now; nil while it is dead.
func (m *machine) caller() *caller {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.agent == nil {
		return nil
	}
	return m.agent.from
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

// wellSince reports whether a program answers, and has answered since then.
func (h *programs) wellSince(p *program, since time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !p.hangs && !p.readyAt.IsZero() && p.readyAt.Before(since)
}

func (h *programs) isHung(p *program) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return p.hangs
}

// Start is told to the laws before it happens.
func (h *programs) Start(ctx context.Context, launch runtime.Launch) error {
	h.m.c.obs.starting(h.m.name, launch.Key, h.m.keeps(launch.Key))
	err := h.Runtime.Start(ctx, launch)
	if err == nil {
		h.lets(launch.Lease)
	}
	h.m.c.obs.started(h.m.name, launch.Key, err)
	if h.m.diesAtStart() {
		<-ctx.Done() // the agent does not hear what came of it
		return context.Cause(ctx)
	}
	return err
}

// keeps reports whether the agent's disk knows of an attempt.
func (m *machine) keeps(key runtime.Key) bool {
	for _, folder := range []string{"tasks", "tasks.aside"} { // where it is while the disk is full
		file, err := os.Open(filepath.Join(m.dir, folder, string(key.Task), "task.pb"))
		if err != nil {
			continue
		}
		defer file.Close() //nolint:errcheck // it is only read
		newest, from := 0, bufio.NewReader(file)
		for {
			var record pb.KeptTask
			if protodelim.UnmarshalFrom(from, &record) != nil {
				return newest >= key.Attempt
			}
			newest = int(record.GetStatus().GetAttempt())
		}
	}
	return false
}

// dieAtStart has the agent killed as soon as so many programs have been started.
func (m *machine) dieAtStart(starts int, back time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts, m.back = starts, back
}

// diesAtStart reports whether the agent is killed now that a program was started.
func (m *machine) diesAtStart() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.starts == 0 {
		return false
	}
	if m.starts--; m.starts > 0 {
		return false
	}
	m.c.obs.tell("agent %s is killed as a program starts", m.name)
	m.c.later(0, func() {
		m.killAgent()
		m.c.later(m.back, m.startAgent)
	})
	return true
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
