package master_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// machine is an agent that keeps its session as a real one does, and whose
// programs are nothing: they are ready at once and stop when they are told to.
type machine struct {
	node     *node
	agent    *pb.Agent
	client   *client.Client
	inbox    chan *pb.SessionResponse
	acts     chan func()
	reports  chan *pb.AgentReport
	leave    func()                         // ends its session and all of it, as if it had died
	heard    func(*pb.SessionResponse)      // called for each message
	becomes  func(task string) pb.TaskState // what a new task becomes; default: ready
	sessions int                            // that have ended; owned by its loop, as all below
	broke    error                          // why the last one did
	tasks    map[string]*pb.TaskStatus
	unsent   map[string]bool
	complete int // complete orders so far
	forgot   []string
	ordered  map[string]int // run orders by task
}

// join starts an agent with that many cpus.
func (n *node) join(name string, cpus int, change ...func(*machine)) *machine {
	n.Helper()
	m := &machine{
		node: n, client: n.client(),
		inbox: make(chan *pb.SessionResponse), acts: make(chan func()), reports: make(chan *pb.AgentReport),
		heard:   func(*pb.SessionResponse) {},
		becomes: func(string) pb.TaskState { return pb.TaskState_TASK_STATE_READY },
		tasks:   make(map[string]*pb.TaskStatus), unsent: make(map[string]bool), ordered: make(map[string]int),
		agent: &pb.Agent{Id: name, BootId: "boot", Hostname: name, Address: "127.0.0.1", Partitions: []*pb.Partition{
			{Id: "cpus", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "cpus", Scalar: int64(cpus) * 1000}},
			{Id: "mem", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "mem", Scalar: 1 << 40}},
			{Id: "ports", WeightThousandths: 1000, Quantity: &pb.Quantity{
				Type: "ports", Kind: pb.QuantityKind_QUANTITY_KIND_RANGES, Ranges: []*pb.Range{{First: 20000, Last: 29999}},
			}},
		}},
	}
	for _, apply := range change {
		apply(m)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.Context()))
	var running sync.WaitGroup
	running.Go(func() { m.run(ctx) })
	running.Go(func() { m.keepSession(ctx) })
	m.leave = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	n.Cleanup(m.leave)
	n.eventually(name+" has its orders", func() bool { return m.look(func() bool { return m.complete > 0 }) })
	return m
}

