package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// masters are the masters of a cluster as an agent sees them. They keep what
// they are told.
type masters struct {
	epoch    uint64
	outgoing chan *pb.SessionResponse
	broken   chan error

	mu       sync.Mutex
	away     bool // sessions end at once
	deaf     bool // no report is taken
	watch    func(*pb.TaskReport)
	tries    []time.Time // of sessions
	joins    []*pb.AgentJoin
	reports  []*pb.AgentReport
	statuses map[string]*pb.TaskStatus
	stories  map[string][]string
	answers  map[string]*logAnswer
}

// logAnswer is what was sent for a log order.
type logAnswer struct {
	lines    []string // as stream: text
	batchMax int      // bytes of text in the largest batch
	err      string
	ended    bool
}

func newMasters() *masters {
	return &masters{
		epoch: 1, outgoing: make(chan *pb.SessionResponse), broken: make(chan error),
		statuses: make(map[string]*pb.TaskStatus), stories: make(map[string][]string), answers: make(map[string]*logAnswer),
	}
}

func (m *masters) AgentSession(
	ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse),
) error {
	if !m.admit(join) {
		return errors.New("nobody is there")
	}
	for {
		select {
		case report := <-m.listen(reports):
			m.hear(report)
		case message := <-m.outgoing:
			receive(message)
		case err := <-m.broken:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *masters) admit(join *pb.AgentJoin) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries = append(m.tries, time.Now())
	if m.away {
		return false
	}
	m.joins = append(m.joins, join)
	m.take(join.GetTasks())
	return true
}

// listen returns the channel of reports, or nil while the masters are deaf.
func (m *masters) listen(reports <-chan *pb.AgentReport) <-chan *pb.AgentReport {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf {
		return nil
	}
	return reports
}

// deafen makes the open session take no reports, or take them again.
func (m *masters) deafen(deaf bool) {
	m.mu.Lock()
	m.deaf = deaf
	m.mu.Unlock()
	m.send(&pb.SessionResponse{Epoch: m.epoch}) // so that it notices
	synctest.Wait()
}

func (m *masters) hear(report *pb.AgentReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports = append(m.reports, report)
	m.take(report.GetTasks())
}

func (m *masters) take(list []*pb.TaskReport) {
	for _, report := range list {
		if m.watch != nil {
			m.watch(report)
		}
		m.statuses[report.GetTask()] = report.GetStatus()
		m.stories[report.GetTask()] = append(m.stories[report.GetTask()], stateOf(report.GetStatus()))
	}
}

func (m *masters) send(message *pb.SessionResponse) { m.outgoing <- message }

// cut breaks the session that is open.
func (m *masters) cut() { m.refuse(errors.New("connection reset")) }

// refuse ends the session that is open with an error.
func (m *masters) refuse(err error) {
	m.broken <- err
	synctest.Wait()
}

// leave makes the masters unreachable, or reachable again.
func (m *masters) leave(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

// known returns the newest status of a task, as in "ready 2", or "unknown".
func (m *masters) known(name string) string { return stateOf(m.status(name)) }

func (m *masters) status(name string) *pb.TaskStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.statuses[name]
}

func (m *masters) story(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.stories[name])
}

// lastJoin returns the newest join, and what it says of each task.
func (m *masters) lastJoin() (*pb.AgentJoin, map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	join := m.joins[len(m.joins)-1]
	states := make(map[string]string)
	for _, report := range join.GetTasks() {
		states[report.GetTask()] = stateOf(report.GetStatus())
	}
	return join, states
}

// tried returns when sessions were asked for.
func (m *masters) tried() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.tries)
}

// counts returns how many joins and reports came, and of how many states the
// reports told.
func (m *masters) counts() (joins, reports, told int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, report := range m.reports {
		told += len(report.GetTasks())
	}
	return len(m.joins), len(m.reports), told
}

func (m *masters) SendLogs(ctx context.Context, request string, batches <-chan []*pb.LogLine, failure func() error) error {
	for batch := range batches {
		m.note(request, func(a *logAnswer) {
			size := 0
			for _, line := range batch {
				a.lines = append(a.lines, line.GetStream()+": "+line.GetText())
				size += len(line.GetText())
			}
			a.batchMax = max(a.batchMax, size)
		})
	}
	m.note(request, func(a *logAnswer) {
		if err := failure(); err != nil {
			a.err = err.Error()
		}
		a.ended = true
	})
	return context.Cause(ctx)
}

func (m *masters) note(request string, change func(*logAnswer)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers[request] == nil {
		m.answers[request] = &logAnswer{}
	}
	change(m.answers[request])
}

func (m *masters) answer(request string) logAnswer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers[request] == nil {
		return logAnswer{}
	}
	a := *m.answers[request]
	a.lines = slices.Clone(a.lines)
	return a
}

func stateOf(status *pb.TaskStatus) string {
	if status == nil {
		return "unknown"
	}
	return fmt.Sprintf("%s %d", task.State(status.GetState()), status.GetAttempt())
}
