package router_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// TestAReplacedRouterSeesItsClientsOff: two routers accept on one socket, and one
// is told that it has been replaced. Connections end with an answer that says so,
// an upgraded one goes on until its end, and only then the router says goodbye.
func TestAReplacedRouterSeesItsClientsOff(t *testing.T) {
	t.Parallel()
	socket := listen(t)
	file, err := socket.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer drop(file)
	second, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	service := hello(raw(t, "t1", func(conn net.Conn, in *bufio.Reader) {
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if req.Header.Get("Upgrade") != "" {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				_, _ = io.Copy(conn, in)
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}))
	old := start(t, router.Config{Listener: socket})
	old.apply(t, service)
	upgraded, echo := upgrade(t, old.addr)
	successor := start(t, router.Config{ID: "r1-p2", Listener: second, Table: route.Table{Version: route.Version{Epoch: 1, Seq: 1}, Services: []route.Service{service}}})
	<-successor.Serving()
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var asked atomic.Int64
	for i := range 8 {
		client := newClient(t)
		if i%2 == 0 {
			client = newH2Client(t)
		}
		load.Go(func() {
			for ctx.Err() == nil {
				got, err := do(client, http.MethodPost, "http://"+old.addr, "body")
				if asked.Add(1); err != nil || got.body != "ok" {
					t.Errorf("answer %d %q, %v", got.status, got.body, err)
				}
			}
		})
	}
	eventually(t, "100 requests", func() bool { return asked.Load() >= 100 })

	old.replace()

	eventually(t, "only the upgraded connection is left", func() bool {
		s := old.Status()
		return len(s.Services) == 1 && s.Services[0].Endpoints[0].InFlight == 1
	})
	after := asked.Load()
	eventually(t, "100 more requests", func() bool { return asked.Load() >= after+100 })
	stop()
	load.Wait()
	if _, err := io.WriteString(upgraded, "still\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := echo.ReadString('\n'); err != nil || line != "still\n" {
		t.Errorf("the upgraded connection says %q, %v", line, err)
	}
	if _, goodbyes := old.masters.heard(); len(goodbyes) > 0 {
		t.Error("it has said goodbye with a request in flight")
	}
	drop(upgraded)
	if err := old.stop(); !errors.Is(err, router.ErrReplaced) {
		t.Errorf("Run = %v, want that it was replaced", err)
	}
	if _, goodbyes := old.masters.heard(); len(goodbyes) != 1 {
		t.Errorf("it said %d goodbyes", len(goodbyes))
	}
}

// TestASuccessorWaitsForATable: requests are taken when the masters know the
// router, or not at all.
func TestASuccessorWaitsForATable(t *testing.T) {
	t.Parallel()
	r := start(t, router.Config{TableWait: patience})
	r.masters.awaitSessions(t, 1)
	select {
	case <-r.Serving():
		t.Error("it serves without a table")
	default:
	}

	r.apply(t, hello(backend(t, "t1", named("t1"))))

	<-r.Serving()
	if got := r.get(t, newClient(t), "/"); got.body != "t1" {
		t.Errorf("answer %d %q", got.status, got.body)
	}

	alone, err := router.New(router.Config{ID: "r2", Listener: listen(t), TableWait: time.Millisecond}, newMasters())
	if err != nil {
		t.Fatal(err)
	}
	if err := alone.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "no table came") {
		t.Errorf("Run = %v, want that no table came", err)
	}
}
