package upstream_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

// TestUnreadMeansNotCarriedOut lets an instance that has earned trust close its
// connection in the very moment in which the next request is sent, in every way
// there is. Whatever the pool then says must be true.
func TestUnreadMeansNotCarriedOut(t *testing.T) {
	t.Parallel()
	ends := map[string]func(c *net.TCPConn){
		"closes":                   func(*net.TCPConn) {},
		"resets":                   func(c *net.TCPConn) { _ = c.SetLinger(0) },
		"stops reading and closes": func(c *net.TCPConn) { _ = c.SetReadDeadline(time.Now()) },
		"closes its reading side":  func(c *net.TCPConn) { _ = c.CloseRead() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]int{}
			for range 500 {
				seen[raceOnce(t, end, exchanged)]++
				seen[raceOnce(t, end, relayed)]++
			}
			t.Logf("%v", seen)
		})
	}
}

// exchanged sends a request and returns the body of the answer.
func exchanged(ctx context.Context, t *testing.T, pool *upstream.Pool, method, body string) (string, error) {
	t.Helper()
	res, err := pool.Exchange(request(ctx, t, method, body))
	if err != nil {
		return "", err
	}
	defer drop(res.Body)
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// raceOnce sends a request in one of the two ways, and returns how far it got.
func raceOnce(t *testing.T, end func(*net.TCPConn), send func(context.Context, *testing.T, *upstream.Pool, string, string) (string, error)) string {
	t.Helper()
	var carriedOut atomic.Int64
	clientReady, gone := make(chan struct{}), make(chan struct{})
	address := instance(t, func(c *net.TCPConn, in *bufio.Reader, number int) {
		if number > 1 {
			serve(c, in, number)
			return
		}
		defer close(gone)
		answerOne(c, in)
		var reading sync.WaitGroup
		reading.Go(func() {
			if req, err := http.ReadRequest(in); err == nil {
				carriedOut.Add(1)
				_, _ = io.Copy(io.Discard, req.Body)
			}
		})
		<-clientReady
		spin()
		end(c)
		drop(c)
		reading.Wait()
	})
	pool := newPool(t, upstream.Config{Address: address})
	exchange(t, pool, request(t.Context(), t, http.MethodGet, ""))
	pool.Sweep(time.Now().Add(20 * time.Second)) // it has earned trust
	close(clientReady)
	spin()

	_, err := send(t.Context(), t, pool, http.MethodPost, "body")

	if err == nil {
		if carriedOut.Load() > 0 {
			t.Error("it was carried out twice")
		}
		<-gone
		return "answered over a new connection"
	}
	<-gone
	failure, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		t.Fatal(err)
	}
	if carriedOut.Load() == 0 {
		return failure.Reach.String()
	}
	if failure.Reach <= upstream.Unread {
		t.Errorf("%v, but it was carried out", err)
	}
	return failure.Reach.String() + " and carried out"
}

// answerOne answers one request.
func answerOne(c io.Writer, in *bufio.Reader) {
	readAll(in)
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
}

// spin passes a few microseconds without giving up the processor.
func spin() {
	for until := time.Now().Add(rand.N(60 * time.Microsecond)); time.Now().Before(until); {
	}
}
