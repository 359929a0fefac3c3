package fleet

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// bootID is that of every agent: none of their machines is ever started anew.
const bootID = "fleet"

// agent is one agent of a fleet.
type agent struct {
	info    *pb.Agent
	epoch   atomic.Uint64        // of the leader that it is in a session with; 0 for none
	reports chan *pb.AgentReport // holds what the master must still be told
	out     int                  // by what number it came to be in no session last; owned by run

	length func(task id.Task, service id.Service) time.Duration
	ending sync.WaitGroup // programs whose time has come

	mu    sync.Mutex // guards all below, and sending to reports
	tasks map[string]*pb.TaskStatus
	hang  context.CancelFunc     // ends the session; nil before the first
	ends  map[string]*time.Timer // of the programs that will end; nil once the agent has stopped
}

func newAgent(a Agent, length func(id.Task, id.Service) time.Duration) *agent {
	made := &agent{
		info: &pb.Agent{
			Id: string(a.ID), BootId: bootID, Hostname: string(a.ID), Version: "fleet",
			Attributes: a.Attributes, Partitions: wire.FromPartitions(a.ID, a.Partitions),
		},
		reports: make(chan *pb.AgentReport, 1),
		length:  length, ends: make(map[string]*time.Timer),
		tasks: make(map[string]*pb.TaskStatus, len(a.Tasks)),
	}
	for _, report := range a.Tasks {
		made.tasks[string(report.Task)] = wire.FromStatus(report.Status)
	}
	return made
}

// run keeps one session after the other, with a growing pause in between.
func (a *agent) run(ctx context.Context, masters *shared) {
	a.resume()
	defer a.stop()
	for pause := masters.pauses.Min; ; pause = min(2*pause, masters.pauses.Max) {
		masters.knock(ctx, a.info.GetId(), a.out)
		if ctx.Err() != nil {
			return
		}
		session, hang := context.WithCancel(ctx)
		_ = masters.AgentSession(session, a.join(hang), a.reports, func(message *pb.SessionResponse) { // it ends with an error always
			a.epoch.Store(message.GetEpoch())
			pause = masters.pauses.Min
			a.obey(message.GetOrders())
		})
		hang()
		a.epoch.Store(0)
		a.out = masters.goOut(a.info.GetId())
		masters.broken.Add(1)
		wait(ctx, drawn(pause))
	}
}

// drawn returns a pause between half of its length and its length.
func drawn(pause time.Duration) time.Duration { return pause/2 + rand.N(pause/2+1) }

// cut ends the session, if there is one. The agent counts as out of it at once.
func (a *agent) cut() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hang != nil {
		a.hang()
		a.hang = nil
		a.epoch.Store(0)
	}
}

// join says all that this agent has and runs, in a session that hang ends.
func (a *agent) join(hang context.CancelFunc) *pb.AgentJoin {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hang = hang
	a.unsent() // is said here
	return &pb.AgentJoin{Agent: a.info, Folder: a.info.GetId(), Tasks: a.reportsOf(maps.Keys(a.tasks))}
}

// obey does what it is ordered, and reports how that went.
func (a *agent) obey(orders *pb.Orders) {
	a.mu.Lock()
	defer a.mu.Unlock()
	changed := make(map[string]struct{})
	kinds := make(map[string]pb.SpecKind)
	for _, revision := range orders.GetRevisions() {
		kinds[revision.GetService()] = revision.GetSpec().GetKind()
	}
	ordered := make(map[string]struct{})
	for _, order := range orders.GetRun() {
		ordered[order.GetTask()] = struct{}{}
		if _, known := a.tasks[order.GetTask()]; !known {
			a.tasks[order.GetTask()] = started(kinds[order.GetService()], order.GetAttempts()+1)
			changed[order.GetTask()] = struct{}{}
			a.endLater(order.GetTask(), order.GetService())
		}
	}
	for _, order := range orders.GetStop() {
		a.endNever(order.GetTask())
		a.tasks[order.GetTask()] = &pb.TaskStatus{State: pb.TaskState_TASK_STATE_STOPPED, Since: timestamppb.Now(), Attempt: a.tasks[order.GetTask()].GetAttempt()}
		ordered[order.GetTask()], changed[order.GetTask()] = struct{}{}, struct{}{}
	}
	for _, name := range orders.GetForget() {
		delete(a.tasks, name)
		a.endNever(name)
	}
	if orders.GetComplete() {
		maps.DeleteFunc(a.tasks, func(name string, _ *pb.TaskStatus) bool {
			_, named := ordered[name]
			return !named
		})
	}
	a.report(changed)
}

