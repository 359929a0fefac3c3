package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aloft-run/aloft/router/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// instance is made by hand: handle gets each connection and its number, from 1.
func instance(t *testing.T, handle func(conn *net.TCPConn, in *bufio.Reader, number int)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for number := 1; ; number++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer drop(conn)
				handle(conn.(*net.TCPConn), bufio.NewReader(conn), number)
			}()
		}
	}()
	t.Cleanup(func() {
		drop(listener)
		<-accepting
	})
	return listener.Addr().String()
}

// serve answers every request on a connection with its number and the body.
func serve(conn io.Writer, in *bufio.Reader, number int) {
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		text := fmt.Sprintf("%d %s", number, body)
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
}

func newPool(t *testing.T, cfg upstream.Config) *upstream.Pool {
	t.Helper()
	pool := upstream.New(cfg)
	t.Cleanup(pool.Close)
	return pool
}

// request makes one with a body that can be sent again.
func request(ctx context.Context, t *testing.T, method, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://x.localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.ContentLength = int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
	}
	return req
}

// exchange sends a request and returns the body of the answer.
func exchange(t *testing.T, pool *upstream.Pool, req *http.Request) string {
	t.Helper()
	res, err := pool.Exchange(req)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(res.Body)
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// failed sends a request that must fail.
func failed(t *testing.T, pool *upstream.Pool, req *http.Request) *upstream.Error {
	t.Helper()
	res, err := pool.Exchange(req)
	if err == nil {
		_ = res.Body.Close()
	}
	failure, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		t.Fatalf("Exchange = %v, want an *Error", err)
	}
	return failure
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	pool := newPool(t, upstream.Config{Address: instance(t, func(c *net.TCPConn, in *bufio.Reader, n int) { serve(c, in, n) })})

	for range 10 {
		if got := exchange(t, pool, request(t.Context(), t, http.MethodPut, "x")); got != "1 x" {
			t.Errorf("answer %q, want one over the first connection", got)
		}
	}

	if pool.Idle() != 1 {
		t.Errorf("%d idle connections, want 1", pool.Idle())
	}
	pool.Close()
	if pool.Idle() != 0 {
		t.Errorf("%d idle connections after Close, want none", pool.Idle())
	}
	exchange(t, pool, request(t.Context(), t, http.MethodPut, "x"))
	if pool.Idle() != 0 {
		t.Errorf("a closed pool kept a connection")
	}
}

func TestWhatCannotBeSentAgainGetsANewConnection(t *testing.T) {
	t.Parallel()
	pool := newPool(t, upstream.Config{Address: instance(t, func(c *net.TCPConn, in *bufio.Reader, n int) { serve(c, in, n) })})
	stream := func(method string) *http.Request {
		req := request(t.Context(), t, method, "")
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("stream"))) // its length is not known
		req.ContentLength = -1
		return req
	}

	got := []string{
		exchange(t, pool, request(t.Context(), t, http.MethodGet, "")),
		exchange(t, pool, request(t.Context(), t, http.MethodPost, "kept")), // nothing is known yet of how long connections stay open
		exchange(t, pool, stream(http.MethodPut)),
		exchange(t, pool, request(t.Context(), t, http.MethodGet, "")),
	}

	for i, want := range []string{"1 ", "2 kept", "3 stream"} {
		if got[i] != want {
			t.Errorf("answer %d is %q, want %q", i, got[i], want)
		}
	}
	if got[3] == "4 " {
		t.Errorf("the last request got a new connection and need not have")
	}
}

