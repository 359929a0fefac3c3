package router_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// TestTheQueueKeepsItsOrder: those that wait are let go in the order in which
// they came, whoever leaves the queue in between and whenever.
func TestTheQueueKeepsItsOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const places = 20
		line := new(router.Line)
		leavesEarly := rapid.SliceOfN(rapid.Bool(), places, places).Draw(t, "leaves before the release")
		leavesLate := rapid.SliceOfN(rapid.Bool(), places, places).Draw(t, "leaves after it")
		waits, leaves := make([]func(), places), make([]func(), places)
		for i := range places {
			waits[i], leaves[i] = line.Join(places)
		}
		if wait, _ := line.Join(places); wait != nil {
			t.Fatal("the queue took more than its limit")
		}
		var want, got []int
		var mu sync.Mutex
		var waiting sync.WaitGroup
		for i := range places {
			switch {
			case leavesEarly[i]:
				leaves[i]()
			case !leavesLate[i]:
				want = append(want, i)
				waiting.Go(func() {
					waits[i]()
					mu.Lock()
					got = append(got, i)
					mu.Unlock()
					leaves[i]()
				})
			}
		}

		line.Release()
		for i := range places {
			if leavesLate[i] && !leavesEarly[i] {
				leaves[i]()
			}
		}
		waiting.Wait()

		if line.Len() != 0 {
			t.Errorf("%d still wait", line.Len())
		}
		if !slices.Equal(got, want) {
			t.Errorf("they went in the order %v, want %v", got, want)
		}
	})
}

// TestHeldRequestsAllGo: what came while there was no instance reaches the first
// one, bodies and all.
func TestHeldRequestsAllGo(t *testing.T) {
	t.Parallel()
	const requests = 100
	r := start(t, router.Config{})
	r.apply(t, hello())
	var asking sync.WaitGroup
	for i := range requests {
		client := newClient(t)
		asking.Go(func() {
			body := fmt.Sprintf("body %d", i)
			if got, err := do(client, http.MethodPost, "http://"+r.addr, body); err != nil || got.body != body {
				t.Errorf("request %d: answer %d %q, %v", i, got.status, got.body, err)
			}
		})
	}
	r.awaitHeld(t, requests)

	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) { _, _ = io.Copy(w, req.Body) })))

	asking.Wait()
}

// TestHeldRequestsTryInstancesThatRefused: nobody tells the router that the only
// instance accepts connections again; it finds out.
func TestHeldRequestsTryInstancesThatRefused(t *testing.T) {
	t.Parallel()
	endpoint := nobody(t, "t1")
	r := start(t, router.Config{})
	r.apply(t, hello(endpoint))
	var asking sync.WaitGroup
	for i := range 20 {
		asking.Go(func() {
			if got, err := do(newClient(t), http.MethodPost, "http://"+r.addr, "body"); err != nil || got.body != "here" {
				t.Errorf("request %d: answer %d %q, %v", i, got.status, got.body, err)
			}
		})
	}
	r.awaitHeld(t, 20)
	eventually(t, "the instance is ejected", func() bool { return r.Status().Services[0].Endpoints[0].Ejected })

	listener, err := net.Listen("tcp", endpoint.Address)
	if err != nil {
		t.Skipf("the port was taken by somebody else: %v", err)
	}
	server := &http.Server{Handler: named("here")}
	go func() { _ = server.Serve(listener) }()
	defer drop(server)
	asking.Wait()

	if status := r.Status().Services[0]; status.Held != 0 || status.Endpoints[0].Ejected {
		t.Errorf("afterwards: %+v", status)
	}
}

func TestHeldRequestsFollowTheTable(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello())
	got := make(chan answer, 1)
	ask := func() {
		res, err := do(newClient(t), http.MethodGet, "http://"+r.addr, "")
		if err != nil {
			t.Error(err)
		}
		got <- res
	}
	go ask()
	r.awaitHeld(t, 1)

	other := hello(backend(t, "o1", named("other")))
	other.Name = "other"
	r.apply(t, other)
	if res := <-got; res.body != "other" {
		t.Errorf("answer %d %q, want the service that has the rule now", res.status, res.body)
	}

	r.apply(t, hello())
	go ask()
	r.awaitHeld(t, 1)
	r.apply(t)
	if res := <-got; res.status != http.StatusNotFound {
		t.Errorf("answer %d, want 404 when the rule is gone", res.status)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	service := hello()
	service.QueueMax = 2
	r.apply(t, service)
	ctx, leave := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	for range 2 {
		client := newClient(t)
		asking.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr, nil)
			res, err := client.Do(req)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("a held request ended with %v, %v", res, err)
			}
			if err == nil {
				_ = res.Body.Close()
			}
		})
	}
	r.awaitHeld(t, 2)

	got := r.get(t, newClient(t), "/")

	if got.status != http.StatusServiceUnavailable || got.header.Get(router.ReasonHeader) != string(router.QueueFull) || got.header.Get("Retry-After") == "" {
		t.Errorf("answer %d %v, want 503 queue-full", got.status, got.header)
	}
	leave()
	r.awaitHeld(t, 0) // a client that is gone leaves its place
}

