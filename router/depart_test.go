package router_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aloft-run/aloft/router"
)

// gate holds up a goroutine of the server as an overloaded machine does, until
// the router begins to end what the goroutine waits for.
type gate struct {
	opened chan struct{}
	open   func()
}

func newGate() *gate {
	g := &gate{opened: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

// openAt opens the gate when a deadline is set that has passed.
func (g *gate) openAt(t time.Time) {
	if !t.IsZero() && t.Before(time.Now()) {
		g.open()
	}
}

// busyListener accepts nothing before the router departs, and its connections read
// nothing before the router says farewell to them.
type busyListener struct {
	*net.TCPListener
	accepting *gate
	reading   func() *gate // for each connection
}

func (l busyListener) Accept() (net.Conn, error) {
	<-l.accepting.opened
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return busyConn{conn, l.reading()}, nil
}

func (l busyListener) SetDeadline(t time.Time) error {
	defer l.accepting.openAt(t)
	return l.TCPListener.SetDeadline(t)
}

func (l busyListener) Close() error {
	defer l.accepting.open()
	return l.TCPListener.Close()
}

type busyConn struct {
	*net.TCPConn
	reading *gate
}

func (c busyConn) Read(p []byte) (int, error) {
	<-c.reading.opened
	return c.TCPConn.Read(p)
}

func (c busyConn) SetReadDeadline(t time.Time) error {
	defer c.reading.openAt(t)
	return c.TCPConn.SetReadDeadline(t)
}

func (c busyConn) Close() error {
	defer c.reading.open()
	return c.TCPConn.Close()
}

// TestAStopAnswersWhatTheKernelHas: POSTs that the router's kernel has received when
// the router is told to stop are answered, although the server has not accepted
// their connections by then, or has not read them when the router stops to linger.
func TestAStopAnswersWhatTheKernelHas(t *testing.T) {
	t.Parallel()
	opened := newGate()
	opened.open()
	tests := map[string]struct {
		accepting *gate
		reading   func() *gate
	}{
		"not accepted": {newGate(), func() *gate { return opened }},
		"not read":     {opened, newGate},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, router.Config{Listener: busyListener{listen(t).(*net.TCPListener), tc.accepting, tc.reading}})
			r.apply(t, hello(backend(t, "t1", named("whole"))))
			var conns []net.Conn
			for range 20 {
				conn, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer drop(conn)
				if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"); err != nil {
					t.Fatal(err)
				}
				conns = append(conns, conn)
			}
			silent, err := net.Dial("tcp", r.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer drop(silent)

			stopped := make(chan error, 1)
			go func() { stopped <- r.stop() }()

			for i, conn := range conns {
				if err := answerIsLast(conn); err != nil {
					t.Errorf("POST %d: %v", i, err)
				}
			}
			if n, err := silent.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("a connection without a request brought %d bytes", n)
			}
			if err := <-stopped; !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v, want canceled", err)
			}
		})
	}
}

// answerIsLast reads an answer that is to be the last one of its connection.
func answerIsLast(conn net.Conn) error {
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer drop(res.Body)
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "whole" || !res.Close {
		return fmt.Errorf("answer %q, the last one: %t, %w", body, res.Close, err)
	}
	return nil
}
