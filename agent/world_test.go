package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// world is an agent over a fake runtime in a bubble of virtual time, and the
// masters that it reports to.
type world struct {
	*masters
	t       failer
	dir     string
	cfg     agent.Config
	runtime *recorder
	fetcher *countingFetcher
	log     *bytes.Buffer
	end     func() // of the agent that runs
	close   func() // of the whole world
}

// failer is what the tests of testing and of rapid have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// newWorld starts a runtime with a script, and an agent on a folder. Its close
// must be called within the bubble.
func newWorld(t failer, dir string, script fake.Script) *world {
	t.Helper()
	cache, err := fetch.New(fetch.Config{CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatalf("%v", err)
	}
	w := &world{
		masters: newMasters(), t: t, dir: filepath.Join(dir, "data"),
		runtime: newRecorder(script),
		fetcher: &countingFetcher{Fetcher: cache}, log: &bytes.Buffer{},
	}
	w.cfg = agent.Config{
		ID: "a1", BootID: "boot", Hostname: "host", Version: "v1", DataDir: w.dir, Attributes: map[string]string{"zone": "a"},
		Partitions: []ledger.Partition{{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(4000), Weight: 1000}},
		Log:        slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = w.runtime.Run(ctx) })
	w.close = func() {
		w.end()
		stop()
		running.Wait()
	}
	w.begin()
	return w
}

// inWorld runs a test in a bubble.
func inWorld(t *testing.T, script fake.Script, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir(), script)
		defer w.close()
		test(t, w)
	})
}

// begin starts an agent on the folder, as a process that has just started does.
func (w *world) begin() {
	w.t.Helper()
	a, err := agent.New(w.cfg, w.masters, w.runtime, w.fetcher)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); !errors.Is(err, context.Canceled) {
			w.t.Errorf("Run = %v, want canceled", err)
		}
	})
	w.end = func() {
		cancel()
		running.Wait()
	}
	synctest.Wait()
}

// restart ends the agent and starts another one on its folder.
func (w *world) restart() {
	w.t.Helper()
	w.end()
	w.begin()
}

// pass lets time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// order sends orders and lets all that follows at once happen.
func (w *world) order(orders *pb.Orders) {
	w.t.Helper()
	w.send(&pb.SessionResponse{Epoch: w.epoch, Message: &pb.SessionResponse_Orders{Orders: orders}})
	synctest.Wait()
}

// run orders tasks of one spec, one for each name.
func (w *world) run(s *spec.Spec, names ...string) {
	w.t.Helper()
	w.order(runOrders(s, names...))
}

// stop orders a task to end.
func (w *world) stop(name string, grace time.Duration) {
	w.t.Helper()
	w.order(&pb.Orders{Stop: []*pb.StopOrder{{Task: name, Grace: wire.FromDuration(grace)}}})
}

func (w *world) forget(names ...string) {
	w.t.Helper()
	w.order(&pb.Orders{Forget: names})
}

// want checks what the master knows of a task: its state and attempt.
func (w *world) want(name, state string) {
	w.t.Helper()
	if got := w.known(name); got != state {
		w.t.Fatalf("task %s is %s, want %s; its story: %v\n%s", name, got, state, w.story(name), w.log)
	}
}

// file returns a path in a task's folder.
func (w *world) file(name string, parts ...string) string {
	return filepath.Join(append([]string{w.dir, "tasks", name}, parts...)...)
}

// running returns the attempts whose programs run.
func (w *world) running() []string {
	list, err := w.runtime.List(context.Background())
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	var names []string
	for _, program := range list {
		if program.Exit == nil {
			names = append(names, program.Key.String())
		}
	}
	return names
}

func runOrders(s *spec.Spec, names ...string) *pb.Orders {
	orders := &pb.Orders{Revisions: []*pb.RevisionSpec{{Service: string(s.Name), Revision: 1, Spec: wire.FromSpec(s)}}}
	for _, name := range names {
		orders.Run = append(orders.Run, &pb.RunOrder{Task: name, Service: string(s.Name), Revision: 1})
	}
	return orders
}

// service returns a spec without probes.
func service(change ...func(*spec.Spec)) *spec.Spec { return specOf(spec.Service, change...) }

func job(change ...func(*spec.Spec)) *spec.Spec { return specOf(spec.Job, change...) }

func specOf(kind spec.Kind, change ...func(*spec.Spec)) *spec.Spec {
	s := spec.New(kind, "web")
	s.Run.Command = []string{"./web"}
	for _, each := range change {
		each(s)
	}
	return s
}

