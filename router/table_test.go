package router_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// guarded is an instance that knows whether it may still get requests.
type guarded struct {
	endpoint  route.Endpoint
	forbidden atomic.Bool // it was confirmed that it gets none
	running   atomic.Int64
	broken    atomic.Int64 // how often a request was there when it must not be
}

func newGuarded(t *testing.T, task id.Task) *guarded {
	t.Helper()
	g := new(guarded)
	g.endpoint = backend(t, task, func(w http.ResponseWriter, req *http.Request) {
		g.running.Add(1)
		defer g.running.Add(-1)
		if g.forbidden.Load() {
			g.broken.Add(1)
		}
		_, _ = io.Copy(w, req.Body)
		if g.forbidden.Load() {
			g.broken.Add(1)
		}
	})
	return g
}

// TestWhatIsConfirmedGetsNoRequest is the law of the confirmations, under load:
// once a table is confirmed without a task in it or busy, that task has no
// request and gets none. And no request fails meanwhile.
func TestWhatIsConfirmedGetsNoRequest(t *testing.T) {
	t.Parallel()
	const instances, swaps = 6, 400
	r := start(t, router.Config{})
	var all []*guarded
	for i := range instances {
		all = append(all, newGuarded(t, id.Task(fmt.Sprintf("t%d", i))))
	}
	in := map[*guarded]bool{all[0]: true}
	r.apply(t, hello(all[0].endpoint))
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() { requestUntil(ctx, t, r.addr) })
	}

	from := 0
	for range swaps {
		g := all[rand.IntN(instances)]
		if in[g] && len(in) == 1 {
			continue
		}
		if in[g] {
			delete(in, g)
		} else {
			g.forbidden.Store(false)
			in[g] = true
		}
		var endpoints []route.Endpoint
		for g := range in {
			endpoints = append(endpoints, g.endpoint)
		}
		r.seq++
		version := route.Version{Epoch: 1, Seq: r.seq}
		r.send(t, route.Table{Version: version, Services: []route.Service{hello(endpoints...)}})
		if in[g] {
			continue
		}
		_, from = r.masters.await(t, from, func(c route.Confirmation) bool {
			return c.Version == version && !slices.ContainsFunc(c.Busy, func(b route.Busy) bool { return b.Task == g.endpoint.Task })
		})
		g.forbidden.Store(true)
		if n := g.running.Load(); n > 0 {
			t.Errorf("%s is confirmed to be free and runs %d requests", g.endpoint.Task, n)
		}
	}
	stop()
	load.Wait()

	for _, g := range all {
		if n := g.broken.Load(); n > 0 {
			t.Errorf("%s had %d requests after it was confirmed to be free", g.endpoint.Task, n)
		}
	}
}

// requestUntil sends requests of all kinds; each must be answered.
func requestUntil(ctx context.Context, t *testing.T, addr string) {
	t.Helper()
	client := newClient(t)
	for i := 0; ctx.Err() == nil; i++ {
		method, body := http.MethodGet, ""
		if i%2 == 0 {
			method, body = http.MethodPost, fmt.Sprintf("body %d", i)
		}
		if got, err := do(client, method, "http://"+addr, body); err != nil || got.status != http.StatusOK || got.body != body {
			t.Errorf("%s %d: answer %d %q, %v", method, i, got.status, got.body, err)
			return
		}
	}
}

// TestLongRequestsDrain: an instance that left stays busy in the confirmations
// until the last byte of its last answer.
func TestLongRequestsDrain(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	r := start(t, router.Config{})
	old := backend(t, "old", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		<-finish
		_, _ = io.WriteString(w, " end")
	})
	r.apply(t, hello(old))
	client := newClient(t)
	first, err := client.Get("http://" + r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(first.Body)
	second, err := client.Get("http://" + r.addr)
	if err != nil {
		t.Fatal(err)
	}

	c := r.apply(t, hello(backend(t, "new", named("new"))))
	if diff := cmp.Diff([]route.Busy{{Task: "old", Requests: 2}}, c.Busy); diff != "" {
		t.Errorf("busy (-want +got):\n%s", diff)
	}
	if got := r.get(t, client, "/"); got.body != "new" {
		t.Errorf("answer %q, want new", got.body)
	}
	_ = second.Body.Close() // a client that leaves frees the instance as well
	close(finish)
	text, err := io.ReadAll(first.Body)

	if err != nil || string(text) != "begin end" {
		t.Errorf("answer %q, %v", text, err)
	}
	r.masters.await(t, 0, func(c route.Confirmation) bool { return c.Version.Seq == 2 && len(c.Busy) == 0 })
}

// TestClientsKeepTheirConnections: a thousand tables later each connection is
// still the same, those that were idle and those in the middle of an answer.
func TestClientsKeepTheirConnections(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	instances := []route.Endpoint{
		backend(t, "t1", named("x")), backend(t, "t2", named("x")), backend(t, "t3", named("x")),
	}
	stream := route.Service{Name: "stream", Rules: []route.Rule{{Path: "/stream"}}, Endpoints: []route.Endpoint{
		backend(t, "s1", func(w http.ResponseWriter, _ *http.Request) {
			for {
				_, _ = io.WriteString(w, "tick\n")
				_ = http.NewResponseController(w).Flush()
				if _, more := <-next; !more {
					return
				}
			}
		}),
	}}
	r := start(t, router.Config{})
	r.apply(t, hello(instances[0]), stream)
	ask := func(conn net.Conn, in *bufio.Reader) {
		t.Helper()
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(res.Body); err != nil || string(text) != "x" {
			t.Fatalf("answer %q, %v", text, err)
		}
		_ = res.Body.Close()
	}
	conns := map[net.Conn]*bufio.Reader{}
	for range 20 {
		conn, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer drop(conn)
		conns[conn] = bufio.NewReader(conn)
		ask(conn, conns[conn])
	}
	res, err := newClient(t).Get("http://" + r.addr + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer drop(res.Body)
	ticks := bufio.NewReader(res.Body)

	for i := range 1000 {
		some := instances[:1+i%3]
		if i%10 == 0 {
			some = nil
		}
		r.seq++
		table := route.Table{Version: route.Version{Epoch: 1, Seq: r.seq}, Services: []route.Service{hello(some...), stream}}
		if i%7 == 0 { // the stream's service leaves and comes back
			table.Services = table.Services[:1]
		}
		r.send(t, table)
	}
	r.apply(t, hello(instances...))

	for conn, in := range conns {
		ask(conn, in)
	}
	for range 5 {
		if line, err := ticks.ReadString('\n'); err != nil || line != "tick\n" {
			t.Fatalf("the stream says %q, %v", line, err)
		}
		next <- struct{}{}
	}
	close(next)
}

func TestOlderTablesAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	instance := func(name string) route.Service { return hello(backend(t, id.Task(name), named(name))) }
	table := func(epoch, seq uint64, s route.Service) route.Table {
		return route.Table{Version: route.Version{Epoch: epoch, Seq: seq}, Services: []route.Service{s}}
	}
	client := newClient(t)
	taken := func(epoch, seq uint64, name string) {
		t.Helper()
		r.send(t, table(epoch, seq, instance(name)))
		eventually(t, name+" is applied", func() bool { return r.get(t, client, "/").body == name })
	}
	refused := func(epoch, seq uint64) {
		t.Helper()
		before := r.get(t, client, "/").body
		wrong := table(epoch, seq, instance("wrong"))
		for range 3 { // when the third is taken, the first has been dealt with
			r.send(t, wrong)
		}
		if after := r.get(t, client, "/").body; after != before {
			t.Errorf("table %s is applied after %s", wrong.Version, r.Status().Version)
		}
	}

	taken(2, 5, "first")
	refused(2, 4)
	refused(1, 9)
	taken(2, 5, "repeated")

	r.masters.breakUp <- errors.New("session lost")
	r.masters.awaitSessions(t, 2)
	refused(1, 100)
	taken(2, 1, "counted-anew")
	refused(2, 0)
	taken(3, 0, "next-leader")
	refused(2, 1000)
}

