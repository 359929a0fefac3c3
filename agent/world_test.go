package agent_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
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
	failer
	*masters
	dir     string
	cfg     agent.Config
	runtime *recorder
	fetcher *countingFetcher
	log     *journal
	ready   func() error // of the agent that runs
	end     func()       // ends it
	close   func()       // of the whole world
}

// failer is what the tests of testing and of rapid have in common.
type failer interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// newWorld starts a runtime with a script, and an agent on a folder. Its close
// must be called within the bubble.
func newWorld(t failer, dir string, script fake.Script) *world {
	t.Helper()
	cache, err := fetch.New(fetch.Config{CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		failer: t, masters: newMasters(), dir: filepath.Join(dir, "data"),
		runtime: newRecorder(script),
		fetcher: &countingFetcher{Fetcher: cache}, log: &journal{},
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
func inWorld(t *testing.T, script fake.Script, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, t.TempDir(), script)
		defer w.close()
		test(w)
	})
}

// begin starts an agent on the folder, as a process that has just started does.
func (w *world) begin() {
	w.Helper()
	a, err := agent.New(w.cfg, w.masters, w.runtime, w.fetcher)
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); !errors.Is(err, context.Canceled) {
			w.Errorf("Run = %v, want canceled", err)
		}
	})
	w.ready = a.Ready
	w.end = func() {
		cancel()
		running.Wait()
	}
	synctest.Wait()
}

// restart ends the agent and starts another one on its folder.
func (w *world) restart() {
	w.Helper()
	w.end()
	w.begin()
}

// pass lets time pass.
func (*world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// order sends orders and lets all that follows at once happen.
func (w *world) order(orders *pb.Orders) {
	w.Helper()
	w.send(&pb.SessionResponse{Epoch: w.epoch, Message: &pb.SessionResponse_Orders{Orders: orders}})
	synctest.Wait()
}

// run orders tasks of one spec, one for each name.
func (w *world) run(s *spec.Spec, names ...string) {
	w.Helper()
	w.order(runOrders(s, names...))
}

// stop orders a task to end.
func (w *world) stop(name string, grace time.Duration) {
	w.Helper()
	w.order(&pb.Orders{Stop: []*pb.StopOrder{{Task: name, Grace: wire.FromDuration(grace)}}})
}

func (w *world) forget(names ...string) {
	w.Helper()
	w.order(&pb.Orders{Forget: names})
}

// want checks what the master knows of a task: its state and attempt.
func (w *world) want(name, state string) {
	w.Helper()
	if got := w.known(name); got != state {
		w.Fatalf("task %s is %s, want %s; its story: %v\n%s", name, got, state, w.story(name), w.log)
	}
}

// file returns a path in a task's folder.
func (w *world) file(name string, parts ...string) string {
	return filepath.Join(append([]string{w.dir, "tasks", name}, parts...)...)
}

// programs returns what the runtime knows.
func (w *world) programs() []runtime.Task {
	w.Helper()
	list, err := w.runtime.List(context.Background())
	if err != nil {
		w.Fatal(err)
	}
	return list
}

// running returns the attempts whose programs run.
func (w *world) running() []string {
	var names []string
	for _, program := range w.programs() {
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

func job() *spec.Spec { return specOf(spec.Job) }

func specOf(kind spec.Kind, change ...func(*spec.Spec)) *spec.Spec {
	s := spec.New(kind, "web")
	s.Run.Command = []string{"./web"}
	for _, each := range change {
		each(s)
	}
	return s
}

// journal is the log of an agent, which may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Reset forgets what was said.
func (j *journal) Reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text.Reset()
}

// recorder is a runtime that counts what it is asked, and may misbehave within
// the law of package runtime.
type recorder struct {
	*fake.Runtime
	exits     chan runtime.Exit
	forgetful bool // Forget does nothing

	mu    sync.Mutex
	late  time.Duration       // Start returns so long after the program has started
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
func (r *recorder) again(exit runtime.Exit) {
	r.exits <- exit
	synctest.Wait()
}

func (r *recorder) Exits() <-chan runtime.Exit { return r.exits }

func (r *recorder) Start(ctx context.Context, launch runtime.Launch) error {
	err := r.Runtime.Start(ctx, launch)
	r.mu.Lock()
	defer r.mu.Unlock()
	if late := r.late; late > 0 {
		r.mu.Unlock()
		select {
		case <-time.After(late):
		case <-ctx.Done():
			err = context.Cause(ctx) // it may have started
		}
		r.mu.Lock()
	}
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

// setLate has Start return so long after the program has started.
func (r *recorder) setLate(late time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = late
}

// startedTwice returns the attempts that were refused as started before.
func (r *recorder) startedTwice() []runtime.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.twice)
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

// fetching has a task fetch a file, by its path or by its name in testdata.
func fetching(path string, change ...func(*spec.Artifact)) func(*spec.Spec) {
	if !filepath.IsAbs(path) {
		here, err := os.Getwd()
		if err != nil {
			panic(err)
		}
		path = filepath.Join(here, "testdata", path)
	}
	artifact := spec.Artifact{URL: "file://" + path, Dest: "in/"}
	for _, each := range change {
		each(&artifact)
	}
	return func(s *spec.Spec) { s.Run.Fetch = append(s.Run.Fetch, artifact) }
}

// readyByFile has a task ready while the file "ready" is in its sandbox.
func readyByFile(s *spec.Spec) {
	s.Ready = spec.Probe{
		Kind: spec.CommandProbe, Command: []string{"test", "-e", "ready"}, Every: 30 * time.Second, Timeout: time.Second, Failures: 3,
	}
}

// aliveByFile has a task alive until the file "hung" is in its sandbox.
func aliveByFile(s *spec.Spec) {
	s.Alive = spec.Probe{
		Kind: spec.CommandProbe, Command: []string{"test", "!", "-e", "hung"}, Every: 30 * time.Second, Timeout: time.Second, Failures: 3,
	}
}

// kept reads a task file.
func kept(path string) (*pb.KeptTask, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found *pb.KeptTask
	for from := bytes.NewReader(content); ; {
		var next pb.KeptTask
		err := protodelim.UnmarshalFrom(from, &next)
		switch {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return nil, err
		case found == nil:
			found = &next
		default:
			found.Status = next.GetStatus()
		}
	}
}

// change changes a task file.
func change(t failer, path string, how func(*pb.KeptTask)) {
	t.Helper()
	found, err := kept(path)
	if err != nil {
		t.Fatal(err)
	}
	how(found)
	var content bytes.Buffer
	if _, err := protodelim.MarshalTo(&content, found); err != nil {
		t.Fatal(err)
	}
	write(t, path, content.String())
}

func write(t failer, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// touch makes an empty file.
func touch(t failer, path string) {
	t.Helper()
	write(t, path, "")
}

func contains(t failer, text, want string) {
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
func byTask(plays map[string]fake.Play) fake.Script {
	return func(launch runtime.Launch) fake.Play { return plays[string(launch.Key.Task)] }
}