// TestTheFreshestConnectionsAreKept: a pool that is full of old connections
// would have none for requests that need a fresh one.
func TestTheFreshestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	address := instance(t, func(c *net.TCPConn, in *bufio.Reader, n int) { serve(c, in, n) })
	pool := newPool(t, upstream.Config{Address: address, IdleConnsMax: 1})

	exchange(t, pool, request(t.Context(), t, http.MethodGet, ""))
	exchange(t, pool, request(t.Context(), t, http.MethodPost, "over a second connection"))

	if got := exchange(t, pool, request(t.Context(), t, http.MethodGet, "")); got != "2 " || pool.Idle() != 1 {
		t.Errorf("answer %q and %d idle, want one over the second connection and 1", got, pool.Idle())
	}
}

// TestTrustIsLearned: after an idle connection was seen open for a while, a
// request that must not be sent twice may use one that was idle for half as long.
func TestTrustIsLearned(t *testing.T) {
	t.Parallel()
	pool := newPool(t, upstream.Config{Address: instance(t, func(c *net.TCPConn, in *bufio.Reader, n int) { serve(c, in, n) })})
	exchange(t, pool, request(t.Context(), t, http.MethodGet, ""))

	pool.Sweep(time.Now().Add(20 * time.Second)) // as if it had been idle for so long

	if got := exchange(t, pool, request(t.Context(), t, http.MethodPost, "x")); got != "1 x" {
		t.Errorf("answer %q, want one over the first connection", got)
	}
	pool.Sweep(time.Now().Add(time.Hour))
	if pool.Idle() != 0 {
		t.Error("a connection was kept after an hour")
	}
}

// TestTrustIsLost: an instance that announces or shows that it closes idle
// connections at once gets each request that must not be sent twice over a new one.
func TestTrustIsLost(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *net.TCPConn, in *bufio.Reader, n int){
		"it is announced": func(c *net.TCPConn, in *bufio.Reader, n int) {
			for {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nKeep-Alive: max=5, timeout=0\r\nContent-Length: 1\r\n\r\n%d", n)
			}
		},
		"it is seen": func(c *net.TCPConn, in *bufio.Reader, n int) {
			if _, err := http.ReadRequest(in); err == nil {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", n)
			}
		},
	}
	for name, handle := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := newPool(t, upstream.Config{Address: instance(t, handle)})
			exchange(t, pool, request(t.Context(), t, http.MethodGet, ""))
			awaitClosed(t, pool, name == "it is seen")
			exchange(t, pool, request(t.Context(), t, http.MethodGet, ""))
			pool.Sweep(time.Now().Add(20 * time.Second))

			first := exchange(t, pool, request(t.Context(), t, http.MethodPost, ""))
			second := exchange(t, pool, request(t.Context(), t, http.MethodPost, ""))

			if first == second {
				t.Errorf("two POSTs went over connection %s", first)
			}
		})
	}
}

// awaitClosed sweeps until the pool has seen the end of its idle connection.
func awaitClosed(t *testing.T, pool *upstream.Pool, expected bool) {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for expected && pool.Idle() > 0 {
		select {
		case <-tick.C:
			pool.Sweep(time.Now().Add(time.Second))
		case <-late:
			t.Fatal("the connection's end was not seen")
		}
	}
}