// resume has those programs end in their time that ran before the agent was there.
func (a *agent) resume() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name := range a.tasks {
		a.endLater(name, "")
	}
}

// stop leaves every program as it is, and waits for those that end at this moment.
func (a *agent) stop() {
	a.mu.Lock()
	for name := range a.ends {
		a.endNever(name)
	}
	a.ends = nil
	a.mu.Unlock()
	a.ending.Wait()
}

// endLater has a job's copy end when its length has passed. The caller holds a.mu.
func (a *agent) endLater(name, service string) {
	if a.tasks[name].GetState() != pb.TaskState_TASK_STATE_RUNNING || a.ends == nil {
		return
	}
	if length := a.length(id.Task(name), id.Service(service)); length > 0 {
		a.ending.Add(1)
		a.ends[name] = time.AfterFunc(length, func() {
			defer a.ending.Done()
			a.end(name)
		})
	}
}

// endNever takes back that a program will end. The caller holds a.mu.
func (a *agent) endNever(name string) {
	if timer := a.ends[name]; timer != nil && timer.Stop() {
		a.ending.Done()
	}
	delete(a.ends, name)
}

// end has a program end well, if it still runs.
func (a *agent) end(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.ends, name)
	status := a.tasks[name]
	if status.GetState() != pb.TaskState_TASK_STATE_RUNNING {
		return
	}
	now := timestamppb.Now()
	a.tasks[name] = &pb.TaskStatus{State: pb.TaskState_TASK_STATE_FINISHED, Since: now, Attempt: status.GetAttempt(), Last: &pb.Exit{At: now}}
	a.report(map[string]struct{}{name: {}})
}

// started is the status of a task that does well from its start on.
func started(kind pb.SpecKind, attempt int32) *pb.TaskStatus {
	now := timestamppb.Now()
	if kind == pb.SpecKind_SPEC_KIND_JOB || kind == pb.SpecKind_SPEC_KIND_CRON {
		return &pb.TaskStatus{State: pb.TaskState_TASK_STATE_RUNNING, Since: now, Attempt: attempt}
	}
	return &pb.TaskStatus{State: pb.TaskState_TASK_STATE_READY, Since: now, ReadySince: now, Attempt: attempt}
}

// report has tasks reported, with what was not sent yet. The caller holds a.mu.
func (a *agent) report(changed map[string]struct{}) {
	for _, report := range a.unsent().GetTasks() {
		changed[report.GetTask()] = struct{}{}
	}
	if reports := a.reportsOf(maps.Keys(changed)); len(reports) > 0 {
		a.reports <- &pb.AgentReport{Tasks: reports} // there is room: only the holder of a.mu sends
	}
}

// unsent takes back what was not sent yet. The caller holds a.mu.
func (a *agent) unsent() *pb.AgentReport {
	select {
	case report := <-a.reports:
		return report
	default:
		return nil
	}
}

// reportsOf says how tasks are, in the order of their names. The caller holds
// a.mu.
func (a *agent) reportsOf(names func(func(string) bool)) []*pb.TaskReport {
	var reports []*pb.TaskReport
	for _, name := range slices.Sorted(names) {
		if status, known := a.tasks[name]; known {
			reports = append(reports, &pb.TaskReport{Task: name, Status: status})
		}
	}
	return reports
}

func (a *agent) running() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.tasks)
}

// wait waits for d, unless ctx is done before.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
