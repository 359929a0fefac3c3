package router_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// TestStoppingLetsRequestsEnd: Run returns when the requests in flight have
// ended, and confirms until then.
func TestStoppingLetsRequestsEnd(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	r := start(t, router.Config{})
	service := hello(backend(t, "t1", func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-finish
		_, _ = io.WriteString(w, "whole")
	}))
	r.apply(t, service)
	got := make(chan answer)
	go func() {
		res, err := do(newClient(t), http.MethodGet, "http://"+r.addr, "")
		if err != nil {
			t.Error(err)
		}
		got <- res
	}()
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", r.addr)
		if err == nil {
			drop(conn)
		}
		return err != nil
	})

	c := r.apply(t) // the instance leaves while the router stops
	if len(c.Busy) != 1 {
		t.Errorf("busy: %v, want t1", c.Busy)
	}
	select {
	case err := <-stopped:
		t.Fatalf("Run returned %v with a request in flight", err)
	default:
	}
	if _, goodbyes := r.masters.heard(); len(goodbyes) > 0 {
		t.Error("goodbye with a request in flight")
	}
	close(finish)

	if res := <-got; res.body != "whole" {
		t.Errorf("answer %d %q, want whole", res.status, res.body)
	}
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want canceled", err)
	}
	if confirmed, goodbyes := r.masters.heard(); !slices.Equal(goodbyes, []int{confirmed}) {
		t.Errorf("goodbye after %v of %d confirmations, want one, after all", goodbyes, confirmed)
	}
}

// TestAStopLosesNoRequestOnItsWay: connections that are open when the router is
// told to stop bring one more request, which is answered and closes them.
func TestAStopLosesNoRequestOnItsWay(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "whole") })))
	kept, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(kept)
	in := bufio.NewReader(kept)
	post := func() (last bool) {
		t.Helper()
		if _, err := io.WriteString(kept, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "whole" {
			t.Fatalf("answer %q, %v", body, err)
		}
		return res.Body.Close() == nil && res.Close
	}
	if post() {
		t.Error("a router that is not told to stop closes connections")
	}
	two := &http.Client{Transport: overHTTP2()}
	defer two.CloseIdleConnections()
	if _, err := do(two, http.MethodPost, "http://"+r.addr, "hi"); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	eventually(t, "new connections are refused", func() bool {
		conn, err := net.Dial("tcp", r.addr)
		if err == nil {
			drop(conn)
		}
		return err != nil
	})

	last := post()
	got, err := do(two, http.MethodPost, "http://"+r.addr, "hi") // it has a connection, and could open no other

	if !last {
		t.Error("the connection stays open")
	}
	if err != nil || got.body != "whole" {
		t.Errorf("over HTTP/2: %q, %v", got.body, err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last answer: %v; want the end", err)
	}
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want canceled", err)
	}
}

// overHTTP2 returns a transport that speaks nothing else.
func overHTTP2() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols}
}

// TestTheGraceRunsOut: streams, upgraded connections and held requests do not
// keep a router from stopping.
func TestTheGraceRunsOut(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{ShutdownGrace: 50 * time.Millisecond})
	echo := raw(t, "e1", func(conn net.Conn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(conn, in)
		}
	})
	stream := backend(t, "s1", func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
	})
	r.apply(t,
		route.Service{Name: "empty", Rules: []route.Rule{{Path: "/empty"}}, Hold: time.Hour},
		route.Service{Name: "stream", Rules: []route.Rule{{Path: "/stream"}}, Endpoints: []route.Endpoint{stream}},
		hello(echo))
	_, in := upgrade(t, r.addr)
	res, err := newClient(t).Get("http://" + r.addr + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer drop(res.Body)
	held := make(chan answer)
	go func() {
		got, err := do(newClient(t), http.MethodGet, "http://"+r.addr+"/empty", "")
		if err != nil {
			t.Error(err)
		}
		held <- got
	}()
	r.awaitHeld(t, 1)

	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want canceled", err)
	}

	if _, err := in.ReadByte(); err == nil {
		t.Error("the upgraded connection lives on")
	}
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Error("the stream that was cut off looks whole")
	}
	if got := <-held; got.status != http.StatusServiceUnavailable || got.header.Get(router.ReasonHeader) != string(router.Stopping) {
		t.Errorf("the held request got %d %v, want 503 stopping", got.status, got.header)
	}
	if _, goodbyes := r.masters.heard(); len(goodbyes) != 1 {
		t.Errorf("%d goodbyes when nothing was left, want one", len(goodbyes))
	}
}