// pipes is a listener whose connections live in memory, so that a router can run
// in a bubble of synctest.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	close    func()
}

func newPipes() *pipes {
	closed := make(chan struct{})
	return &pipes{accepted: make(chan net.Conn), closed: closed, close: sync.OnceFunc(func() { close(closed) })}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.close(); return nil }
func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// ask sends a request over a connection of its own and returns the answer.
func (p *pipes) ask(t *testing.T, text string) answer {
	t.Helper()
	near, far := net.Pipe()
	defer drop(near)
	p.accepted <- far
	if _, err := io.WriteString(near, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(near), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(res.Body)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// bubble runs a router with the table on virtual time.
func bubble(t *testing.T, cfg router.Config, table route.Table, test func(t *testing.T, p *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, m := newPipes(), newMasters()
		cfg.ID, cfg.Listener = "r1", p
		r, err := router.New(cfg, m)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		m.tables <- table
		synctest.Wait()
		test(t, p)
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestTheHoldRunsOut(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		service route.Service
		want    time.Duration
	}{
		"the service's own": {route.Service{Hold: 3 * time.Second}, 3 * time.Second},
		"the default":       {route.Service{}, 10 * time.Second},
		"none":              {route.Service{Hold: -1}, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.service.Name, tc.service.Rules = "hello", []route.Rule{{}}
			bubble(t, router.Config{}, route.Table{Services: []route.Service{tc.service}}, func(t *testing.T, p *pipes) {
				t.Helper()
				began := time.Now()

				got := p.ask(t, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

				if took := time.Since(began); took != tc.want {
					t.Errorf("held for %v, want %v", took, tc.want)
				}
				if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" ||
					got.header.Get(router.ReasonHeader) != string(router.NoInstance) || got.body != "service hello has no ready instance\n" {
					t.Errorf("answer %d %v %q", got.status, got.header, got.body)
				}
			})
		})
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	cfg := router.Config{HeaderTimeout: 3 * time.Second, IdleTimeout: time.Minute, HeaderBytesMax: 8 << 10}
	tests := map[string]struct {
		text string
		want time.Duration
	}{
		"before its first byte":       {"", time.Minute},
		"in the middle of the header": {"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ", 3 * time.Second},
		"between requests":            {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", time.Minute},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, cfg, route.Table{}, func(t *testing.T, p *pipes) {
				t.Helper()
				near, far := net.Pipe()
				defer drop(near)
				p.accepted <- far
				began := time.Now()
				go func() { _, _ = io.WriteString(near, tc.text) }()

				_, _ = io.Copy(io.Discard, near)

				if took := time.Since(began); took != tc.want {
					t.Errorf("cut off after %v, want %v", took, tc.want)
				}
			})
		})
	}
	t.Run("a header too long", func(t *testing.T) {
		t.Parallel()
		r := start(t, cfg)
		got, err := do(newClient(t), http.MethodGet, "http://"+r.addr+"/"+strings.Repeat("a", 16<<10), "")
		if err != nil || got.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("answer %d, %v, want 431", got.status, err)
		}
	})
}

// TestTargetsThatNameNothing: what would reach an instance as another target, or as
// none, is refused.
func TestTargetsThatNameNothing(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"CONNECT": "CONNECT evil.example:443", "a scheme without a host": "GET http:4/h/a"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuses(t, target+" HTTP/1.1\r\nHost: evil.example:443\r\n\r\n")
		})
	}
}

// refuses has a router answer 400.
func refuses(t *testing.T, request string) {
	t.Helper()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", named("t1"))))
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	fmt.Fprint(conn, request)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(res.Body)
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("answer %s, want 400", res.Status)
	}
}
