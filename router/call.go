package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

// triesMax is how often a request is sent that may have been read before.
const triesMax = 3

// call is one request on its way through the router. To the proxy it is both
// sides: the writer of the answer, which it measures, and the transport, which
// finds the instance. One goroutine owns it.
type call struct {
	http.ResponseWriter
	router *Router
	proxy  httputil.ReverseProxy
	in     *http.Request
	body   []byte // of in, where it was small enough to be kept
	table  *snapshot

	service  *service
	endpoint *endpoint   // the one that counts the request now
	tried    []*endpoint // the ones that failed it since it was last held
	answer   io.Closer   // the body of the instance's answer
	sent     int         // how often it was sent to an instance that may have read it
	retries  int

	ticket    *ticket
	heldSince time.Time // zero: it was never held

	began  time.Time
	held   time.Duration
	status int
	bytes  int64
	reason Reason // empty: the instance answered
	last   *endpoint
}

// serve handles a request from its first to its last byte.
func (r *Router) serve(w http.ResponseWriter, in *http.Request) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	c := &call{ResponseWriter: w, router: r, in: in, table: r.table.Load(), began: time.Now()}
	whole := false
	defer func() { c.end(whole) }() //nolint:contextcheck // the request carries it
	if err := c.prepare(); err != nil {
		c.refuse(w, in, err)
	} else {
		c.proxy = r.proxy
		c.proxy.Transport, c.proxy.ErrorHandler = c, c.refuse
		c.proxy.ServeHTTP(c, in)
	}
	whole = true
	if c.reason == ClientGone {
		panic(http.ErrAbortHandler) // a client that is half gone must not take silence for success
	}
}

// prepare finds the service and keeps a small body.
func (c *call) prepare() error {
	if c.in.Method == http.MethodConnect {
		return &refusal{BadRequest, "CONNECT is for forward proxies; this is a router"}
	}
	if err := c.route(); err != nil {
		return err
	}
	return c.keepBody()
}

// route finds the service in the call's table.
func (c *call) route() error {
	found := c.table.find(c.in.Host, c.in.URL.Path)
	if found == nil {
		return &refusal{NoRoute, fmt.Sprintf("no service is routed at %.100q", c.in.Host+c.in.URL.Path)}
	}
	c.service = found
	return nil
}

// keepBody reads a body whose length is known and small, so that it can be sent
// more than once, and so that a slow client does not keep an instance busy.
func (c *call) keepBody() error {
	length := c.in.ContentLength
	if length == 0 {
		return nil
	}
	if length < 0 || length > c.router.cfg.BodyKeepMax {
		c.letBothSidesTalk()
		return nil
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.in.Body, body); err != nil {
		return &refusal{BadRequest, "the body of the request did not come whole"}
	}
	c.body = body
	return nil
}

// letBothSidesTalk lets the answer begin before the body has ended: the server
// would else read the body to its end first.
func (c *call) letBothSidesTalk() {
	if c.in.ProtoMajor == 1 { // HTTP/2 does it anyway
		_ = http.NewResponseController(c.ResponseWriter).EnableFullDuplex() // HTTP/1 never refuses
	}
}

// RoundTrip finds an instance for the request and gets its answer. It tries
// again where that is safe: when nothing of the request was read, or when the
// request may be carried out twice and no byte of an answer came.
func (c *call) RoundTrip(out *http.Request) (*http.Response, error) {
	if c.body != nil {
		out.Header.Del("Expect") // the body is here and follows at once
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
	}
	for {
		e, err := c.acquire(out.Context())
		if err != nil {
			return nil, err
		}
		res, err := c.attempt(e, out)
		if err == nil {
			return res, nil
		}
		c.release()
		if !c.mayRetry(out, err) {
			return nil, err
		}
		c.retries++
		c.tried = append(c.tried, e)
	}
}

