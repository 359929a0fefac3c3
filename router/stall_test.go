package router_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// hurried is a router whose clients have little time.
func hurried(t *testing.T, limit time.Duration) (*running, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	return start(t, router.Config{ClientTimeout: limit, BodyKeepMax: 8, Registerer: registry}), registry
}

// outlast returns when other clients of the router have reached its limit n times,
// one after the other.
func (r *running) outlast(t *testing.T, n int) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, "POST /outlast HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
		if got := read(t, bufio.NewReader(conn)); got.status != http.StatusRequestTimeout {
			t.Fatalf("answer %d, want 408", got.status)
		}
		drop(conn)
	}
}

// awaitIdle returns when no instance of the first service has a request.
func (r *running) awaitIdle(t *testing.T) {
	t.Helper()
	eventually(t, "no request is in flight", func() bool {
		for _, e := range r.Status().Services[0].Endpoints {
			if e.InFlight > 0 {
				return false
			}
		}
		return true
	})
}

// TestAStalledUpload: the instance gets rid of it, a drain does not wait for it,
// and the client hears why.
func TestAStalledUpload(t *testing.T) {
	t.Parallel()
	starts := map[string]func(t *testing.T, addr string) func() (answer, error){
		"HTTP/1.1, chunked": func(t *testing.T, addr string) func() (answer, error) {
			t.Helper()
			return stallRaw(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		},
		"HTTP/1.1, counted": func(t *testing.T, addr string) func() (answer, error) {
			t.Helper()
			return stallRaw(t, addr, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhello")
		},
		"HTTP/2": func(t *testing.T, addr string) func() (answer, error) {
			t.Helper()
			body, pen := io.Pipe()
			t.Cleanup(func() { drop(pen) })
			client := newH2Client(t)
			go func() { _, _ = io.WriteString(pen, "hello") }()
			return func() (answer, error) { return post(client, addr, body) }
		},
	}
	for name, begin := range starts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, registry := hurried(t, 100*time.Millisecond)
			ended := make(chan error, 1)
			r.apply(t, hello(backend(t, "t1", func(_ http.ResponseWriter, req *http.Request) {
				_, err := io.Copy(io.Discard, req.Body)
				ended <- err
			})))

			got, err := begin(t, r.addr)()

			if err != nil || got.status != http.StatusRequestTimeout || got.header.Get(router.ReasonHeader) != string(router.ClientSlow) {
				t.Errorf("answer %d %v, %v", got.status, got.header, err)
			}
			if err := <-ended; err == nil {
				t.Error("the instance took the body for whole")
			}
			if c := r.apply(t, hello()); len(c.Busy) != 0 {
				r.masters.await(t, 0, func(c route.Confirmation) bool { return c.Version.Seq == 2 && len(c.Busy) == 0 })
			}
			if text := figures(t, registry); !strings.Contains(text, "aloft_router_client_timeouts_total{waiting_for=request} 1") {
				t.Errorf("not counted:\n%s", text)
			}
		})
	}
}

// stallRaw begins a request in HTTP/1.1 that does not go on. What it returns waits
// for the answer and for the end of the connection.
func stallRaw(t *testing.T, addr, text string) func() (answer, error) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(conn) })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text)
	return func() (answer, error) {
		in := bufio.NewReader(conn)
		got := read(t, in)
		if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
			return got, fmt.Errorf("after the answer: %w", err)
		}
		return got, nil
	}
}

// post sends a body of unknown length.
func post(client *http.Client, addr string, body io.Reader) (answer, error) {
	res, err := client.Post("http://"+addr, "text/plain", body)
	if err != nil {
		return answer{}, err
	}
	defer drop(res.Body)
	text, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(text)}, err
}

// TestSilenceThatIsNobodysFault: an instance may be silent for as long as it
// likes, and so may both sides when they have changed the protocol.
func TestSilenceThatIsNobodysFault(t *testing.T) {
	t.Parallel()
	r, _ := hurried(t, 100*time.Millisecond)
	next := make(chan struct{})
	events := backend(t, "s1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 2 {
			fmt.Fprintf(w, "data: %d\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	echo := raw(t, "e1", func(conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(conn, in)
		}
	})
	r.apply(t, route.Service{Name: "events", Rules: []route.Rule{{Path: "/events"}}, Endpoints: []route.Endpoint{events}}, hello(echo))
	for proto, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2Client(t)} {
		for method, body := range map[string]string{http.MethodGet: "", http.MethodPost: "a long body"} {
			t.Run(method+" events by "+proto, func(t *testing.T) {
				req, err := http.NewRequest(method, "http://"+r.addr+"/events", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer drop(res.Body)
				lines := bufio.NewReader(res.Body)
				for i := range 2 {
					line, err := lines.ReadString('\n')
					if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
						t.Fatalf("line %d is %q, %v", i, line, err)
					}
					r.outlast(t, 3)
					next <- struct{}{}
				}
				if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("at the end: %v", err)
				}
			})
		}
	}
	t.Run("an upgraded connection", func(t *testing.T) {
		conn, in := upgrade(t, r.addr)
		for range 2 {
			r.outlast(t, 3)
			if _, err := io.WriteString(conn, "hello\n"); err != nil {
				t.Fatal(err)
			}
			if line, err := in.ReadString('\n'); err != nil || line != "hello\n" {
				t.Fatalf("echo %q, %v", line, err)
			}
		}
	})
}

// TestAnAnswerThatIsTaken: a client that takes the answer may leave the body where
// it is; when it takes no more of it, that is the end.
func TestAnAnswerThatIsTaken(t *testing.T) {
	t.Parallel()
	r, _ := hurried(t, 400*time.Millisecond)
	quiet := make(chan struct{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			_, _ = io.WriteString(w, "tick\n")
			_ = rc.Flush()
			select {
			case <-tick.C:
			case <-quiet:
				_, _ = io.Copy(io.Discard, req.Body)
				return
			}
		}
	})))
	for proto, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2Client(t)} {
		t.Run(proto, func(t *testing.T) {
			body, pen := io.Pipe()
			defer drop(pen)
			go func() { _, _ = io.WriteString(pen, "begun") }()
			res, err := client.Post("http://"+r.addr, "text/plain", body)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(res.Body)
			if closes := res.ProtoMajor == 1; res.Close != closes {
				t.Errorf("close = %v", res.Close)
			}
			ended := readOn(res.Body)

			r.outlast(t, 3)
			select {
			case err := <-ended:
				t.Errorf("the answer ended: %v", err)
			default:
			}
			quiet <- struct{}{}

			if err := <-ended; err == nil {
				t.Error("an answer that was cut looks whole")
			}
			r.awaitIdle(t)
		})
	}
}

// readOn reads until that fails, and tells why.
func readOn(from io.Reader) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, from)
		ended <- err
	}()
	return ended
}

// smallWindow is what a client of HTTP/2 takes of an answer that it does not read.
const smallWindow = 1000

// endless answers with bytes without an end, but for the path /last: that answer
// is whole before the client has stopped it.
func endless(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/last" {
		_, _ = w.Write(make([]byte, 2*smallWindow))
		return
	}
	writeOn(w)
}

// TestAnAnswerThatNobodyTakes: the instance gets rid of it, and it is counted.
func TestAnAnswerThatNobodyTakes(t *testing.T) {
	t.Parallel()
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		r, registry := hurried(t, 100*time.Millisecond)
		r.apply(t, hello(backend(t, "t1", endless)))
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer drop(conn)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")

		eventually(t, "the client is given up", func() bool {
			return strings.Contains(figures(t, registry), "aloft_router_client_timeouts_total{waiting_for=answer} 1")
		})
		r.awaitIdle(t)
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the connection ended with %v", err)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		r, registry := hurried(t, 100*time.Millisecond)
		r.apply(t, hello(backend(t, "t1", endless)))
		client := newH2Client(t)
		client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: smallWindow}
		for _, path := range []string{"/", "/last"} {
			res, err := client.Get("http://" + r.addr + path)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(res.Body)

			r.outlast(t, 3)
			r.awaitIdle(t)

			if n, err := io.Copy(io.Discard, res.Body); err == nil || n > smallWindow {
				t.Errorf("%s: %d bytes and %v, want the stream reset at %d", path, n, err, smallWindow)
			}
		}
		if text := figures(t, registry); !strings.Contains(text, "aloft_router_client_timeouts_total{waiting_for=answer} 1") {
			t.Errorf("not counted:\n%s", text)
		}
	})
}

// TestSlowReaders: a client may take an answer bit by bit, but not stop.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	bubble(t, router.Config{}, idle(), func(t *testing.T, p *pipes) {
		t.Helper()
		near := p.dial(t)
		defer drop(near)
		_, _ = io.WriteString(near, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
		text, bit := "", make([]byte, 10)
		for !strings.HasSuffix(text, "ready instance\n") {
			time.Sleep(59 * time.Second)
			n, err := near.Read(bit)
			if err != nil {
				t.Fatalf("%v after %q", err, text)
			}
			text += string(bit[:n])
		}

		_, _ = io.WriteString(near, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n") // the connection is still good
		if _, err := io.CopyN(io.Discard, near, 10); err != nil {
			t.Fatal(err)
		}
		time.Sleep(136 * time.Second)

		if n, err := io.Copy(io.Discard, near); n != 0 || err != nil {
			t.Errorf("%d bytes and %v, want the connection closed", n, err)
		}
	})
}

// TestTheMemoryForBodiesIsBounded: when it is used up, bodies are passed on as
// they come.
func TestTheMemoryForBodiesIsBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	r := start(t, router.Config{BodiesKeptMax: 10, Registerer: registry})
	r.apply(t, hello())
	answers := make(chan answer)
	for range 3 {
		go func() {
			got, err := do(newClient(t), http.MethodPost, "http://"+r.addr, "12345678")
			if err != nil {
				t.Error(err)
			}
			answers <- got
		}()
	}
	r.awaitHeld(t, 3)
	if text := figures(t, registry); !strings.Contains(text, "aloft_router_bodies_kept_bytes{} 8\n") {
		t.Errorf("not the one body that there is room for:\n%s", text)
	}

	finish := make(chan struct{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(w, req.Body)
		_ = http.NewResponseController(w).Flush()
		<-finish
	})))

	eventually(t, "nothing is kept when the answers have begun", func() bool {
		return !strings.Contains(figures(t, registry), "bodies_kept")
	})
	close(finish)
	for range 3 {
		if got := <-answers; got.status != http.StatusOK || got.body != "12345678" {
			t.Errorf("answer %d %q", got.status, got.body)
		}
	}
}

// TestAnEarlyAnswerIsNotHeldBack: it comes whole though the client, which may take
// its time, still owes the body. How soon the connection ends depends on whether
// the body was being read in that moment, and the limit bounds it.
func TestAnEarlyAnswerIsNotHeldBack(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{ClientTimeout: 3 * time.Second})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.WriteString(w, "early")
	})))

	got, err := stallRaw(t, r.addr, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")()

	if err != nil || got.status != http.StatusOK || got.body != "early" {
		t.Errorf("answer %d %q, %v", got.status, got.body, err)
	}
	r.awaitIdle(t)
}

// TestWhatIsLeftOfABodyIsNoRequest: an answer that comes before the body has
// ended closes the connection.
func TestWhatIsLeftOfABodyIsNoRequest(t *testing.T) {
	t.Parallel()
	r, _ := hurried(t, 100*time.Millisecond)
	var mu sync.Mutex
	var paths []string
	r.apply(t, hello(raw(t, "t1", func(conn net.Conn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		mu.Lock()
		paths = append(paths, req.URL.Path)
		mu.Unlock()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
	})))
	for name, tc := range map[string]string{
		"counted": "POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
		"chunked": "POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(conn)
			fmt.Fprint(conn, tc)
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || string(text) != "early" || !res.Close {
				t.Fatalf("answer %q, close %v, %v", text, res.Close, err)
			}

			r.outlast(t, 2)
			fmt.Fprint(conn, "GET /second HTTP/1.1\r\nHost: x\r\n\r\n")

			if more, _ := io.ReadAll(in); len(more) > 0 {
				t.Errorf("what was left was answered with %q", more)
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.Contains(paths, "/second") {
		t.Errorf("the instance got %v", paths)
	}
}
