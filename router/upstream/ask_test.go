package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

// stays is a client that does not leave.
type stays struct{}

func (stays) Attach(io.Closer) bool { return true }
func (stays) Detach() bool          { return true }
func (stays) Left() bool            { return false }

// relayed sends a request in its words, and returns the body of the answer. An answer
// that is odd is one with the error errOdd.
func relayed(ctx context.Context, t *testing.T, pool *upstream.Pool, method, body string) (string, error) {
	t.Helper()
	text := fmt.Sprintf("%s / HTTP/1.1\r\nHost: x.localhost\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body)
	var a upstream.Answer
	failure := pool.Relay(ctx, &upstream.Message{
		Text: []byte(text), Began: time.Now(), Idempotent: upstream.IsIdempotent(method), Client: stays{},
	}, &a)
	defer a.Close()
	if failure != nil {
		return "", failure
	}
	if a.Odd {
		return "", errOdd
	}
	a.AppendFields(nil)
	var all []byte
	part := make([]byte, 4<<10)
	for {
		n, err := a.Next(part)
		all = append(all, part[:n]...)
		if errors.Is(err, io.EOF) {
			return string(all), nil
		}
		if err != nil {
			return string(all), err
		}
	}
}

var errOdd = errors.New("the answer is odd")

// TestRelayedRequests are sent whole, whatever their length, and over a connection
// that is still there.
func TestRelayedRequests(t *testing.T) {
	t.Parallel()
	pool := newPool(t, upstream.Config{Address: instance(t, func(c *net.TCPConn, in *bufio.Reader, n int) { serve(c, in, n) })})
	for _, size := range []int{0, 1, 10_000, 20 << 20, 1} { // the fourth is more than kernels take at once
		body := strings.Repeat("x", size)

		got, err := relayed(t.Context(), t, pool, http.MethodPut, body)

		if want := "1 " + body; err != nil || got != want {
			t.Fatalf("of a body of %d bytes came %d, %v; want %d over the first connection", size, len(got), err, len(want))
		}
	}
	if pool.Idle() != 1 {
		t.Errorf("%d connections are idle, want 1", pool.Idle())
	}
}

// TestARelayedRequestLeavesAStaleConnection: what an instance has closed, or where it
// has said something, is found out before anything is sent.
func TestARelayedRequestLeavesAStaleConnection(t *testing.T) {
	t.Parallel()
	tests := map[string]func(c *net.TCPConn){
		"closed":         func(c *net.TCPConn) { drop(c) },
		"half closed":    func(c *net.TCPConn) { _ = c.CloseWrite() },
		"reset":          func(c *net.TCPConn) { _ = c.SetLinger(0); drop(c) },
		"said something": func(c *net.TCPConn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := make(chan *net.TCPConn, 1)
			more := make(chan byte, 1) // what the first connection reads after its first request
			pool := newPool(t, upstream.Config{Address: instance(t, func(c *net.TCPConn, in *bufio.Reader, n int) {
				if n > 1 {
					serve(c, in, n)
					return
				}
				answerOne(c, in)
				first <- c
				if b, err := in.ReadByte(); err == nil {
					more <- b
				}
			})})
			if got, err := relayed(t.Context(), t, pool, http.MethodGet, ""); got != "ok" || err != nil {
				t.Fatalf("the first answer is %q, %v", got, err)
			}
			pool.Sweep(time.Now().Add(20 * time.Second)) // it has earned trust
			spoil(<-first)

			got, err := relayed(t.Context(), t, pool, http.MethodPost, "x")

			if got != "2 x" || err != nil {
				t.Errorf("the answer is %q, %v; want one over a new connection", got, err)
			}
			select {
			case b := <-more:
				t.Errorf("the instance got %q on the stale connection", b)
			default:
			}
		})
	}
}

// TestHowFarARelayedRequestGot is TestHowFarARequestGot for requests in their words.
func TestHowFarARelayedRequestGot(t *testing.T) {
	t.Parallel()
	for name, tc := range reaches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{})
			address := instance(t, func(c *net.TCPConn, in *bufio.Reader, _ int) {
				tc.handle(c, in)
				drop(c)
				close(done)
			})
			cfg := upstream.Config{Address: address, AnswerTimeout: patience, HeaderBytesMax: 64 << 10}
			if tc.want == upstream.Late {
				cfg.AnswerTimeout = 50 * time.Millisecond
			}
			pool := newPool(t, cfg)
			ctx := t.Context()
			if tc.early {
				ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ConnectDone: func(string, string, error) { <-done }})
			}

			_, err := relayed(ctx, t, pool, http.MethodPost, "body")

			failure, ok := errors.AsType[*upstream.Error](err)
			switch {
			case errors.Is(err, errOdd) && tc.want == upstream.Garbled: // the rest is Resume's
			case !ok, failure.Reach != tc.want && (!tc.early || failure.Reach > upstream.Unread): // a reset may be met while still connecting
				t.Errorf("Relay = %v, want %s", err, tc.want)
			}
			<-done
		})
	}
}