// reaches are the ways in which an exchange can fail, and how far the request is
// known to have got.
var reaches = map[string]struct {
	handle func(c *net.TCPConn, in *bufio.Reader)
	early  bool // handle runs to its end before anything is sent
	want   upstream.Reach
}{
	"it closes before anything arrives": {
		handle: func(*net.TCPConn, *bufio.Reader) {}, early: true, want: upstream.Unread,
	},
	"it resets before anything arrives": {
		handle: func(c *net.TCPConn, _ *bufio.Reader) { _ = c.SetLinger(0) }, early: true, want: upstream.Unread,
	},
	"it reads all and closes": {
		handle: func(_ *net.TCPConn, in *bufio.Reader) { readAll(in) }, want: upstream.Unanswered,
	},
	"it reads all and resets": {
		handle: func(c *net.TCPConn, in *bufio.Reader) { readAll(in); _ = c.SetLinger(0) }, want: upstream.Unanswered,
	},
	"it reads one byte and closes": {
		handle: func(c *net.TCPConn, _ *bufio.Reader) { _, _ = c.Read(make([]byte, 1)) }, want: upstream.Unanswered,
	},
	"it sees the request, reads nothing and closes": {
		handle: func(_ *net.TCPConn, in *bufio.Reader) { _, _ = in.Peek(1) }, want: upstream.Unanswered,
	},
	"it does not answer in time": {
		handle: func(_ *net.TCPConn, in *bufio.Reader) { readAll(in); _, _ = in.ReadByte() }, want: upstream.Late,
	},
	"it speaks something else": {
		handle: func(c *net.TCPConn, in *bufio.Reader) { readAll(in); _, _ = io.WriteString(c, "220 smtp ready\r\n") }, want: upstream.Garbled,
	},
	"its answer breaks off in the header": {
		handle: func(c *net.TCPConn, in *bufio.Reader) {
			readAll(in)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ")
		}, want: upstream.Garbled,
	},
	"its header never ends": {
		handle: func(c *net.TCPConn, in *bufio.Reader) {
			readAll(in)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for line := bytes.Repeat([]byte("A: b\r\n"), 1000); ; {
				if _, err := c.Write(line); err != nil {
					return
				}
			}
		},
		want: upstream.Garbled,
	},
	"it says Continue for ever": {
		handle: func(c *net.TCPConn, in *bufio.Reader) {
			readAll(in)
			for line := bytes.Repeat([]byte("HTTP/1.1 100 Continue\r\n\r\n"), 1000); ; {
				if _, err := c.Write(line); err != nil {
					return
				}
			}
		},
		want: upstream.Garbled,
	},
}

// readAll reads one request.
func readAll(in *bufio.Reader) {
	if req, err := http.ReadRequest(in); err == nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

func TestHowFarARequestGot(t *testing.T) {
	t.Parallel()
	for name, tc := range reaches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{})
			address := instance(t, func(c *net.TCPConn, in *bufio.Reader, _ int) {
				tc.handle(c, in)
				drop(c)
				close(done)
			})
			cfg := upstream.Config{Address: address, AnswerTimeout: patience, HeaderBytesMax: 64 << 10}
			if tc.want == upstream.Late {
				cfg.AnswerTimeout = 50 * time.Millisecond
			}
			pool := newPool(t, cfg)
			ctx := t.Context()
			if tc.early {
				ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: func(string, string, error) { <-done }})
			}

			failure := failed(t, pool, request(ctx, t, http.MethodPost, "body"))

			reached := failure.Reach
			if tc.early {
				reached = max(reached, upstream.Unread) // a reset may be met while still connecting
			}
			if reached != tc.want {
				t.Errorf("Exchange = %v, want %s", failure, tc.want)
			}
			<-done
		})
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	drop(listener)
	pool := newPool(t, upstream.Config{Address: listener.Addr().String()})
	body := &watched{Reader: strings.NewReader("stream")}
	req := request(t.Context(), t, http.MethodPost, "")
	req.Body, req.ContentLength = body, -1

	failure := failed(t, pool, req)

	if failure.Reach != upstream.Unreached || !errors.Is(failure, syscall.ECONNREFUSED) {
		t.Errorf("Exchange = %v, want unreached", failure)
	}
	if body.touched {
		t.Error("the body was read or closed, so that it cannot go to another instance")
	}
	if err := pool.Connect(t.Context()); err == nil {
		t.Error("Connect reached somebody")
	}
}

// watched notices when a body is used.
type watched struct {
	io.Reader
	touched bool
}

func (w *watched) Read(p []byte) (int, error) { w.touched = true; return w.Reader.Read(p) }
func (w *watched) Close() error               { w.touched = true; return nil }