func (m *machine) keepSession(ctx context.Context) {
	for ctx.Err() == nil {
		joined := make(chan *pb.AgentJoin, 1)
		if !m.do(ctx, func() { joined <- m.joins() }) {
			return
		}
		err := m.client.AgentSession(ctx, <-joined, m.reports, func(message *pb.SessionResponse) {
			select {
			case m.inbox <- message:
			case <-ctx.Done():
			}
		})
		if !m.do(ctx, func() { m.sessions++; m.broke = err }) {
			return
		}
		pause(ctx, 100*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// joins says all that the machine has and runs.
func (m *machine) joins() *pb.AgentJoin {
	clear(m.unsent)
	join := &pb.AgentJoin{Agent: m.agent}
	for _, name := range slices.Sorted(maps.Keys(m.tasks)) {
		join.Tasks = append(join.Tasks, &pb.TaskReport{Task: name, Status: m.tasks[name]})
	}
	return join
}

// run owns what the machine knows.
func (m *machine) run(ctx context.Context) {
	for {
		report, reports := &pb.AgentReport{}, chan *pb.AgentReport(nil)
		for _, name := range slices.Sorted(maps.Keys(m.unsent)) {
			report.Tasks, reports = append(report.Tasks, &pb.TaskReport{Task: name, Status: m.tasks[name]}), m.reports
		}
		select {
		case message := <-m.inbox:
			m.heard(message)
			m.obey(message.GetOrders())
		case act := <-m.acts:
			act()
		case reports <- report:
			clear(m.unsent)
		case <-ctx.Done():
			return
		}
	}
}

func (m *machine) do(ctx context.Context, act func()) bool {
	select {
	case m.acts <- act:
		return true
	case <-ctx.Done():
		return false
	}
}

// look returns what is reports from within the machine's loop.
func (m *machine) look(is func() bool) bool {
	answer := make(chan bool, 1)
	return m.do(m.node.Context(), func() { answer <- is() }) && <-answer
}

func (m *machine) obey(orders *pb.Orders) {
	if orders == nil {
		return
	}
	named := make(map[string]bool)
	for _, order := range orders.GetRun() {
		named[order.GetTask()] = true
		m.ordered[order.GetTask()]++
		if m.tasks[order.GetTask()] == nil {
			m.report(order.GetTask(), m.becomes(order.GetTask()), order.GetAttempts()+1)
		}
	}
	for _, order := range orders.GetStop() {
		named[order.GetTask()] = true
		m.report(order.GetTask(), pb.TaskState_TASK_STATE_STOPPED, m.tasks[order.GetTask()].GetAttempt())
	}
	for _, name := range orders.GetForget() {
		named[name] = true
		m.forgot = append(m.forgot, name)
		delete(m.tasks, name)
		delete(m.unsent, name)
	}
	if !orders.GetComplete() {
		return
	}
	m.complete++
	for name, status := range m.tasks {
		switch ended := status.GetState() >= pb.TaskState_TASK_STATE_STOPPED; {
		case named[name]:
		case ended:
			delete(m.tasks, name)
		default:
			m.report(name, pb.TaskState_TASK_STATE_STOPPED, status.GetAttempt())
		}
	}
}

// report has a task become something.
func (m *machine) report(name string, state pb.TaskState, attempt int32) {
	status := &pb.TaskStatus{State: state, Since: timestamppb.Now(), Attempt: attempt}
	if state == pb.TaskState_TASK_STATE_READY {
		status.ReadySince = status.Since
	}
	if state == pb.TaskState_TASK_STATE_FAILED {
		status.Last = &pb.Exit{Code: 1, At: timestamppb.Now(), LastLogs: []string{"boom"}}
	}
	m.tasks[name], m.unsent[name] = status, true
}

// says has the machine report of a task, from outside of its loop.
func (m *machine) says(name string, state pb.TaskState, attempt int32) {
	m.look(func() bool { m.report(name, state, attempt); return true })
}

// has returns the tasks that the machine has.
func (m *machine) has() (names []string) {
	m.look(func() bool { names = slices.Sorted(maps.Keys(m.tasks)); return true })
	return names
}

// balancer is a router that keeps its session as a real one does.
type balancer struct {
	node    *node
	client  *client.Client
	name    id.Router
	answers chan route.Confirmation
	leave   func()

	mu       sync.Mutex // guards all below
	tables   []route.Table
	sessions int
	holds    bool // it applies nothing
	busy     []route.Busy
	left     bool // it has said goodbye
}

func (n *node) balance(name string) *balancer {
	n.Helper()
	b := &balancer{node: n, client: n.client(), name: id.Router(name), answers: make(chan route.Confirmation)}
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.Context()))
	var running sync.WaitGroup
	running.Go(func() { b.keepSession(ctx) })
	b.leave = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	n.Cleanup(b.leave)
	n.eventually(name+" has its table", func() bool { return len(b.seen()) > 0 })
	return b
}

func (b *balancer) keepSession(ctx context.Context) {
	for ctx.Err() == nil {
		answers := make(chan route.Confirmation, 1)
		b.mu.Lock()
		b.answers = answers
		b.mu.Unlock()
		err := b.client.RouterSession(ctx, b.name, answers, func(table route.Table) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.tables = append(b.tables, table)
			if !b.holds && !b.left {
				b.confirm()
			}
		})
		if err == nil {
			return
		}
		b.mu.Lock()
		b.sessions++
		b.mu.Unlock()
		pause(ctx, 100*time.Millisecond)
	}
}

// confirm says that the newest table is applied. The caller holds b.mu.
func (b *balancer) confirm() {
	select {
	case <-b.answers: // only the newest counts
	default:
	}
	b.answers <- route.Confirmation{Router: b.name, Version: b.tables[len(b.tables)-1].Version, Busy: b.busy}
}

// hold keeps the router from applying tables.
func (b *balancer) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holds = true
}

// goOn has the router apply the newest table, with requests still in flight.
func (b *balancer) goOn(busy ...route.Busy) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holds, b.busy = false, busy
	b.confirm()
}

// goodbye has the router say that nothing is in flight any more.
func (b *balancer) goodbye() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = true
	close(b.answers)
}

func (b *balancer) seen() []route.Table {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.tables)
}

// serves returns the tasks of the newest table.
func (b *balancer) serves() (tasks []string) {
	for _, table := range b.seen()[len(b.seen())-1:] {
		for _, service := range table.Services {
			for _, endpoint := range service.Endpoints {
				tasks = append(tasks, string(endpoint.Task))
			}
		}
	}
	return tasks
}

// web is the spec of a service that is reached through routers.
func web(instances int, more string) string {
	return fmt.Sprintf(`
service: web
instances: %d
resources: {cpus: 1, mem: 1MiB}
run: {command: [./web], env: {VERSION: "%s"}}
ports: [http]
route: {host: web.localhost, port: http}
deploy: {settle: 0s, drain: 30s, grace: 7s}
`, instances, more)
}