// TestALimitAnswersWhatHangs: when the grace of a router that stops or is replaced has run
// out, each request that still waits for its instance gets an answer that says so, and
// none is sent again.
func TestALimitAnswersWhatHangs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		off     bool // the fast path
		end     func(r *running)
		version int // of HTTP
		method  string
		chunked bool
	}{
		"a POST on the fast path":             {method: http.MethodPost},
		"a GET on the fast path":              {method: http.MethodGet},
		"a POST of net/http":                  {method: http.MethodPost, off: true},
		"a GET of net/http":                   {method: http.MethodGet, off: true},
		"a HEAD on the fast path":             {method: http.MethodHead},
		"a stream":                            {method: http.MethodPost, chunked: true},
		"a POST in HTTP/2":                    {method: http.MethodPost, version: 2},
		"a POST, the router is replaced":      {method: http.MethodPost, end: func(r *running) { r.replace() }},
		"of net/http, the router is replaced": {method: http.MethodPost, off: true, end: func(r *running) { r.replace() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived, asked, over := make(chan struct{}), atomic.Int64{}, make(chan struct{})
			var log strings.Builder
			r := start(t, router.Config{ShutdownGrace: 100 * time.Millisecond, FastPathOff: tc.off, AccessLog: &log})
			hang := func(_ http.ResponseWriter, req *http.Request) {
				if asked.Add(1) == 1 {
					close(arrived)
				}
				select {
				case <-req.Context().Done():
				case <-over:
				}
			}
			r.apply(t, hello(backend(t, "t1", hang), backend(t, "t2", hang)))
			t.Cleanup(func() { close(over) })
			client := newClient(t)
			if tc.version == 2 {
				client = newH2Client(t)
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+r.addr, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if tc.chunked {
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader("body")), -1
			}
			answered := make(chan *http.Response, 1)
			go func() {
				res, err := client.Do(req) //nolint:bodyclose // closed below
				if err != nil {
					t.Errorf("no answer: %v", err)
				}
				answered <- res
			}()
			<-arrived

			if tc.end != nil {
				tc.end(r)
			}
			_ = r.stop()

			res := <-answered
			if res == nil {
				return
			}
			defer drop(res.Body)
			text, err := io.ReadAll(res.Body)
			if res.StatusCode != http.StatusGatewayTimeout || res.Header.Get(router.ReasonHeader) != string(router.Unanswered) || err != nil {
				t.Errorf("answer %d %v, %q, %v", res.StatusCode, res.Header, text, err)
			}
			if tc.version != 2 && !res.Close {
				t.Error("the answer does not say that its connection is closed")
			}
			if says := strings.Contains(string(text), "may have been carried out"); says != (tc.method != http.MethodHead) {
				t.Errorf("it says %q", text)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("%d instances were asked", n)
			}
			if !strings.Contains(log.String(), `"status":504`) || !strings.Contains(log.String(), `"reason":"unanswered"`) {
				t.Errorf("the log says %s", log.String())
			}
		})
	}
}

// strangers are masters that do something of their own when they hear goodbye.
type strangers struct {
	last func(ctx context.Context, apply func(route.Table)) error
}

func (m strangers) Follow(ctx context.Context, confirmations <-chan route.Confirmation, apply func(route.Table)) error {
	for {
		select {
		case _, open := <-confirmations:
			if !open {
				return m.last(ctx, apply)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// TestAGoodbyeIsNotWaitedForWithoutEnd: nor do tables that come when nobody applies
// them any more keep a router from ending.
func TestAGoodbyeIsNotWaitedForWithoutEnd(t *testing.T) {
	t.Parallel()
	table := route.Table{Version: route.Version{Epoch: 1, Seq: 1}}
	for name, tc := range map[string]struct {
		last  func(ctx context.Context, apply func(route.Table)) error
		after time.Duration
	}{
		"the session breaks": {func(context.Context, func(route.Table)) error {
			return errors.New("the master died")
		}, 0},
		"a table was on its way": {func(_ context.Context, apply func(route.Table)) error {
			apply(table)
			return nil
		}, 0},
		"nothing comes": {func(ctx context.Context, _ func(route.Table)) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, err := router.New(router.Config{ID: "r1", Listener: newPipes()}, strangers{tc.last})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				began := time.Now()

				if err := r.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Run = %v", err)
				}

				if took := time.Since(began) - time.Minute; took < tc.after || took > tc.after+time.Second {
					t.Errorf("it took %v to end, want about %v", took, tc.after)
				}
			})
		})
	}
}

func TestAListenerThatFails(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	r, err := router.New(router.Config{ID: "r1", Listen: taken.Addr().String()}, newMasters())
	if err != nil {
		t.Fatal(err)
	}

	if err := r.Run(t.Context()); err == nil {
		t.Error("Run on a port that is taken returned no error")
	}

	broken := listen(t)
	r, err = router.New(router.Config{ID: "r1", Listener: broken}, newMasters())
	if err != nil {
		t.Fatal(err)
	}
	drop(broken)
	if err := r.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Run = %v, want the listener's error", err)
	}
}

func TestTheRouterListensByItself(t *testing.T) {
	t.Parallel()
	free := listen(t)
	drop(free)
	r, err := router.New(router.Config{ID: "r1", Listen: free.Addr().String()}, newMasters())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	defer running.Wait()
	defer stop()

	client := newClient(t)
	eventually(t, "it answers", func() bool {
		got, err := do(client, http.MethodGet, "http://"+free.Addr().String(), "")
		return err == nil && got.status == http.StatusNotFound
	})
}

// deafMasters break every session at once, unless tables are given.
type deafMasters struct {
	began []time.Time
	table func(session int) bool // whether a session brings a table
}

func (m *deafMasters) Follow(_ context.Context, _ <-chan route.Confirmation, apply func(route.Table)) error {
	m.began = append(m.began, time.Now())
	if m.table(len(m.began)) {
		apply(route.Table{})
	}
	return errors.New("no masters")
}

// TestSessionsAreTriedAgain: the pauses grow from 50 ms to 1 s, give or take a
// half, and are short again after a session that brought a table.
func TestSessionsAreTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &deafMasters{table: func(session int) bool { return session == 20 }}
		r, err := router.New(router.Config{ID: "r1", Listener: newPipes()}, m)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()

		if err := r.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v", err)
		}

		base := 50 * time.Millisecond
		for i := range len(m.began) - 1 {
			if i+1 == 20 {
				base = 50 * time.Millisecond
			}
			if pause := m.began[i+1].Sub(m.began[i]); pause < base/2 || pause >= base*3/2 {
				t.Errorf("pause %d is %v, want about %v", i, pause, base)
			}
			base = min(2*base, time.Second)
		}
		if len(m.began) < 60 {
			t.Errorf("%d sessions in a minute", len(m.began))
		}
	})
}