func TestAClientThatLeaves(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		when string // "before" the request, when it has "arrived", or never
		body io.Reader
	}{
		"before the connection":         {when: "before"},
		"while it waits for the answer": {when: "arrived"},
		"while it sends its body":       {when: "arrived", body: endless{}},
		"with half of its body sent":    {body: io.MultiReader(strings.NewReader("half"), broken{})},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			address := instance(t, func(_ *net.TCPConn, in *bufio.Reader, _ int) {
				if _, err := in.ReadByte(); err == nil && tc.when == "arrived" {
					leave()
				}
				_, _ = io.Copy(io.Discard, in)
			})
			pool := newPool(t, upstream.Config{Address: address})
			req := request(ctx, t, http.MethodPost, "")
			if tc.body != nil {
				req.Body, req.ContentLength = io.NopCloser(tc.body), 1<<40
			}
			if tc.when == "before" {
				leave()
			}

			if failure := failed(t, pool, req); failure.Reach != upstream.Abandoned {
				t.Errorf("Exchange = %v, want abandoned", failure)
			}
		})
	}
}

// broken is a body that breaks off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("client gone") }

// TestAnAnswerThatComesEarly: an instance may answer before it has read the
// body, and close. The answer counts.
func TestAnAnswerThatComesEarly(t *testing.T) {
	t.Parallel()
	address := instance(t, func(c *net.TCPConn, in *bufio.Reader, _ int) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, in)
	})
	pool := newPool(t, upstream.Config{Address: address})
	req := request(t.Context(), t, http.MethodPost, "")
	req.Body, req.ContentLength = io.NopCloser(endless{}), -1

	if got := exchange(t, pool, req); got != "big" {
		t.Errorf("answer %q, want big", got)
	}
	if pool.Idle() != 0 {
		t.Error("a connection on which a body was still being sent was kept")
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestWhatIsLeftOverIsNotTheNextAnswer: a connection on which more came than the
// answer, or less was read, is not used again.
func TestWhatIsLeftOverIsNotTheNextAnswer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer string
		read   bool
	}{
		"more than the answer":         {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", true},
		"more than no body":            {"HTTP/1.1 204 No Content\r\n\r\nevil", true},
		"a body that nobody read":      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"a connection to be closed":    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", true},
		"an answer in HTTP/1.0":        {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"a length that is no length":   {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nevil", true},
		"a switch to another protocol": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := instance(t, func(c *net.TCPConn, in *bufio.Reader, _ int) {
				readAll(in)
				_, _ = io.WriteString(c, tc.answer)
				_, _ = in.ReadByte()
			})
			pool := newPool(t, upstream.Config{Address: address})

			res, err := pool.Exchange(request(t.Context(), t, http.MethodGet, ""))
			if err != nil {
				t.Fatal(err)
			}
			if tc.read {
				_, _ = io.Copy(io.Discard, res.Body)
			}
			_ = res.Body.Close()

			if pool.Idle() != 0 {
				t.Error("the connection was kept")
			}
		})
	}
}

// TestAnIdleConnectionThatTheInstanceClosedIsNotUsed: not even a request that
// may be sent twice is wasted on it.
func TestAnIdleConnectionThatTheInstanceClosedIsNotUsed(t *testing.T) {
	t.Parallel()
	shut := make(chan struct{})
	closed := make(chan struct{})
	address := instance(t, func(c *net.TCPConn, in *bufio.Reader, n int) {
		if n > 1 {
			serve(c, in, n)
			return
		}
		go serve(c, in, n)
		<-shut
		drop(c)
		close(closed)
	})
	pool := newPool(t, upstream.Config{Address: address})
	exchange(t, pool, request(t.Context(), t, http.MethodGet, ""))
	close(shut)
	<-closed

	if got := exchange(t, pool, request(t.Context(), t, http.MethodGet, "")); got != "2 " {
		t.Errorf("answer %q, want one over a new connection", got)
	}
}

// drop closes what a test needs no longer, whether or not it is closed already.
func drop(c io.Closer) { _ = c.Close() }
