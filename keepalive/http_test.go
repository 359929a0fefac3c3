package keepalive_test

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

	"github.com/aloft-run/aloft/keepalive"
)

// accepting hands out the connections of a server that a Watch attends to.
type accepting struct {
	net.Listener

	watch *keepalive.Watch
	conns chan *keepalive.Conn
}

func (a accepting) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn := a.watch.Accepted(c)
	conn.MayWait()
	a.conns <- conn
	return conn, nil
}

// serve answers each line of a call's body at once, until the test ends.
func serve(t *testing.T, pace keepalive.Pace) (address string, conns <-chan *keepalive.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_ = http.NewResponseController(w).Flush()
		for lines := bufio.NewScanner(req.Body); lines.Scan(); _ = http.NewResponseController(w).Flush() {
			_, _ = fmt.Fprintf(w, "heard %s\n", lines.Text())
		}
	})}
	l := accepting{listener, watch(t, pace), make(chan *keepalive.Conn, 10)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	return listener.Addr().String(), l.conns
}

// dialing returns a client's transport whose connections keep that pace.
func dialing(pace keepalive.Pace) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{Protocols: protocols, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return keepalive.Dialed(c, pace), nil
	}}
}

// eventually waits for a condition.
func eventually(t tester, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within", patience, what)
		}
	}
}

// TestQuietCallsGoOn: net/http knows nothing of the pings, nor that a loop has the connection.
func TestQuietCallsGoOn(t *testing.T) {
	t.Parallel()
	address, conns := serve(t, keepalive.Pace{AskAfter: patience, AnswerWithin: patience})
	transport := dialing(keepalive.Pace{TellAfter: 10 * time.Millisecond, AskAfter: 15 * time.Millisecond, AnswerWithin: patience})
	defer transport.CloseIdleConnections()
	body, says := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	conn, lines := <-conns, bufio.NewScanner(answer.Body)

	for i := range 3 {
		eventually(t, "a loop has the quiet connection", func() bool {
			_, is := keepalive.Socket(conn).(*net.TCPConn)
			return !is
		})
		since := conn.LastHeard()
		eventually(t, "it is heard", func() bool { return conn.LastHeard().After(since) })
		_, _ = fmt.Fprintf(says, "%d\n", i)

		if want := fmt.Sprintf("heard %d", i); !lines.Scan() || lines.Text() != want {
			t.Fatalf("%q came, %v; want %q", lines.Text(), lines.Err(), want)
		}
	}
	_ = says.Close()
	if lines.Scan() || lines.Err() != nil {
		t.Errorf("in the end came %q, %v", lines.Text(), lines.Err())
	}
}

// TestASilentServerIsFound by a call that waits: net/http reports what the connection does.
func TestASilentServerIsFound(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	transport := dialing(keepalive.Pace{TellAfter: 10 * time.Millisecond, AskAfter: 10 * time.Millisecond, AnswerWithin: 10 * time.Millisecond})
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+silent.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}

	answer, err := transport.RoundTrip(req)

	if err == nil {
		_ = answer.Body.Close()
	}
	if !errors.Is(err, keepalive.ErrSilent) {
		t.Errorf("the call ended with %v; want %v", err, keepalive.ErrSilent)
	}
}
