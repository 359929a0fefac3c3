package router

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

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

// serviceName returns the name of the service, or nothing before it was found.
func (c *call) serviceName() id.Service {
	if c.service == nil {
		return ""
	}
	return c.service.name
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