// TestASuspectIsTheSameEndpoint: what the router has with an instance does not
// change because its agent fell silent.
func TestASuspectIsTheSameEndpoint(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	e := backend(t, "t1", named("one"))
	r.apply(t, hello(e))
	r.get(t, newClient(t), "/")

	for _, e.Suspect = range []bool{true, false} {
		c := r.apply(t, hello(e))

		status := r.Status()
		want := router.EndpointStatus{Endpoint: e, Idle: 1}
		if got := status.Services[0].Endpoints[0]; got != want || len(status.Leaving) > 0 || len(c.Busy) > 0 {
			t.Errorf("suspect %v: endpoint %+v, leaving %v, busy %v; want %+v", e.Suspect, got, status.Leaving, c.Busy, want)
		}
	}
}

func TestATableThatIsWrongIsRefusedWhole(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", named("good"))))
	wrong := hello(route.Endpoint{Task: "t2", Revision: 1, Address: "nowhere"})

	r.send(t, route.Table{Version: route.Version{Epoch: 1, Seq: 2}, Services: []route.Service{wrong}})

	if got := r.get(t, newClient(t), "/"); got.body != "good" {
		t.Errorf("answer %q, want good", got.body)
	}
	r.seq = 2
	r.apply(t, hello(backend(t, "t3", named("better"))))
	r.masters.mu.Lock()
	defer r.masters.mu.Unlock()
	for _, c := range r.masters.confirmed {
		if c.Version.Seq == 2 {
			t.Errorf("%v was confirmed", c)
		}
	}
}

func TestANewSessionIsToldWhatIsApplied(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	r.apply(t, hello(backend(t, "t1", named("t1"))))
	client := newClient(t)
	_, from := r.masters.await(t, 0, func(c route.Confirmation) bool { return c.Version.Seq == 1 })

	r.masters.breakUp <- errors.New("session lost")

	c, _ := r.masters.await(t, from, func(route.Confirmation) bool { return true })
	if diff := cmp.Diff(route.Confirmation{Router: "r1", Version: route.Version{Epoch: 1, Seq: 1}}, c); diff != "" {
		t.Errorf("the new session was told (-want +got):\n%s", diff)
	}
	if got := r.get(t, client, "/"); got.body != "t1" {
		t.Errorf("answer %q while the masters were gone", got.body)
	}
}

// TestLoadIsSpread: the instance with fewer requests in flight is chosen, and
// equals share.
func TestLoadIsSpread(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	defer close(stuck)
	var counts [3]atomic.Int64
	r := start(t, router.Config{})
	var endpoints []route.Endpoint
	for i := range counts {
		endpoints = append(endpoints, backend(t, id.Task(fmt.Sprintf("t%d", i)), func(_ http.ResponseWriter, req *http.Request) {
			counts[i].Add(1)
			if req.URL.Path == "/stuck" {
				<-stuck
			}
		}))
	}
	r.apply(t, hello(endpoints[0]))
	client := newClient(t)
	for range 5 {
		go func() { _, _ = do(client, http.MethodGet, "http://"+r.addr+"/stuck", "") }()
	}
	eventually(t, "five requests at t0", func() bool { return r.Status().Services[0].Endpoints[0].InFlight == 5 })
	r.apply(t, hello(endpoints...))

	for range 200 {
		r.get(t, client, "/")
	}

	if n := counts[0].Load() - 5; n != 0 {
		t.Errorf("the busy instance got %d more", n)
	}
	for i := 1; i < 3; i++ {
		if n := counts[i].Load(); n < 50 {
			t.Errorf("instance %d got %d of 200", i, n)
		}
	}
}
