package router_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// masters stand in for the masters' end of a session.
type masters struct {
	tables  chan route.Table
	breakUp chan error // ends the session with the error

	mu        sync.Mutex
	confirmed []route.Confirmation
	goodbyes  []int // how many confirmations there were when each was said
	sessions  int
	news      chan struct{} // closed and replaced when one of these grows
}

func newMasters() *masters {
	return &masters{tables: make(chan route.Table), breakUp: make(chan error), news: make(chan struct{})}
}

func (m *masters) Follow(ctx context.Context, confirmations <-chan route.Confirmation, apply func(route.Table)) error {
	m.record(func() { m.sessions++ })
	for {
		select {
		case table := <-m.tables:
			apply(table)
		case c, open := <-confirmations:
			if !open {
				m.record(func() { m.goodbyes = append(m.goodbyes, len(m.confirmed)) })
				return nil
			}
			m.record(func() { m.confirmed = append(m.confirmed, c) })
		case err := <-m.breakUp:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (m *masters) record(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	close(m.news)
	m.news = make(chan struct{})
}

// await returns the first confirmation, of those from number from on, that is as
// wanted, and the number of the one after it.
func (m *masters) await(tb testing.TB, from int, want func(route.Confirmation) bool) (route.Confirmation, int) {
	tb.Helper()
	late := time.After(patience)
	for {
		m.mu.Lock()
		news := m.news
		for ; from < len(m.confirmed); from++ {
			if c := m.confirmed[from]; want(c) {
				m.mu.Unlock()
				return c, from + 1
			}
		}
		m.mu.Unlock()
		select {
		case <-news:
		case <-late:
			tb.Fatalf("no such confirmation; the last ones were %v", m.confirmed[max(0, len(m.confirmed)-5):])
		}
	}
}

// heard returns how many confirmations came, and how many of them before each
// goodbye.
func (m *masters) heard() (confirmed int, goodbyes []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.confirmed), slices.Clone(m.goodbyes)
}

// awaitSessions returns when n sessions were begun.
func (m *masters) awaitSessions(tb testing.TB, n int) {
	tb.Helper()
	eventually(tb, fmt.Sprintf("%d sessions", n), func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.sessions >= n
	})
}

// running is a router under test.
type running struct {
	*router.Router
	masters *masters
	addr    string
	seq     uint64
	stop    func() error // ends Run and returns its error; later calls return the same
	replace func()       // ends Run because another process has taken over
}

// start runs a router until the test ends. It fills in what cfg leaves out.
func start(tb testing.TB, cfg router.Config) *running {
	tb.Helper()
	if cfg.Listener == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		cfg.Listener = listener
	}
	if cfg.ID == "" {
		cfg.ID = "r1"
	}
	m := newMasters()
	r, err := router.New(cfg, m)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	run := &running{Router: r, masters: m, addr: cfg.Listener.Addr().String(), replace: func() { cancel(router.ErrReplaced) }}
	run.stop = sync.OnceValue(func() error {
		cancel(nil)
		return <-ended
	})
	tb.Cleanup(func() {
		if err := run.stop(); !errors.Is(err, context.Canceled) && !errors.Is(err, router.ErrReplaced) {
			tb.Errorf("Run = %v, want canceled", err)
		}
	})
	return run
}

// apply sends a table of the services and returns when it is confirmed.
func (r *running) apply(tb testing.TB, services ...route.Service) route.Confirmation {
	tb.Helper()
	r.seq++
	table := route.Table{Version: route.Version{Epoch: 1, Seq: r.seq}, Services: services}
	r.send(tb, table)
	c, _ := r.masters.await(tb, 0, func(c route.Confirmation) bool { return c.Version == table.Version })
	return c
}

func (r *running) send(tb testing.TB, table route.Table) {
	tb.Helper()
	select {
	case r.masters.tables <- table:
	case <-time.After(patience):
		tb.Fatal("no session takes the table")
	}
}

// hello is a service for any host with the given instances.
func hello(endpoints ...route.Endpoint) route.Service {
	return route.Service{Name: "hello", Rules: []route.Rule{{}}, Hold: time.Minute, Endpoints: endpoints}
}

// backend starts an instance and returns how to reach it.
func backend(tb testing.TB, task id.Task, handler http.HandlerFunc) route.Endpoint {
	tb.Helper()
	server := httptest.NewServer(handler)
	tb.Cleanup(server.Close)
	return route.Endpoint{Task: task, Revision: 1, Address: server.Listener.Addr().String()}
}

// named answers every request with its own name.
func named(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }
}

// nobody is an address that refuses connections.
func nobody(tb testing.TB, task id.Task) route.Endpoint {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer drop(listener)
	return route.Endpoint{Task: task, Revision: 1, Address: listener.Addr().String()}
}

// newClient returns a client with connections of its own.
func newClient(tb testing.TB) *http.Client {
	tb.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// answer is a response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads the answer.
func do(client *http.Client, method, url, body string) (answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		return answer{}, err
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer drop(res.Body)
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}

// get asks the router for a path and fails the test unless an answer comes.
func (r *running) get(tb testing.TB, client *http.Client, path string) answer {
	tb.Helper()
	got, err := do(client, http.MethodGet, "http://"+r.addr+path, "")
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// eventually returns when the condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			tb.Fatalf("it never came to: %s", what)
		}
	}
}

// awaitHeld returns when n requests wait for an instance of the first service.
func (r *running) awaitHeld(tb testing.TB, n int) {
	tb.Helper()
	eventually(tb, fmt.Sprintf("%d requests held", n), func() bool {
		status := r.Status()
		return len(status.Services) > 0 && status.Services[0].Held == n
	})
}

// drop closes what a test needs no longer, whether or not it is closed already.
func drop(c io.Closer) { _ = c.Close() }
