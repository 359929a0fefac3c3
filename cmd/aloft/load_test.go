package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// load is requests to a router by clients that keep their connections, and one
// connection that speaks another protocol.
type load struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	asked   atomic.Int64
	lost    chan string // the first failures
	conn    net.Conn
	echo    *bufio.Reader
}

// loadCommand carries out what a script says of its load.
func loadCommand(ts *testscript.TestScript, neg bool, args []string) {
	c := clusterOf(ts)
	switch {
	case neg || len(args) == 0 || len(args) > 2:
		ts.Fatalf("usage: load ADDRESS HOST, or load echo, hangup or stop")
	case len(args) == 2:
		c.load = newLoad(ts, args[0], args[1])
	case args[0] == "echo":
		_, err := io.WriteString(c.load.conn, "still there?\n")
		ts.Check(err)
		line, err := c.load.echo.ReadString('\n')
		if err != nil || line != "still there?\n" {
			ts.Fatalf("echo %q, %v", line, err)
		}
	case args[0] == "hangup":
		ts.Check(c.load.conn.Close())
	case args[0] == "stop":
		c.load.end()
		select {
		case what := <-c.load.lost:
			ts.Fatalf("%d requests, and one was lost: %s", c.load.asked.Load(), what)
		default:
		}
		ts.Logf("%d requests, none was lost", c.load.asked.Load())
	default:
		ts.Fatalf("unknown: load %s", args[0])
	}
}

func newLoad(ts *testscript.TestScript, address, host string) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop, lost: make(chan string, 8)}
	ts.Defer(l.end)
	l.upgrade(ts, address, host)
	for i := range cap(l.lost) {
		transport := &http.Transport{}
		if i%2 == 1 {
			transport.Protocols = new(http.Protocols)
			transport.Protocols.SetUnencryptedHTTP2(true)
		}
		l.running.Go(func() {
			client := &http.Client{Timeout: patience, Transport: transport}
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				what := one(context.WithoutCancel(ctx), client, "http://"+address, host)
				l.asked.Add(1)
				if what != "" {
					l.lost <- what
					return
				}
				select {
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	return l
}

// upgrade opens the connection that speaks another protocol.
func (l *load) upgrade(ts *testscript.TestScript, address, host string) {
	conn, err := net.Dial("tcp", address)
	ts.Check(err)
	l.conn, l.echo = conn, bufio.NewReader(conn)
	ts.Check(conn.SetDeadline(time.Now().Add(2 * patience)))
	fmt.Fprintf(conn, "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", host)
	answer, err := http.ReadResponse(l.echo, nil)
	ts.Check(err)
	_ = answer.Body.Close() // it has none: what follows is the other protocol's
	if answer.StatusCode != http.StatusSwitchingProtocols {
		ts.Fatalf("status %d, want 101", answer.StatusCode)
	}
}

func (l *load) end() {
	l.stop()
	l.running.Wait()
	if l.conn != nil {
		_ = l.conn.Close()
	}
}

// addressCommand finds addresses for what a script starts.
func addressCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: address NAME...")
	}
	for _, name := range args {
		address := freeAddress(ts)
		_, port, _ := strings.Cut(address, ":")
		ts.Setenv(name, address)
		ts.Setenv(name+"_PORT", port)
	}
}
