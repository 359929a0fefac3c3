package router_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// piece is what a client sends after a pause.
type piece struct {
	after time.Duration
	text  string
}

// send writes the pieces, and nothing more.
func send(to io.Writer, pieces ...piece) {
	for _, p := range pieces {
		time.Sleep(p.after)
		if _, err := io.WriteString(to, p.text); err != nil {
			return
		}
	}
}

// idle is a table with one service, without an instance, that holds nothing.
func idle() route.Table {
	return route.Table{Services: []route.Service{{Name: "hello", Rules: []route.Rule{{Path: "/a"}}, Hold: -1}}}
}

// TestSlowBodies: a client may pause for as long as ClientTimeout, as often as it
// likes, and no longer.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	const head = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
	slow := "nothing of the body of the request came for 1m0s\n"
	tests := map[string]struct {
		pieces []piece
		status int
		body   string
		after  time.Duration
		closed bool
	}{
		"nothing comes": {
			[]piece{{0, head + "\r\n"}}, http.StatusRequestTimeout, slow, time.Minute, true,
		},
		"it breaks off": {
			[]piece{{0, head + "\r\nab"}, {50 * time.Second, "cd"}}, http.StatusRequestTimeout, slow, 110 * time.Second, true,
		},
		"slow, and whole": {
			[]piece{{0, head + "\r\nab"}, {59 * time.Second, "cde"}, {59 * time.Second, "fgh"}, {59 * time.Second, "i"}},
			http.StatusServiceUnavailable, "service hello has no ready instance\n", 177 * time.Second, false,
		},
		"asked for and not sent": {
			[]piece{{0, head + "Expect: 100-continue\r\n\r\n"}}, http.StatusRequestTimeout, slow, time.Minute, true,
		},
		"for a service that there is not": {
			[]piece{{0, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"}, {30 * time.Second, "cd"}},
			http.StatusNotFound, "no service is routed at \"x/b\"\n", time.Minute, true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, router.Config{}, idle(), func(t *testing.T, p *pipes) {
				t.Helper()
				near := p.dial(t)
				defer drop(near)
				began := time.Now()
				var sending sync.WaitGroup
				sending.Go(func() { send(near, tc.pieces...) })
				defer sending.Wait()

				in := bufio.NewReader(near)
				got := read(t, in)

				if took := time.Since(began); took != tc.after {
					t.Errorf("answered after %v, want %v", took, tc.after)
				}
				if got.status != tc.status || got.body != tc.body {
					t.Errorf("answer %d %q, want %d %q", got.status, got.body, tc.status, tc.body)
				}
				if reason := got.header.Get(router.ReasonHeader); (reason == string(router.ClientSlow)) != (tc.status == http.StatusRequestTimeout) {
					t.Errorf("reason %q", reason)
				}
				if !tc.closed {
					return
				}
				if _, err := in.ReadByte(); !errors.Is(err, io.EOF) || time.Since(began) != tc.after {
					t.Errorf("after the answer: %v at %v, want the connection closed", err, time.Since(began))
				}
			})
		})
	}
}

// read returns the next answer that is not about the way there.
func read(t *testing.T, in *bufio.Reader) answer {
	t.Helper()
	for {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode >= http.StatusOK {
			return answer{res.StatusCode, res.Header, string(text)}
		}
	}
}

// dial opens a connection to the router.
func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	p.accepted <- far
	return near
}

// TestTheLimitEndsWithTheBody: nothing of it is left for what comes next on the
// connection: a pause, a request that is held, and one with a body.
func TestTheLimitEndsWithTheBody(t *testing.T) {
	t.Parallel()
	const post = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na"
	table := idle()
	table.Services[0].Hold = 5 * time.Minute
	bubble(t, router.Config{IdleTimeout: time.Hour, HeaderTimeout: time.Hour}, table, func(t *testing.T, p *pipes) {
		t.Helper()
		near := p.dial(t)
		defer drop(near)
		in := bufio.NewReader(near)
		for i := range 3 {
			began := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() { send(near, piece{0, post}, piece{30 * time.Second, "b"}) })

			got := read(t, in)

			sending.Wait()
			if took := time.Since(began); got.status != http.StatusServiceUnavailable || took != 330*time.Second {
				t.Fatalf("request %d: answer %d after %v", i, got.status, took)
			}
			time.Sleep(20 * time.Minute)
		}
	})
}

// TestSlowBodiesOfHTTP2: a stream that stalls is given up, and the others of the
// connection go on.
func TestSlowBodiesOfHTTP2(t *testing.T) {
	t.Parallel()
	bubble(t, router.Config{}, idle(), func(t *testing.T, p *pipes) {
		t.Helper()
		dialled := 0
		client := newH2Client(t)
		client.Timeout = 0
		client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			dialled++
			near, far := net.Pipe()
			p.accepted <- far
			return near, nil
		}
		defer client.CloseIdleConnections()
		ask := func(ends bool, pieces ...piece) (answer, error) {
			body, pen := io.Pipe()
			defer drop(pen)
			go func() {
				send(pen, pieces...)
				if ends {
					drop(pen)
				}
			}()
			req, err := http.NewRequest(http.MethodPost, "http://x/a", body)
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = 4
			res, err := client.Do(req)
			if err != nil {
				return answer{}, err
			}
			defer drop(res.Body)
			text, err := io.ReadAll(res.Body)
			return answer{res.StatusCode, res.Header, string(text)}, err
		}
		if _, err := ask(true, piece{0, "abcd"}); err != nil { // the others find its connection
			t.Fatal(err)
		}
		began := time.Now()
		var asking sync.WaitGroup
		asking.Go(func() {
			got, err := ask(true, piece{0, "a"}, piece{50 * time.Second, "b"}, piece{50 * time.Second, "c"}, piece{50 * time.Second, "d"})
			if took := time.Since(began); err != nil || got.status != http.StatusServiceUnavailable || took != 150*time.Second {
				t.Errorf("the slow one: answer %d after %v, %v", got.status, took, err)
			}
		})

		got, err := ask(false, piece{0, "ab"})

		if took := time.Since(began); err != nil || got.status != http.StatusRequestTimeout || took != time.Minute {
			t.Errorf("the stalled one: answer %d %q after %v, %v", got.status, got.body, took, err)
		}
		asking.Wait()
		if dialled != 1 {
			t.Errorf("%d connections, want one", dialled)
		}
	})
}