// attempt sends the request to one endpoint.
func (c *call) attempt(e *endpoint, out *http.Request) (*http.Response, error) {
	c.endpoint, c.last = e, e
	out.URL.Scheme, out.URL.Host = "http", e.Address
	if out.GetBody != nil {
		body, err := out.GetBody()
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	res, err := e.pool.Exchange(out)
	if err != nil {
		c.note(e, err)
		return nil, err
	}
	e.accepted()
	c.status, c.answer = res.StatusCode, res.Body
	if _, typed := res.Header["Content-Type"]; !typed {
		c.Header()["Content-Type"] = nil // or the server would guess one
	}
	return res, nil
}

// note learns from a failed exchange.
func (c *call) note(e *endpoint, err error) {
	failure, ok := errors.AsType[*upstream.Error](err)
	if !ok || failure.Reach == upstream.Abandoned {
		return
	}
	if failure.Reach == upstream.Unreached {
		e.refused(time.Now())
		return
	}
	c.sent++
}

// mayRetry decides whether the request is sent again, and counts it if so.
func (c *call) mayRetry(out *http.Request, err error) bool {
	failure, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		return false
	}
	repeatable := out.Body == nil || out.GetBody != nil
	again := false
	switch failure.Reach {
	case upstream.Unreached:
		again = true // not even a stream has lost a byte
	case upstream.Unread:
		again = repeatable && c.sent < triesMax
	case upstream.Unanswered:
		again = repeatable && c.sent < triesMax && upstream.IsIdempotent(out.Method)
	case upstream.Late, upstream.Garbled, upstream.Abandoned:
	}
	if again {
		c.router.metrics.retries.WithLabelValues(failure.Reach.String()).Inc()
	}
	return again
}

// acquire returns an endpoint that counts the request, and waits for one if it
// must.
func (c *call) acquire(ctx context.Context) (*endpoint, error) {
	defer c.leaveQueue()
	for {
		if table := c.router.table.Load(); table != c.table {
			c.table = table
			if err := c.reroute(); err != nil {
				return nil, err
			}
		}
		if c.isTurn() {
			e := c.service.pick(time.Now(), c.tried)
			if e != nil && e.enter() {
				return e, nil
			}
			if e != nil {
				continue // it has left with the table, and there is a newer one
			}
			if c.ticket != nil {
				c.ticket.queue.recall()
			}
		}
		if err := c.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// isTurn reports whether the request may choose an instance: nobody waits before
// it.
func (c *call) isTurn() bool {
	if c.ticket == nil {
		return c.service.queue.len() == 0
	}
	_, mayGo := c.ticket.queue.isFirst(c.ticket)
	return mayGo
}

// reroute asks the newer table, which may send the request elsewhere.
func (c *call) reroute() error {
	before := c.ticket
	err := c.route()
	if before != nil && (err != nil || c.service.queue != before.queue) {
		c.leaveQueue()
	}
	return err
}

// release gives back the endpoint when nothing of the request is left there.
func (c *call) release() {
	if c.endpoint != nil {
		c.endpoint.exit()
		c.endpoint = nil
	}
}

// refuse answers in place of an instance.
func (c *call) refuse(_ http.ResponseWriter, _ *http.Request, err error) {
	said := refusalOf(err, c.serviceName())
	c.reason = said.reason
	if said.reason == ClientGone {
		c.status = statusClientGone
		return // there is nobody to write to
	}
	said.write(c)
}

// end closes what is left of the request and books it. An answer that did not
// reach its end leaves serve by a panic.
func (c *call) end(whole bool) {
	if c.answer != nil {
		_ = c.answer.Close() // an upgraded connection may still be open
	}
	c.release()
	switch {
	case whole:
	case c.in.Context().Err() != nil:
		c.reason = ClientGone
	default:
		c.reason = Cut
	}
	c.router.metrics.book(c)
	c.router.accessLog.write(c)
}

// WriteHeader notes the status.
func (c *call) WriteHeader(status int) {
	if status >= http.StatusOK {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (c *call) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController what call does not wrap.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }
