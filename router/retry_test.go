package router_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// raw starts an instance made by hand.
func raw(tb testing.TB, task id.Task, handle func(conn net.Conn, in *bufio.Reader)) route.Endpoint {
	tb.Helper()
	listener := listen(tb)
	go serveRaw(listener, handle)
	return route.Endpoint{Task: task, Revision: 1, Address: listener.Addr().String()}
}

// TestRefusedConnectionsCostNothing: while one instance accepts connections, no
// request of any method notices that the others do not.
func TestRefusedConnectionsCostNothing(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{BodyKeepMax: 8})
	r.apply(t, hello(nobody(t, "t1"), nobody(t, "t2"), nobody(t, "t3"), backend(t, "t4", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(w, req.Body)
	})))
	client := newClient(t)

	for i := range 40 {
		body := "small"
		if i%2 == 0 {
			body = "too long to be kept"
		}
		got, err := do(client, []string{"POST", "PUT", "PATCH"}[i%3], "http://"+r.addr+"/", body)
		if err != nil || got.status != http.StatusOK || got.body != body {
			t.Fatalf("request %d: answer %d %q, %v", i, got.status, got.body, err)
		}
	}
}

// TestRetriesAfterSilence: an instance that closes without an answer costs a
// request only if the request must not be carried out twice.
func TestRetriesAfterSilence(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	r := start(t, router.Config{BodyKeepMax: 8})
	silent := func(_ net.Conn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[req.URL.Path]++
	}
	r.apply(t, hello(raw(t, "t1", silent), raw(t, "t2", silent), raw(t, "t3", silent), raw(t, "t4", silent)))
	tests := map[string]struct {
		method, body string
		sent         int
	}{
		"GET":                  {"GET", "", 3},
		"HEAD":                 {"HEAD", "", 3},
		"OPTIONS":              {"OPTIONS", "", 3},
		"PUT with small body":  {"PUT", "small", 3},
		"PUT with large body":  {"PUT", "too long to be kept", 1},
		"DELETE":               {"DELETE", "", 3},
		"POST":                 {"POST", "small", 1},
		"POST without a body":  {"POST", "", 1},
		"PATCH":                {"PATCH", "small", 1},
		"a method of its own":  {"BREW", "", 1},
		"POST with large body": {"POST", "too long to be kept", 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "/" + fmt.Sprintf("%x", name)

			got, err := do(newClient(t), tc.method, "http://"+r.addr+path, tc.body)

			if err != nil || got.status != http.StatusBadGateway || got.header.Get(router.ReasonHeader) != string(router.Broken) {
				t.Errorf("answer %d %v, %v, want 502 broken", got.status, got.header, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[path] != tc.sent {
				t.Errorf("instances saw it %d times, want %d", seen[path], tc.sent)
			}
		})
	}
}

// TestARetryGoesToAnotherInstance: one instance in four is silent; no GET fails.
func TestARetryGoesToAnotherInstance(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(
		raw(t, "t1", func(_ net.Conn, in *bufio.Reader) { _, _ = http.ReadRequest(in) }),
		backend(t, "t2", named("t2")),
	))
	client := newClient(t)
	for range 50 {
		if got := r.get(t, client, "/"); got.body != "t2" {
			t.Fatalf("answer %d %q, want t2", got.status, got.body)
		}
	}
}

func TestOtherFailures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		handle func(net.Conn, *bufio.Reader)
		status int
		reason router.Reason
	}{
		"it does not answer in time": {
			func(_ net.Conn, in *bufio.Reader) { _, _ = http.ReadRequest(in); _, _ = in.ReadByte() },
			http.StatusGatewayTimeout, router.Late,
		},
		"it speaks something else": {
			func(c net.Conn, in *bufio.Reader) {
				_, _ = http.ReadRequest(in)
				_, _ = io.WriteString(c, "220 smtp\r\n")
			},
			http.StatusBadGateway, router.Garbled,
		},
		"it switches protocols unasked": {
			func(c net.Conn, in *bufio.Reader) {
				_, _ = http.ReadRequest(in)
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			},
			http.StatusBadGateway, router.Garbled,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, router.Config{AnswerTimeout: 100 * time.Millisecond})
			r.apply(t, hello(raw(t, "t1", tc.handle)))

			got := r.get(t, newClient(t), "/")

			if got.status != tc.status || got.header.Get(router.ReasonHeader) != string(tc.reason) {
				t.Errorf("answer %d %v, want %d %s", got.status, got.header, tc.status, tc.reason)
			}
		})
	}
}

// TestAnAnswerThatBreaksOffIsNotPassedForWhole: the client notices.
func TestAnAnswerThatBreaksOffIsNotPassedForWhole(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"of known length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"in chunks":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		for proto, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2Client(t)} {
			t.Run(name+" over "+proto, func(t *testing.T) {
				t.Parallel()
				r := start(t, router.Config{})
				r.apply(t, hello(raw(t, "t1", func(c net.Conn, in *bufio.Reader) {
					_, _ = http.ReadRequest(in)
					_, _ = io.WriteString(c, head)
				})))

				got, err := do(client, http.MethodGet, "http://"+r.addr+"/", "")

				if err == nil {
					t.Errorf("answer %d %q came for whole", got.status, got.body)
				}
			})
		}
	}
}

func TestABodyThatDoesNotComeWhole(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", named("t1"))))
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	_ = conn.(*net.TCPConn).CloseWrite()

	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(res.Body)

	if res.StatusCode != http.StatusBadRequest || res.Header.Get(router.ReasonHeader) != string(router.BadRequest) {
		t.Errorf("answer %s %v, want 400", res.Status, res.Header)
	}
}

// tally counts how often each numbered request was carried out and answered.
type tally struct {
	mu                 sync.Mutex
	carriedOut, failed map[string]int
}

func newTally() *tally { return &tally{carriedOut: map[string]int{}, failed: map[string]int{}} }

func (a *tally) carryOut(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.carriedOut[name]++
}

func (a *tally) fail(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed[name]++
}

// flood sends POSTs from several clients, each with pauses of about the given
// length, and returns how many it sent. A request that is answered with 200 must
// have been carried out once, any other at most once.
func (a *tally) flood(t *testing.T, addr string, clients, each int, pause func() time.Duration) int {
	t.Helper()
	var sending sync.WaitGroup
	for i := range clients {
		client := newClient(t)
		sending.Go(func() {
			for j := range each {
				name := fmt.Sprintf("%d-%d", i, j)
				got, err := do(client, http.MethodPost, "http://"+addr+"/"+name, "body of "+name)
				if err != nil || got.status != http.StatusOK {
					a.fail(name)
				}
				<-time.After(pause())
			}
		})
	}
	sending.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range clients {
		for j := range each {
			name := fmt.Sprintf("%d-%d", i, j)
			if n := a.carriedOut[name]; n > 1 || n == 0 && a.failed[name] == 0 {
				t.Errorf("request %s was carried out %d times", name, n)
			}
		}
	}
	return clients * each
}

// TestKeepAliveTimeoutLosesNothing: the instance closes a connection that was
// idle for a second, and POSTs come when connections are about that old.
func TestKeepAliveTimeoutLosesNothing(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			t.Parallel()
			done := newTally()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				done.carryOut(req.URL.Path[1:])
				_, _ = io.Copy(io.Discard, req.Body)
			}))
			server.Config.IdleTimeout = timeout
			server.Start()
			t.Cleanup(server.Close)
			r := start(t, router.Config{})
			r.apply(t, hello(route.Endpoint{Task: "t1", Revision: 1, Address: server.Listener.Addr().String()}))

			sent := done.flood(t, r.addr, 16, min(30, int(4*time.Second/timeout)), func() time.Duration {
				return timeout - timeout/50 + rand.N(timeout/25) // the timeout, give or take 2 %
			})

			if len(done.failed) > 0 {
				t.Errorf("%d of %d POSTs failed", len(done.failed), sent)
			}
		})
	}
}