// recorder is a runtime that counts what it is asked, and may misbehave within
// the law of package runtime.
type recorder struct {
	*fake.Runtime
	exits     chan runtime.Exit
	late      time.Duration // Start returns so long after the program has started
	forgetful bool          // Forget does nothing

	mu    sync.Mutex
	asked map[runtime.Key]int // to start
	twice []runtime.Key       // started before
}

func newRecorder(script fake.Script) *recorder {
	return &recorder{Runtime: fake.New(script), exits: make(chan runtime.Exit), asked: make(map[runtime.Key]int)}
}

// Run passes the exits on.
func (r *recorder) Run(ctx context.Context) error {
	var passing sync.WaitGroup
	defer passing.Wait()
	passing.Go(func() {
		for {
			select {
			case exit := <-r.Runtime.Exits():
				r.tell(ctx, exit)
			case <-ctx.Done():
				return
			}
		}
	})
	return r.Runtime.Run(ctx)
}

func (r *recorder) tell(ctx context.Context, exit runtime.Exit) {
	select {
	case r.exits <- exit:
	case <-ctx.Done():
	}
}

// again tells of an exit that was told before.
func (r *recorder) again(t *testing.T, exit runtime.Exit) {
	t.Helper()
	r.tell(t.Context(), exit)
	synctest.Wait()
}

func (r *recorder) Exits() <-chan runtime.Exit { return r.exits }

func (r *recorder) Start(ctx context.Context, launch runtime.Launch) error {
	err := r.Runtime.Start(ctx, launch)
	if r.late > 0 {
		time.Sleep(r.late)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[launch.Key]++
	if errors.Is(err, runtime.ErrAlreadyStarted) {
		r.twice = append(r.twice, launch.Key)
	}
	return err
}

func (r *recorder) Forget(ctx context.Context, key runtime.Key) error {
	if r.forgetful {
		return nil
	}
	return r.Runtime.Forget(ctx, key)
}

func (r *recorder) starts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, times := range r.asked {
		n += times
	}
	return n
}

// countingFetcher is the real fetcher with a count.
type countingFetcher struct {
	*fetch.Fetcher
	mu    sync.Mutex
	count int
	hold  chan struct{} // when not nil, a fetch waits until it is closed
}

func (f *countingFetcher) Fetch(ctx context.Context, artifact spec.Artifact, sandbox string) error {
	f.mu.Lock()
	f.count++
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return f.Fetcher.Fetch(ctx, artifact, sandbox)
}

func (f *countingFetcher) fetched() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// masters are the masters of a cluster as an agent sees them. They keep what
// they are told.
type masters struct {
	epoch    uint64
	outgoing chan *pb.SessionResponse
	broken   chan error

	mu       sync.Mutex
	away     bool        // sessions end at once
	tries    []time.Time // of sessions
	joins    []*pb.AgentJoin
	reports  []*pb.AgentReport
	statuses map[string]*pb.TaskStatus
	stories  map[string][]string
	answers  map[string]*logAnswer
}

// logAnswer is what was sent for a log order.
type logAnswer struct {
	lines []string // as stream: text
	err   string
	ended bool
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
		case report := <-reports:
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

func (m *masters) hear(report *pb.AgentReport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports = append(m.reports, report)
	m.take(report.GetTasks())
}

func (m *masters) take(list []*pb.TaskReport) {
	for _, report := range list {
		m.statuses[report.GetTask()] = report.GetStatus()
		m.stories[report.GetTask()] = append(m.stories[report.GetTask()], stateOf(report.GetStatus()))
	}
}

func (m *masters) send(message *pb.SessionResponse) { m.outgoing <- message }

// cut breaks the session that is open.
func (m *masters) cut() {
	m.broken <- errors.New("connection reset")
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

func (m *masters) counts() (joins, reports int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.joins), len(m.reports)
}

func (m *masters) SendLogs(ctx context.Context, request string, batches <-chan []*pb.LogLine, failure func() error) error {
	for batch := range batches {
		for _, line := range batch {
			m.note(request, func(a *logAnswer) { a.lines = append(a.lines, line.GetStream()+": "+line.GetText()) })
		}
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

// touch makes an empty file.
func touch(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("found %q; want %q in it", text, want)
	}
}

// always plays the same for every launch.
func always(play fake.Play) fake.Script {
	return func(runtime.Launch) fake.Play { return play }
}

// byTask plays what is written for a task, and else the zero play.
func byTask(plays map[id.Task]fake.Play) fake.Script {
	return func(launch runtime.Launch) fake.Play { return plays[launch.Key.Task] }
}
