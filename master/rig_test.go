package master_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// node is a master that serves on connections in memory, so that it runs in a
// synctest bubble and on its time.
type node struct {
	*testing.T

	cluster  *memory.Cluster
	master   *master.Master
	member   *memory.Member
	registry *prometheus.Registry
	lines    *lines
	api      aloftv1connect.ClusterServiceClient
	stop     func()                        // ends it as SIGTERM does
	kill     func()                        // ends it as kill -9 does: its term is left to the lease
	halted   atomic.Pointer[chan struct{}] // calls that come wait until it is closed; nil: they do not

	mu      sync.Mutex // guards closers
	closers []func()
}

// Cleanup has something done when the node is closed, or else the test ends.
func (n *node) Cleanup(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closers = append(n.closers, f)
}

// close ends the node and all that was made for it.
func (n *node) close() {
	n.mu.Lock()
	closers := n.closers
	n.closers = nil
	n.mu.Unlock()
	for _, f := range slices.Backward(closers) {
		f()
	}
}

// start starts a master on a store. It ends with the test, if not before.
func start(t *testing.T, cluster *memory.Cluster, cfg master.Config) *node {
	t.Helper()
	registry := prometheus.NewRegistry()
	if cfg.ID == "" {
		cfg.ID = "m1"
	}
	cfg.Registerer = registry
	if cfg.Log == nil {
		cfg.Log = testLogger(t)
	}
	member := cluster.Join()
	m, err := master.New(cfg, member)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{T: t, cluster: cluster, master: m, member: member, registry: registry, lines: listen()}
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	serving, hangUp := context.WithCancel(ctx)
	stopping, cancel := context.WithCancel(ctx)
	var running, server sync.WaitGroup
	running.Go(func() {
		if err := m.Run(stopping); !errors.Is(err, context.Canceled) {
			t.Errorf("master ended: %v", err)
		}
	})
	server.Go(func() {
		if err := master.Serve(serving, slog.New(slog.DiscardHandler), n.lines, n.halting(m.Handler(http.NotFoundHandler()))); !errors.Is(err, context.Canceled) {
			t.Errorf("server ended: %v", err)
		}
	})
	ends := func(steps ...func()) func() {
		return func() {
			for _, step := range append(steps, end, running.Wait, server.Wait) {
				step()
			}
			if err := member.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	var once sync.Once
	n.stop = func() { once.Do(ends(cancel, running.Wait, hangUp)) }
	n.kill = func() { once.Do(ends(member.Cut, hangUp)) }
	n.Cleanup(n.stop)
	t.Cleanup(n.close)
	n.api = n.client().Cluster()
	return n
}

// halt has all calls wait that come, until goOn is called.
func (n *node) halt() (goOn func()) {
	halted := make(chan struct{})
	n.halted.Store(&halted)
	return func() {
		n.halted.Store(nil)
		close(halted)
	}
}

func (n *node) halting(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if halted := n.halted.Load(); halted != nil {
			<-*halted
		}
		handler.ServeHTTP(w, req)
	})
}

// single starts the only master of a new cluster, and waits until it leads.
func single(t *testing.T) *node {
	t.Helper()
	n := start(t, memory.New(memory.Config{}), master.Config{})
	n.leads()
	return n
}

// leads waits until the master leads.
func (n *node) leads() {
	n.Helper()
	n.eventually("the master leads", func() bool { return n.master.Ready() == nil })
}

// client returns a client that only this master answers.
func (n *node) client() *client.Client {
	n.Helper()
	c, err := client.Open(client.Config{Dial: n.lines.dial})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(c.Close)
	return c
}

// http returns a client that speaks HTTP/1.1.
func (n *node) http() *http.Client {
	transport := &http.Transport{DialContext: n.lines.dial}
	n.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// eventually waits until what must become true is. In a bubble the waiting takes
// no time.
func (n *node) eventually(what string, is func() bool) {
	n.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for wait := time.Millisecond; !is(); wait = min(2*wait, time.Second) {
		if time.Now().After(deadline) {
			n.Fatalf("not within two minutes: %s", what)
		}
		time.Sleep(wait)
	}
}

// must returns the answer to a call that has to succeed.
func must[A any](t *testing.T) func(*connect.Response[A], error) *A {
	t.Helper()
	return func(answer *connect.Response[A], err error) *A {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer.Msg
	}
}

// refused checks that a call was refused with a code and words.
func refused[A any](t *testing.T, code connect.Code, words ...string) func(*connect.Response[A], error) {
	t.Helper()
	return func(_ *connect.Response[A], err error) {
		t.Helper()
		checkError(t, err, code, words...)
	}
}

func checkError(t *testing.T, err error, code connect.Code, words ...string) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != code {
		t.Errorf("error = %v, want one with code %v", err, code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error = %v, want one that says %q", err, word)
		}
	}
}

func ask[M any](m *M) *connect.Request[M] { return connect.NewRequest(m) }

// deploy deploys specs, one text for each.
func (n *node) deploy(texts ...string) *pb.DeployResponse {
	n.Helper()
	return must[pb.DeployResponse](n.T)(n.api.Deploy(n.Context(), ask(&pb.DeployRequest{Files: files(texts...)})))
}

func files(texts ...string) []*pb.SpecFile {
	var list []*pb.SpecFile
	for _, text := range texts {
		list = append(list, &pb.SpecFile{Name: "spec.yaml", Text: []byte(text)})
	}
	return list
}

// service returns a service as the API shows it.
func (n *node) service(name string) *pb.ServiceView {
	n.Helper()
	return must[pb.GetServiceResponse](n.T)(n.api.GetService(n.Context(), ask(&pb.GetServiceRequest{Service: name}))).GetService()
}

// rawLine is a connection in the hands of the test.
type rawLine struct {
	t    *testing.T
	conn net.Conn
}

func (n *node) raw() *rawLine {
	n.Helper()
	conn, err := n.lines.dial(n.Context(), "", "")
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { _ = conn.Close() })
	return &rawLine{n.T, conn}
}

func (l *rawLine) write(text string) {
	l.t.Helper()
	if _, err := l.conn.Write([]byte(text)); err != nil {
		l.t.Fatal(err)
	}
}

// lines are a listener whose connections are in memory.
type lines struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func listen() *lines { return &lines{incoming: make(chan net.Conn), closed: make(chan struct{})} }

func (l *lines) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *lines) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (*lines) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// dial connects to the listener.
func (l *lines) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.incoming <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func testLogger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelError}))
}

// testLog writes to the test's log what a master would print.
type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}
