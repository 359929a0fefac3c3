package router

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
)

// call is one request on its way through the router. To the proxy it is both
// sides: the writer of the answer, which it measures, and the transport, which
// finds the instance. One goroutine owns it.
type call struct {
	http.ResponseWriter
	errand

	proxy httputil.ReverseProxy
	in    *http.Request
	begun *begun // what the fast path did for it, until RoundTrip goes on

	body   []byte  // of in, where it was small enough to be kept
	intake *intake // of in, where it has a body
	duplex bool    // in HTTP/1: the answer may begin before the body has ended
	giving *watch  // in HTTP/2: of what the client takes of the answer
	stalls bool    // the client takes nothing of the answer

	answer io.Closer // the body of the instance's answer
	sent   int       // how often it was sent to an instance that may have read it
}

// serve handles a request from its first to its last byte.
func (r *Router) serve(w http.ResponseWriter, in *http.Request) {
	r.calls.Add(1)
	defer r.calls.Add(-1)
	c := &call{ResponseWriter: w, in: in}
	if c.begun = takeBegun(in.Context()); c.begun != nil {
		c.errand = c.begun.errand
		defer r.calls.Add(-1) // which the fast path counted
	} else {
		c.errand = r.newErrand(in.Host, in.URL.Path)
	}
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
	if c.in.URL.Opaque != "" { // as of "http:4/h", which would reach the instance as no target at all
		return &refusal{BadRequest, fmt.Sprintf("the target %.100q has neither a path nor a host", c.in.RequestURI)}
	}
	if err := c.route(); err != nil {
		return err
	}
	return c.takeBody()
}

// refuse answers in place of an instance.
func (c *call) refuse(_ http.ResponseWriter, _ *http.Request, err error) {
	said := refusalOf(err, c.serviceName())
	if c.intake.hasExpired() {
		said = c.intake.tooSlow()
	}
	c.reason = said.reason
	if said.reason == ClientGone {
		c.status = statusClientGone
		return // there is nobody to write to
	}
	c.closeAfterwards()
	said.write(c)
}

// end closes what is left of the request and books it. An answer that did not
// reach its end leaves serve by a panic.
func (c *call) end(whole bool) {
	c.begun.drop()
	if c.answer != nil {
		_ = c.answer.Close() // an upgraded connection may still be open
	}
	c.release()
	switch {
	case whole:
	case c.isSlow():
		c.reason = ClientSlow
	case c.in.Context().Err() != nil:
		c.reason = ClientGone
	default:
		c.reason = Cut
	}
	c.leaveClient(whole)
	if c.intake.hasExpired() {
		c.router.metrics.slowBodies.Inc()
	}
	if c.giving.hasExpired() {
		c.router.metrics.slowAnswers.Inc()
	}
	c.book()
	c.router.accessLog.write(c.in.Context(), &c.errand, asked{c.in.RemoteAddr, c.in.Proto, c.in.Method})
}

// WriteHeader notes the status.
func (c *call) WriteHeader(status int) {
	if status >= http.StatusOK {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write passes on a piece of the answer and counts its bytes.
func (c *call) Write(p []byte) (int, error) {
	c.beginGiving()
	n, err := c.ResponseWriter.Write(p)
	c.endGiving(err)
	c.bytes += int64(n)
	return n, err
}

// FlushError sends what the server has gathered of the answer.
func (c *call) FlushError() error {
	c.beginGiving()
	err := http.NewResponseController(c.ResponseWriter).Flush()
	c.endGiving(err)
	return err
}

// Unwrap gives http.ResponseController what call does not wrap.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }
