package router_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// machine is an instance that vanishes as a machine does which loses its power:
// what was sent to it stays without an answer, and so do new connections.
type machine struct {
	endpoint route.Endpoint
	listener *net.TCPListener
	answers  atomic.Bool // it answers; else requests wait there
	waiting  atomic.Int64
	gone     chan struct{} // closed at the end of the test
	accepted sync.WaitGroup
}

func newMachine(t *testing.T, task id.Task) *machine {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "listener")
	defer drop(file)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 4)); err != nil {
		t.Fatal(err)
	}
	m := &machine{gone: make(chan struct{})}
	m.answers.Store(true)
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	m.listener = listener.(*net.TCPListener)
	m.endpoint = route.Endpoint{Task: task, Revision: 1, Address: m.listener.Addr().String()}
	t.Cleanup(func() {
		close(m.gone)
		drop(m.listener)
		m.accepted.Wait()
	})
	return m
}

// accept serves connections until holds does, and takes no others then.
func (m *machine) accept(t *testing.T, what string, holds func() bool) {
	t.Helper()
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := m.listener.Accept()
			if err != nil {
				return
			}
			m.accepted.Go(func() {
				defer drop(conn)
				serving := make(chan struct{})
				go func() {
					defer close(serving)
					m.serve(conn)
				}()
				<-m.gone
				drop(conn)
				<-serving
			})
		}
	})
	eventually(t, what, holds)
	if err := m.listener.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	accepting.Wait()
}

func (m *machine) serve(conn net.Conn) {
	for in := bufio.NewReader(conn); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		if !m.answers.Load() {
			m.waiting.Add(1)
			<-m.gone
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nm1")
	}
}

// vanish fills the queue of connections, so that no other is accepted.
func (m *machine) vanish(t *testing.T) {
	t.Helper()
	for {
		conn, err := net.DialTimeout("tcp", m.endpoint.Address, 100*time.Millisecond)
		if err != nil {
			return
		}
		t.Cleanup(func() { drop(conn) })
	}
}

// TestAMachineThatVanishes: GETs that wait there are carried out elsewhere, as
// soon as the masters suspect it, and without them when it has been silent. POSTs
// are not, since it may have heard them.
func TestAMachineThatVanishes(t *testing.T) {
	t.Parallel()
	for name, suspected := range map[string]bool{"suspected": true, "with no master there": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, router.Config{ProbeTimeout: 200 * time.Millisecond})
			m := newMachine(t, "t1")
			m.answers.Store(false)
			r.apply(t, hello(m.endpoint))
			var asking sync.WaitGroup
			get := func() {
				if got, err := do(newClient(t), http.MethodGet, "http://"+r.addr, ""); err != nil || got.body != "t2" {
					t.Errorf("GET: answer %d %q, %v", got.status, got.body, err)
				}
			}
			asking.Go(get)
			post, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(post)
			_, _ = io.WriteString(post, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
			m.accept(t, "both are there", func() bool { return m.waiting.Load() == 2 })
			m.vanish(t)

			two := backend(t, "t2", named("t2"))
			m.endpoint.Suspect = suspected
			r.apply(t, hello(m.endpoint, two))
			for range 8 {
				asking.Go(get)
			}
			asking.Wait()

			eventually(t, "the machine is ejected", func() bool { return r.Status().Services[0].Endpoints[0].Ejected })
			if status := r.Status().Services[0].Endpoints[0]; status.InFlight != 1 {
				t.Errorf("the POST has ended: %+v", status)
			}
		})
	}
}

// TestASuspectThatAnswersIsUsedOn: that an agent is gone changes nothing.
func TestASuspectThatAnswersIsUsedOn(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	var endpoints []route.Endpoint
	for i := range 2 {
		name := fmt.Sprintf("t%d", i+1)
		endpoints = append(endpoints, backend(t, id.Task(name), named(name)))
	}
	r.apply(t, hello(endpoints...))
	client := newClient(t)
	r.get(t, client, "/")
	endpoints[0].Suspect = true
	r.apply(t, hello(endpoints...))

	seen := map[string]int{}
	for range 200 {
		seen[r.get(t, client, "/").body]++
	}

	if seen["t1"] < 50 || r.Status().Services[0].Endpoints[0].Ejected {
		t.Errorf("answers came from %v; %+v", seen, r.Status())
	}
}

// TestALostInstanceThatAnswers: what waits at an instance that the masters have given up
// goes on, for only its agent may be gone. A GET too: it has three tries in all.
func TestALostInstanceThatAnswers(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	came, answers := make(chan struct{}), make(chan struct{})
	lost := backend(t, "t1", func(w http.ResponseWriter, req *http.Request) {
		close(came)
		<-answers
		named("t1")(w, req)
	})
	lost.Suspect = true
	r.apply(t, hello(lost))
	ask := func(path string) <-chan answer {
		asked := make(chan answer, 1)
		go func() {
			got, err := do(newClient(t), http.MethodGet, "http://"+r.addr+path, "")
			if err != nil {
				t.Error(err)
			}
			asked <- got
		}()
		return asked
	}
	waits := ask("/")
	<-came
	absent := nobody(t, "t3")
	back := route.Service{Name: "back", Rules: []route.Rule{{Path: "/back"}}, Hold: time.Minute, Endpoints: []route.Endpoint{absent}}
	r.apply(t, back, hello(backend(t, "t2", named("t2"))))

	held := ask("/back") // until the router has looked after its endpoints
	r.awaitHeld(t, 1)
	listener, err := net.Listen("tcp", absent.Address)
	if err != nil {
		close(answers)
		t.Skipf("the port was taken by somebody else: %v", err)
	}
	server := &http.Server{Handler: named("t3")}
	go func() { _ = server.Serve(listener) }()
	defer drop(server)
	if got := <-held; got.body != "t3" {
		t.Errorf("what was held got %d %q", got.status, got.body)
	}
	close(answers)
	if got := <-waits; got.body != "t1" {
		t.Errorf("what waited at the lost instance got %d %q", got.status, got.body)
	}
}

// TestPoison: requests that no instance survives take half of a service at most,
// and the rest of the requests notice nothing.
func TestPoison(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{})
	var endpoints []route.Endpoint
	for i := range 4 {
		endpoints = append(endpoints, backend(t, id.Task(fmt.Sprintf("t%d", i+1)), func(_ http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/poison" {
				panic(http.ErrAbortHandler)
			}
		}))
	}
	r.apply(t, hello(endpoints...))
	client := newClient(t)

	for range 50 {
		if got := r.get(t, client, "/poison"); got.status != http.StatusBadGateway {
			t.Errorf("poison: answer %d %q", got.status, got.body)
		}
		out := 0
		for _, e := range r.Status().Services[0].Endpoints {
			if e.Ejected {
				out++
			}
		}
		if got, err := do(client, http.MethodPost, "http://"+r.addr, "body"); err != nil || got.status != http.StatusOK || out > 2 {
			t.Fatalf("POST beside it: answer %d %q, %v; %d of 4 are ejected", got.status, got.body, err, out)
		}
	}
}