// TestNoPOSTIsCarriedOutTwice: the instance closes connections at the worst
// moments. Where it does so after each answer it earns no trust, and no POST may
// fail. Where it keeps some open and then goes back on it, or closes only when a
// request has come, not every POST can be saved; but none is carried out twice.
func TestNoPOSTIsCarriedOutTwice(t *testing.T) {
	t.Parallel()
	soon := func() { <-time.After(rand.N(300 * time.Microsecond)) }
	ends := map[string]struct {
		end   func(conn *net.TCPConn, in *bufio.Reader) // after the last answer
		baits bool                                      // it looks alive until a request has come
	}{
		"at once":        {end: func(*net.TCPConn, *bufio.Reader) {}},
		"a moment later": {end: func(*net.TCPConn, *bufio.Reader) { soon() }},
		"by a reset": {end: func(c *net.TCPConn, _ *bufio.Reader) {
			soon()
			_ = c.SetLinger(0)
		}},
		"its writing side first": {end: func(c *net.TCPConn, in *bufio.Reader) {
			_ = c.CloseWrite()
			_, _ = io.Copy(io.Discard, in)
		}},
		"when the next request comes": {end: func(_ *net.TCPConn, in *bufio.Reader) { _, _ = in.Peek(1) }, baits: true},
		"when it has read half of it": {end: func(_ *net.TCPConn, in *bufio.Reader) { _, _ = in.Discard(30) }, baits: true},
	}
	for name, tc := range ends {
		for _, answersMax := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, after %d answers at most", name, answersMax), func(t *testing.T) {
				t.Parallel()
				done := newTally()
				r := start(t, router.Config{})
				r.apply(t, hello(raw(t, "t1", func(c net.Conn, in *bufio.Reader) {
					for range 1 + rand.IntN(answersMax) {
						req, err := http.ReadRequest(in)
						if err != nil {
							return
						}
						done.carryOut(req.URL.Path[1:])
						_, _ = io.Copy(io.Discard, req.Body)
						_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
					tc.end(c.(*net.TCPConn), in)
				})))

				sent := done.flood(t, r.addr, 4, 100, func() time.Duration { return rand.N(time.Millisecond) })

				if len(done.failed) > 0 && answersMax == 1 && !tc.baits {
					t.Errorf("%d of %d POSTs failed", len(done.failed), sent)
				}
			})
		}
	}
}

// TestAKilledInstanceFailsOnlyWhatItHad: POSTs in flight get 502, and are not
// sent to the other instance.
func TestAKilledInstanceFailsOnlyWhatItHad(t *testing.T) {
	t.Parallel()
	had := make(chan struct{}, 1)
	kill := make(chan struct{})
	others := newTally()
	r := start(t, router.Config{})
	victim := raw(t, "t1", func(c net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		had <- struct{}{}
		<-kill
		_ = c.(*net.TCPConn).SetLinger(0) // as the kernel does for a process that is gone
	})
	r.apply(t, hello(victim))
	got := make(chan answer, 1)
	go func() {
		res, err := do(newClient(t), http.MethodPost, "http://"+r.addr+"/in-flight", "body")
		if err != nil {
			t.Error(err)
		}
		got <- res
	}()
	<-had
	r.apply(t, hello(victim, backend(t, "t2", func(_ http.ResponseWriter, req *http.Request) { others.carryOut(req.URL.Path) })))

	close(kill)

	if res := <-got; res.status != http.StatusBadGateway || res.header.Get(router.ReasonHeader) != string(router.Broken) {
		t.Errorf("answer %d %v, want 502 broken", res.status, res.header)
	}
	if len(others.carriedOut) != 0 {
		t.Errorf("the other instance got %v", others.carriedOut)
	}
}
