package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/router/upstream"
)

// TestGivingUp: a request that waits for its answer is given up if it may be sent
// again, and goes on if not, unless nobody waits for it: a connection that is heard is
// never lost.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	type kind struct {
		method, body string
		stream       bool // the body cannot be sent again
	}
	tests := map[string]struct {
		lost   upstream.Extent
		asked  kind
		goesOn bool
	}{
		"a GET":                    {upstream.Repeatable, kind{method: http.MethodGet}, false},
		"a PUT with a kept body":   {upstream.Repeatable, kind{method: http.MethodPut, body: "body"}, false},
		"a PUT with a stream":      {upstream.Repeatable, kind{method: http.MethodPut, body: "body", stream: true}, true},
		"a POST with a kept body":  {upstream.Repeatable, kind{method: http.MethodPost, body: "body"}, true},
		"a DELETE without a body":  {upstream.Repeatable, kind{method: http.MethodDelete}, false},
		"a PATCH without any body": {upstream.Repeatable, kind{method: http.MethodPatch}, true},

		"a GET beside a connection that broke":           {upstream.Idle, kind{method: http.MethodGet}, true},
		"a GET at a lost instance that is heard":         {upstream.Unheard, kind{method: http.MethodGet}, true},
		"a POST at a lost one":                           {upstream.Unheard, kind{method: http.MethodPost, body: "body"}, true},
		"a stream at a lost one":                         {upstream.Unheard, kind{method: http.MethodPut, body: "body", stream: true}, true},
		"a POST whose answer nobody will pass on":        {upstream.All, kind{method: http.MethodPost, body: "body"}, false},
		"a stream for which nobody will pass one on":     {upstream.All, kind{method: http.MethodPost, body: "body", stream: true}, false},
		"a PATCH without a body whose answer is in vain": {upstream.All, kind{method: http.MethodPatch}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			came, answer := make(chan struct{}), make(chan struct{})
			address := instance(t, func(c *net.TCPConn, in *bufio.Reader, number int) {
				if number == 1 { // this one is kept idle
					serve(c, in, number)
					return
				}
				readAll(in)
				close(came)
				<-answer
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
			})
			pool := newPool(t, upstream.Config{Address: address, MachineTimeout: patience})
			if quiet := pool.Sweep(time.Now()).Silence; quiet != 0 {
				t.Errorf("silence %v, and nothing waits", quiet)
			}
			first := request(t.Context(), t, http.MethodGet, "")
			res, err := pool.Exchange(first) //nolint:bodyclose // it is, when the other request is there
			if err != nil {
				t.Fatal(err)
			}
			req := request(t.Context(), t, tc.asked.method, tc.asked.body)
			if tc.asked.stream {
				req.GetBody = nil
			}
			type end struct {
				res *http.Response
				err error
			}
			ended := make(chan end, 1)
			go func() {
				res, err := pool.Exchange(req) //nolint:bodyclose // closed below
				ended <- end{res, err}
			}()
			<-came
			_, _ = io.Copy(io.Discard, res.Body)
			drop(res.Body)
			if quiet := pool.Sweep(time.Now().Add(20 * time.Second)).Silence; quiet < 19*time.Second {
				t.Errorf("silence %v, and a request has waited for 20 s", quiet)
			}

			if pool.Idle() != 1 {
				t.Fatal("there is no idle connection")
			}

			pool.Drop(tc.lost)

			if idle := pool.Idle(); idle != 0 {
				t.Errorf("%d idle connections are kept", idle)
			}
			if tc.goesOn {
				close(answer)
			}
			got := <-ended
			if tc.goesOn {
				if got.err != nil {
					t.Fatalf("it was broken off: %v", got.err)
				}
				text, _ := io.ReadAll(got.res.Body)
				drop(got.res.Body)
				if string(text) != "late" {
					t.Errorf("answer %q", text)
				}
				return
			}
			close(answer)
			failure, ok := errors.AsType[*upstream.Error](got.err)
			if !ok || failure.Reach != upstream.Unanswered || !errors.Is(failure, upstream.ErrGivenUp) {
				t.Errorf("Exchange = %v, want unanswered and given up", got.err)
			}
		})
	}
}

// TestGivingUpAConnection: a request whose connection is not accepted has reached
// nobody, and may go elsewhere, whatever it is.
func TestGivingUpAConnection(t *testing.T) {
	t.Parallel()
	pool := newPool(t, upstream.Config{Address: deaf(t), DialTimeout: patience})
	ended := make(chan error, 1)
	go func() {
		_, err := pool.Exchange(request(t.Context(), t, http.MethodPost, "body")) //nolint:bodyclose // there is none
		ended <- err
	}()
	var err error
	for over := false; !over; { // until it has begun to connect
		pool.Drop(upstream.Repeatable)
		select {
		case err = <-ended:
			over = true
		case <-time.After(time.Millisecond):
		}
	}

	failure, ok := errors.AsType[*upstream.Error](err)
	if !ok || failure.Reach != upstream.Unreached || !errors.Is(failure, upstream.ErrGivenUp) {
		t.Errorf("Exchange = %v, want unreached and given up", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err = pool.Connect(ctx)
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("Connect = %v, want a timeout", err)
	}
}

// deaf is an address at which connections are neither accepted nor refused: its
// queue is full.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fd)
	file := os.NewFile(uintptr(fd), "listener")
	defer drop(file)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { drop(listener) })
	for {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), 100*time.Millisecond)
		if err != nil {
			return listener.Addr().String()
		}
		t.Cleanup(func() { drop(conn) })
	}
}
