package router

import (
	"errors"
	"net/http"
	"os"
	"time"
)

// beginGiving comes before a part of the answer is handed to the server. The
// client of a whole connection that takes nothing is its clientConn's affair; in
// HTTP/2 one stream may be stopped by its client while others go on. A client
// that takes the answer need not send the body at the same time.
func (c *call) beginGiving() {
	c.intake.restart()
	if c.in.ProtoMajor == 1 {
		return
	}
	if c.giving == nil {
		c.giving = &watch{vigil: &c.router.vigil, interrupt: func() { c.setWriteDeadline(longAgo()) }}
	}
	c.giving.begin()
}

// endGiving comes after it, with the error.
func (c *call) endGiving(err error) {
	if c.giving != nil {
		c.giving.end()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.stalls = true
	}
}

// isSlow reports whether the client kept the router waiting for too long.
func (c *call) isSlow() bool {
	return c.stalls || c.giving.hasExpired() || c.intake.hasExpired()
}

// leaveClient ends what the call does for its client. What the server has
// gathered of the answer it sends afterwards.
func (c *call) leaveClient(whole bool) {
	c.dropBody()
	c.dismissBody(whole)
	if c.giving == nil {
		return
	}
	c.giving.stop()
	if whole {
		c.setWriteDeadline(time.Now().Add(c.router.cfg.ClientTimeout))
	}
}

// setWriteDeadline never fails in HTTP/2.
func (c *call) setWriteDeadline(at time.Time) {
	_ = http.NewResponseController(c.ResponseWriter).SetWriteDeadline(at)
}
