package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/fetch"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// role tells the test binary to be another process than the tests.
const role = "ALOFT_TEST_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "":
		goleak.VerifyTestMain(m)
	case "supervisor":
		err = supervisor.Main(context.Background(), supervisor.Config{Dir: os.Args[1]})
	case "agent":
		err = beAgent(os.Args[1])
	case "web":
		err = beWeb()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // the main of a process that is no test
	}
}

// beAgent is an agent that gets its orders on stdin and says on stdout how its
// tasks stand, until it is killed.
func beAgent(dir string) error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var orders pb.Orders
	if err := protojson.Unmarshal(text, &orders); err != nil {
		return err
	}
	parts, err := newParts(dir)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = parts.runtime.Run(ctx) })
	a, err := agent.New(parts.cfg, talkingMasters{&orders}, parts.runtime, parts.fetcher)
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

// talkingMasters give one order and print what is reported.
type talkingMasters struct{ orders *pb.Orders }

func (m talkingMasters) AgentSession(
	ctx context.Context, _ *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse),
) error {
	receive(&pb.SessionResponse{Epoch: 1, Message: &pb.SessionResponse_Orders{Orders: m.orders}})
	for {
		select {
		case report := <-reports:
			for _, one := range report.GetTasks() {
				fmt.Fprintln(os.Stdout, one.GetTask(), stateOf(one.GetStatus()))
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (talkingMasters) SendLogs(context.Context, string, <-chan []*pb.LogLine, func() error) error {
	return errors.New("nobody asked for logs")
}

// beWeb is a program that is ready once the file "ready" is in its folder.
func beWeb() error {
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:"+os.Getenv("PORT_HTTP"))
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { //nolint:gosec // it serves one probe
		if _, err := os.Stat("ready"); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
}

// parts is what an agent is made of on a real machine.
type parts struct {
	cfg     agent.Config
	runtime *runtime.Process
	fetcher *fetch.Fetcher
}

func newParts(dir string) (parts, error) {
	self, err := os.Executable()
	if err != nil {
		return parts{}, err
	}
	home := filepath.Join(dir, "supervisor")
	processes, err := runtime.New(runtime.Config{
		Agent: "a1", Dir: home, Limits: runtime.LimitsOff,
		Supervisor: []string{"/usr/bin/env", role + "=supervisor", self, home},
	})
	if err != nil {
		return parts{}, err
	}
	fetcher, err := fetch.New(fetch.Config{CacheDir: filepath.Join(dir, "cache")})
	return parts{
		cfg: agent.Config{
			ID: "a1", DataDir: filepath.Join(dir, "data"), Version: "v1",
			Partitions: []ledger.Partition{{ID: "cpus", Type: resource.CPUs, Quantity: resource.Scalar(4000), Weight: 1000}},
		},
		runtime: processes, fetcher: fetcher,
	}, err
}

// machine is an agent with the real runtime, and the masters that it reports to.
type machine struct {
	*masters
	parts
	testing.TB
}

// newMachine starts an agent on a folder, and takes care that nothing of it is
// left when the test ends.
func newMachine(tb testing.TB, dir string) *machine {
	tb.Helper()
	made, err := newParts(dir)
	if err != nil {
		tb.Fatal(err)
	}
	m := &machine{masters: newMasters(), parts: made, TB: tb}
	a, err := agent.New(m.cfg, m.masters, m.runtime, m.fetcher)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.runtime.Run(ctx) })
	running.Go(func() {
		if err := a.Run(ctx); !errors.Is(err, context.Canceled) {
			tb.Errorf("Run = %v", err)
		}
	})
	tb.Cleanup(func() {
		leaving, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		tasks, err := m.runtime.List(leaving)
		if err != nil {
			tb.Errorf("List at the end: %v", err)
		}
		for _, task := range tasks {
			if task.Exit == nil {
				_ = m.runtime.Kill(leaving, task.Key) // it may have ended
			}
		}
		stop()
		running.Wait()
		if err := m.runtime.Shutdown(leaving); err != nil {
			tb.Errorf("Shutdown: %v", err)
		}
	})
	return m
}

// order sends orders.
func (m *machine) order(orders *pb.Orders) {
	m.send(&pb.SessionResponse{Epoch: 1, Message: &pb.SessionResponse_Orders{Orders: orders}})
}

// until waits for a condition.
func (m *machine) until(what string, met func() bool) {
	m.Helper()
	due := time.NewTicker(2 * time.Millisecond)
	defer due.Stop()
	for end := time.Now().Add(20 * time.Second); !met(); <-due.C {
		if time.Now().After(end) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.Fatalf("waited too long: %s; the stories: %v; the statuses: %v", what, m.stories, m.statuses)
		}
	}
}

// becomes waits until a task is in a state.
func (m *machine) becomes(name, state string) {
	m.Helper()
	m.until(name+" is "+state, func() bool { return m.known(name) == state })
}

// output returns what the newest attempt of a task has printed.
func (m *machine) output(name string) []string {
	m.Helper()
	request := name + " at " + strconv.FormatInt(time.Now().UnixNano(), 10)
	m.send(&pb.SessionResponse{Epoch: 1, Message: &pb.SessionResponse_Logs{Logs: &pb.LogOrder{
		Request: request, Task: name, Lines: 1000,
	}}})
	m.until("logs of "+name, func() bool { return m.answer(request).ended })
	return m.answer(request).lines
}

// freePort returns a port on which nobody listens.
func freePort(t *testing.T) int {
	t.Helper()
	listener := listen(t, "127.0.0.1")
	defer func() { _ = listener.Close() }() // nobody connected
	return portOf(listener)
}

// listen takes a port of those that neither the kernel gives to anybody by itself,
// nor a development cluster beside this test to its tasks, so that it stays free after
// it was given back.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var config net.ListenConfig
	for range 1000 {
		port := 10_000 + rand.N(10_000)
		if listener, err := config.Listen(t.Context(), "tcp", net.JoinHostPort(address, strconv.Itoa(port))); err == nil {
			return listener
		}
	}
	t.Fatal("no port is free")
	return nil
}

func portOf(listener net.Listener) int { return listener.Addr().(*net.TCPAddr).Port }

// ended counts the tasks that are over.
func (m *masters) ended() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, status := range m.statuses {
		if task.State(status.GetState()).Ended() {
			n++
		}
	}
	return n
}
