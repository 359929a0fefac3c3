package router_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

func TestRequestsGoByHostAndPath(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t,
		route.Service{Name: "a", Rules: []route.Rule{{Host: "a.localhost"}}, Endpoints: []route.Endpoint{backend(t, "a-1", named("a"))}},
		route.Service{Name: "b", Rules: []route.Rule{{Host: "a.localhost", Path: "/b"}}, Endpoints: []route.Endpoint{backend(t, "b-1", named("b"))}},
	)
	client := newClient(t)
	tests := map[string]struct {
		host, path, want string
		status           int
	}{
		"host":           {"a.localhost", "/", "a", 200},
		"host with port": {"A.localhost:80", "/x", "a", 200},
		"path":           {"a.localhost", "/b/x", "b", 200},
		"no route":       {"other.localhost", "/x", "no service is routed at \"other.localhost/x\"\n", 404},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, "http://"+r.addr+tc.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tc.host

			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(res.Body)
			text, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}

			if res.StatusCode != tc.status || string(text) != tc.want {
				t.Errorf("answer %d %q, want %d %q", res.StatusCode, text, tc.status, tc.want)
			}
			if reason := res.Header.Get(router.ReasonHeader); (reason == string(router.NoRoute)) != (tc.status == 404) {
				t.Errorf("reason %q", reason)
			}
		})
	}
}

// TestWhatTheInstanceSees compares a request as the instance gets it, byte by
// byte, so that nothing is added or lost unseen.
func TestWhatTheInstanceSees(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	listener := listen(t)
	go serveRaw(listener, func(conn net.Conn, in *bufio.Reader) {
		var lines []string
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line = strings.TrimSpace(line); line == "" {
				break
			}
			lines = append(lines, line)
		}
		slices.Sort(lines[1:])
		body := make([]byte, 4)
		_, _ = io.ReadFull(in, body)
		got <- strings.Join(append(lines, string(body)), "\n")
		_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	r := start(t, router.Config{})
	r.apply(t, hello(route.Endpoint{Task: "t1", Revision: 1, Address: listener.Addr().String()}))
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)

	_, err = io.WriteString(conn, "POST /a%2Fb//c?x=1;y=%zz HTTP/1.1\r\nHost: Shop.localhost:8080\r\nContent-Length: 4\r\n"+
		"Connection: keep-alive, X-Private\r\nX-Private: secret\r\nKeep-Alive: timeout=5\r\nProxy-Authorization: secret\r\nTE: gzip\r\n"+
		"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nForwarded: for=6.6.6.6\r\nX-Real: kept\r\nCookie: a=1\r\n\r\nbody")
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(res.Body)

	want := strings.Join([]string{
		"POST /a%2Fb//c?x=1;y=%zz HTTP/1.1",
		"Content-Length: 4",
		"Cookie: a=1",
		"Host: Shop.localhost:8080",
		"X-Forwarded-For: 127.0.0.1",
		"X-Forwarded-Host: Shop.localhost:8080",
		"X-Forwarded-Proto: http",
		"X-Real: kept",
		"body",
	}, "\n")
	if diff := cmp.Diff(want, <-got); diff != "" {
		t.Errorf("the request differs (-want +got):\n%s", diff)
	}
}

// TestWhatTheClientSees compares an answer as the client gets it, byte by byte.
func TestWhatTheClientSees(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(raw(t, "t1", func(conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 299 Quite\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 6\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"+
				"Connection: X-Private\r\nX-Private: secret\r\nKeep-Alive: timeout=5\r\nServer: mine\r\n\r\n<html>")
		}
	})))
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)

	fmt.Fprint(conn, "GET / HTTP/1.0\r\n\r\n") // the oldest of clients, which does not name a host

	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\r\n")
	slices.Sort(lines[1 : len(lines)-2])
	want := []string{
		"HTTP/1.0 299 status code 299",
		"Content-Length: 6",
		"Date: Thu, 01 Jan 1970 00:00:00 GMT",
		"Server: mine",
		"Set-Cookie: a=1",
		"Set-Cookie: b=2",
		"",
		"<html>",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("the answer differs (-want +got):\n%s", diff)
	}
}

