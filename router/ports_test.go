package router_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// freePort returns a port that nobody listened on a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	listener := listen(t)
	defer drop(listener)
	return portOf(listener.Addr())
}

func portOf(addr net.Addr) int { return addr.(*net.TCPAddr).Port }

// database is a service with a port of its own.
func database(port int, endpoints ...route.Endpoint) route.Service {
	return route.Service{Name: "db", Rules: []route.Rule{{Port: port}}, Hold: time.Minute, Endpoints: endpoints}
}

// echoing starts an instance that says its name and then what it hears.
func echoing(t *testing.T, task id.Task) route.Endpoint {
	t.Helper()
	return raw(t, task, func(conn net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(conn, string(task)+"\n")
		_, _ = io.Copy(conn, in)
		_ = conn.(*net.TCPConn).CloseWrite()
	})
}

// onLocalhost has a router listen on the ports of loopback.
func onLocalhost(cfg router.Config) router.Config {
	cfg.Listen = "127.0.0.1:0"
	return cfg
}

// speaker is a client of a port.
type speaker struct {
	*net.TCPConn

	in *bufio.Reader
}

// connect opens a connection, which must be accepted.
func connect(t *testing.T, port int) *speaker {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(conn) })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &speaker{conn.(*net.TCPConn), bufio.NewReader(conn)}
}

// hear returns the next line.
func (s *speaker) hear(t *testing.T) string {
	t.Helper()
	line, err := s.in.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	return line[:len(line)-1]
}

// ask says a line and hears it back.
func (s *speaker) ask(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(s, line+"\n"); err != nil {
		t.Fatal(err)
	}
	if got := s.hear(t); got != line {
		t.Fatalf("heard %q, want %q", got, line)
	}
}

// end says the last word and hears that of the instance.
func (s *speaker) end(t *testing.T) {
	t.Helper()
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Fatalf("heard the end as %v", err)
	}
}

// broken sees to it that the connection is reset, not ended.
func (s *speaker) broken(t *testing.T) {
	t.Helper()
	if _, err := s.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("heard %v, want a reset", err)
	}
}

// TestAConnectionIsInFlight: it is relayed, and as long as it lasts the task that
// has left the table is busy.
func TestAConnectionIsInFlight(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := start(t, onLocalhost(router.Config{}))
	<-r.Serving()
	r.apply(t, database(port, echoing(t, "t1")))
	client := connect(t, port)
	if got := client.hear(t); got != "t1" {
		t.Fatalf("it is with %s", got)
	}
	client.ask(t, "before")

	c := r.apply(t, database(port, echoing(t, "t2")))
	if !slices.Equal(c.Busy, []route.Busy{{Task: "t1", Requests: 1}}) {
		t.Errorf("busy are %v", c.Busy)
	}
	other := connect(t, port)
	if got := other.hear(t); got != "t2" {
		t.Errorf("a new one is with %s", got)
	}
	client.ask(t, "after")
	client.end(t)
	r.masters.await(t, 0, func(last route.Confirmation) bool { return last.Version == c.Version && len(last.Busy) == 0 })
	other.end(t)
}

// TestAConnectionTriesAll: nothing has been said before it is accepted.
func TestAConnectionTriesAll(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := start(t, onLocalhost(router.Config{}))
	<-r.Serving()
	r.apply(t, database(port, nobody(t, "t1"), nobody(t, "t2"), echoing(t, "t3")))

	for range 20 {
		client := connect(t, port)
		if got := client.hear(t); got != "t3" {
			t.Errorf("it is with %s", got)
		}
		client.end(t)
	}
}

func TestConnectionsAreHeld(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := start(t, onLocalhost(router.Config{}))
	<-r.Serving()
	r.apply(t, database(port))
	client := connect(t, port)
	r.awaitHeld(t, 1)

	r.apply(t, database(port, echoing(t, "t1")))

	if got := client.hear(t); got != "t1" {
		t.Errorf("it is with %s", got)
	}
	client.end(t)
}

// isReset connects and sees to it that it is reset, which may come at once.
func isReset(t *testing.T, port int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), patience)
	if err == nil {
		defer drop(conn)
		_, err = conn.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("heard %v, want a reset", err)
	}
}

// TestWhoIsNotConnectedIsReset: no client takes silence for a good end.
func TestWhoIsNotConnectedIsReset(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := start(t, onLocalhost(router.Config{}))
	<-r.Serving()
	service := database(port)
	service.Hold = time.Millisecond
	r.apply(t, service)
	isReset(t, port)

	service.Endpoints = []route.Endpoint{nobody(t, "t1")}
	r.apply(t, service)
	isReset(t, port)

	service.QueueMax, service.Hold = -1, time.Minute
	r.apply(t, service)
	isReset(t, port)
}

// TestPortsFollowTheTable: the router listens on the ports that its table has,
// says which of them it cannot have, and takes them once it can.
func TestPortsFollowTheTable(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	defer drop(taken)
	first, second := freePort(t), portOf(taken.Addr())
	r := start(t, onLocalhost(router.Config{}))
	<-r.Serving()
	service := database(first, echoing(t, "t1"))
	service.Rules = append(service.Rules, route.Rule{Port: second})

	c := r.apply(t, service)
	if !slices.Equal(c.Closed, []int{second}) {
		t.Errorf("closed are %v, want %d", c.Closed, second)
	}
	connect(t, first).hear(t)

	drop(taken)
	r.masters.await(t, 0, func(last route.Confirmation) bool { return last.Version == c.Version && len(last.Closed) == 0 })
	connect(t, second).hear(t)

	service.Rules = service.Rules[:1]
	r.apply(t, service)
	if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(second))); err == nil {
		drop(conn)
		t.Error("the router listens on a port that its table has no longer")
	}
	connect(t, first).hear(t)
}

// TestConnectionsOutliveAStop: those that are open, and those that the kernel has
// taken, go on for the grace, and then they are broken.
func TestConnectionsOutliveAStop(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := start(t, onLocalhost(router.Config{ShutdownGrace: patience}))
	<-r.Serving()
	r.apply(t, database(port, echoing(t, "t1")))
	clients := []*speaker{connect(t, port), connect(t, port), connect(t, port)}
	clients[0].hear(t)

	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()

	clients[0].ask(t, "still there")
	for i, client := range clients {
		if i > 0 {
			client.hear(t)
		}
		client.end(t)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	if _, goodbyes := r.masters.heard(); len(goodbyes) != 1 {
		t.Errorf("goodbyes %v, want one", goodbyes)
	}
}

func TestAStopBreaksWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	r := start(t, onLocalhost(router.Config{ShutdownGrace: 10 * time.Millisecond}))
	<-r.Serving()
	r.apply(t, database(port, echoing(t, "t1")))
	client := connect(t, port)
	client.hear(t)

	_ = r.stop() // start checks the error

	client.broken(t)
}

// TestASuccessorTakesThePorts: while one router takes the place of another, every
// connection is accepted and served, and those of the first go on.
func TestASuccessorTakesThePorts(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	service := database(port, echoing(t, "t1"))
	old := start(t, onLocalhost(router.Config{ShutdownGrace: patience}))
	<-old.Serving()
	old.apply(t, service)
	before := connect(t, port)
	before.hear(t)
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var served atomic.Int64
	for range 4 {
		load.Go(func() {
			for ctx.Err() == nil {
				client := connect(t, port)
				client.hear(t)
				client.ask(t, "hello")
				client.end(t)
				drop(client)
				served.Add(1)
			}
		})
	}
	eventually(t, "connections are served", func() bool { return served.Load() > 50 })

	file, err := old.OpenPorts()[port].(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer drop(file)
	handed := func(context.Context, int) (net.Listener, error) { return net.FileListener(file) }
	successor := start(t, router.Config{
		ID: "r1-p2", ListenPort: handed,
		Table: route.Table{Version: route.Version{Epoch: 1, Seq: 1}, Services: []route.Service{service}},
	})
	<-successor.Serving()
	old.replace()
	before.ask(t, "still there")
	before.end(t)
	_ = old.stop() // start checks the error

	at := served.Load()
	eventually(t, "the successor serves", func() bool { return served.Load() > at+50 })
	stop()
	load.Wait()
}