// TestAnAnswerBeforeTheBody: an instance that does not want to read on says so
// at once, and the client hears it.
func TestAnAnswerBeforeTheBody(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.ReadFull(req.Body, make([]byte, 1<<20))
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})))
	t.Run("HTTP/1.1", func(t *testing.T) {
		t.Parallel()
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer drop(conn)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", int64(1<<40))
		go writeOn(conn)

		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer drop(res.Body)

		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("answer %s, want 413", res.Status)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		t.Parallel()
		body, pen := io.Pipe()
		defer drop(pen)
		go writeOn(pen)
		req, err := http.NewRequest(http.MethodPost, "http://"+r.addr, body)
		if err != nil {
			t.Fatal(err)
		}

		res, err := newH2Client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer drop(res.Body)

		if res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("answer %s, want 413", res.Status)
		}
	})
}

// writeOn writes until that fails.
func writeOn(to io.Writer) {
	for piece := make([]byte, 64<<10); ; {
		if _, err := to.Write(piece); err != nil {
			return
		}
	}
}

func TestHTTP2OnTheSameListener(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(w, "%s %s %s", req.Proto, req.Header.Get("X-Forwarded-Host"), body)
	})))
	client := newH2Client(t)

	for i := range 50 {
		got, err := do(client, http.MethodPost, "http://"+r.addr+"/", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("HTTP/1.1 %s %d", r.addr, i); got.body != want {
			t.Errorf("answer %q, want %q", got.body, want)
		}
	}
}

// newH2Client returns a client that speaks HTTP/2 without TLS and nothing else.
func newH2Client(t *testing.T) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

// TestStreamsAreNotHeldBack: each piece of an answer arrives before the next one
// is written.
func TestStreamsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		if length := req.URL.Query().Get("length"); length != "" {
			w.Header().Set("Content-Length", length)
		}
		w.Header().Set("Content-Type", req.URL.Query().Get("type"))
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n", i)
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})))
	clients := map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2Client(t)}
	paths := map[string]string{
		"events":          "/?type=text/event-stream",
		"unknown length":  "/?type=text/plain",
		"a length, slow":  "/?type=text/plain&length=24",
		"events, counted": "/?type=text/event-stream&length=24",
	}
	for proto, client := range clients {
		for name, path := range paths {
			t.Run(proto+" "+name, func(t *testing.T) {
				res, err := client.Get("http://" + r.addr + path)
				if err != nil {
					t.Fatal(err)
				}
				defer drop(res.Body)
				lines := bufio.NewReader(res.Body)
				for i := range 3 {
					line, err := lines.ReadString('\n')
					if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
						t.Errorf("line %d is %q, %v, want %q", i, line, err, want)
					}
					next <- struct{}{}
				}
				if _, err := lines.ReadByte(); err != io.EOF {
					t.Errorf("after the last line: %v", err)
				}
			})
		}
	}
}

// TestUploadsAreNotHeldBack: the instance answers each piece of a request before
// the client sends the next.
func TestUploadsAreNotHeldBack(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		piece := make([]byte, 3)
		for {
			if _, err := io.ReadFull(req.Body, piece); err != nil {
				return
			}
			_, _ = w.Write(piece)
			_ = rc.Flush()
		}
	})))
	for proto, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2Client(t)} {
		t.Run(proto, func(t *testing.T) {
			body, pen := io.Pipe()
			req, err := http.NewRequest(http.MethodPost, "http://"+r.addr+"/", body)
			if err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(pen, "001") }()
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(res.Body)

			for i := 1; i <= 3; i++ {
				piece := make([]byte, 3)
				if _, err := io.ReadFull(res.Body, piece); err != nil || string(piece) != fmt.Sprintf("%03d", i) {
					t.Fatalf("piece %d is %q, %v", i, piece, err)
				}
				if i < 3 {
					_, _ = fmt.Fprintf(pen, "%03d", i+1)
				}
			}
			if err := pen.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := res.Body.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after the last piece: %v", err)
			}
		})
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, req.Body)
		seen <- req.Trailer.Get("X-Asked")
		w.Header().Set("X-Sum", "42")
	})))
	for proto, client := range map[string]*http.Client{"HTTP/1.1": newClient(t), "HTTP/2": newH2Client(t)} {
		t.Run(proto, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodPost, "http://"+r.addr+"/", io.NopCloser(strings.NewReader("text")))
			if err != nil {
				t.Fatal(err)
			}
			req.Trailer = http.Header{"X-Asked": {"yes"}}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(res.Body)

			text, err := io.ReadAll(res.Body)

			if err != nil || string(text) != "text" || res.Trailer.Get("X-Sum") != "42" {
				t.Errorf("answer %q, %v, trailers %v", text, err, res.Trailer)
			}
			if got := <-seen; got != "yes" {
				t.Errorf("the instance saw the trailer %q, want yes", got)
			}
		})
	}
}

func TestUpgradedConnectionsPass(t *testing.T) {
	t.Parallel()
	listener := listen(t)
	go serveRaw(listener, func(conn net.Conn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil || req.Header.Get("Upgrade") != "echo" || !strings.EqualFold(req.Header.Get("Connection"), "upgrade") {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome\n")
		_, _ = io.Copy(conn, in)
	})
	r := start(t, router.Config{})
	r.apply(t, hello(route.Endpoint{Task: "t1", Revision: 1, Address: listener.Addr().String()}))
	conn, in := upgrade(t, r.addr)
	if line, err := in.ReadString('\n'); err != nil || line != "welcome\n" {
		t.Fatalf("first line %q, %v", line, err)
	}

	for i := range 100 {
		sent := fmt.Sprintf("message %d\n", i)
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if line, err := in.ReadString('\n'); err != nil || line != sent {
			t.Fatalf("echo %q, %v, want %q", line, err, sent)
		}
	}

	// The connection counts as a request in flight until it is closed.
	if c := r.apply(t, hello()); len(c.Busy) != 1 || c.Busy[0] != (route.Busy{Task: "t1", Requests: 1}) {
		t.Errorf("busy: %v, want one request at t1", c.Busy)
	}
	if leaving := r.Status().Leaving; len(leaving) != 1 || leaving[0].InFlight != 1 {
		t.Errorf("leaving: %v, want t1", leaving)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	r.masters.await(t, 0, func(c route.Confirmation) bool { return c.Version.Seq == 2 && len(c.Busy) == 0 })
}

// upgrade opens a connection that speaks "echo".
func upgrade(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(conn) })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // it has none: what follows is the other protocol's
	if res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %s, want 101", res.Status)
	}
	return conn, in
}

func TestExpectContinueIsAskedOfTheInstance(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{BodyKeepMax: 8})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		n, _ := io.Copy(io.Discard, req.Body)
		fmt.Fprint(w, n)
	})))
	tests := map[string]struct {
		path, body, want string
		asked            bool
	}{
		"wanted":               {"/yes", "a long body", "HTTP/1.1 200 OK", true},
		"not wanted":           {"/no", "a long body", "HTTP/1.1 403 Forbidden", false},
		"small enough to keep": {"/yes", "short", "HTTP/1.1 200 OK", true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(conn)
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", tc.path, len(tc.body))
			in := bufio.NewReader(conn)

			line, err := in.ReadString('\n')
			if asked := line == "HTTP/1.1 100 Continue\r\n"; err != nil || asked != tc.asked {
				t.Fatalf("first line %q, %v", line, err)
			}
			if tc.asked {
				_, _ = in.ReadString('\n')
				_, _ = io.WriteString(conn, tc.body)
				line, err = in.ReadString('\n')
			}
			if err != nil || strings.TrimSpace(line) != tc.want {
				t.Errorf("answer %q, %v, want %q", line, err, tc.want)
			}
		})
	}
}

func TestEarlyHintsPass(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusAccepted)
	})))
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	in := bufio.NewReader(conn)

	for _, want := range []int{http.StatusEarlyHints, http.StatusAccepted} {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want || res.Header.Get("Link") == "" {
			t.Errorf("answer %s with %v, want %d", res.Status, res.Header, want)
		}
	}
}

// listen opens a port for an instance made by hand.
func listen(tb testing.TB) net.Listener {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { drop(listener) })
	return listener
}

// serveRaw gives each connection to handle and closes it afterwards, until the
// listener is closed.
func serveRaw(listener net.Listener, handle func(net.Conn, *bufio.Reader)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer drop(conn)
			handle(conn, bufio.NewReader(conn))
		}()
	}
}
