package router

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }

// errDismissed is for a read of a body that is not wanted any more.
var errDismissed = errors.New("the request has ended")

// intake is a request's body as it comes from the client. A read ends when the
// client is silent for too long while nothing of the answer goes to it either.
//
// Read sets no deadline of its own, for once the body has ended the connection
// belongs to the server, which waits on it for the client to leave.
type intake struct {
	io.ReadCloser // what the server, or the proxy, gives

	watch   watch
	reading sync.Mutex // held while a read is under way
	ended   atomic.Bool
}

// newIntake returns the body of the call's request.
func (c *call) newIntake() *intake {
	return &intake{ReadCloser: c.in.Body, watch: watch{
		vigil:     &c.router.vigil,
		interrupt: func() { c.setReadDeadline(longAgo()) },
	}}
}

// Read reads what comes within the limit.
func (b *intake) Read(p []byte) (int, error) {
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.watch.begin() {
		return 0, errDismissed
	}
	n, err := b.ReadCloser.Read(p)
	b.watch.end()
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
	}
	return n, err
}

// restart says that the client does something else.
func (b *intake) restart() {
	if b != nil && !b.ended.Load() {
		b.watch.restart()
	}
}

// hasExpired reports whether the client was too slow. A nil body has no client.
func (b *intake) hasExpired() bool { return b != nil && b.watch.hasExpired() }

// dismiss ends the reading. Nothing of the body is read any more when it returns.
func (b *intake) dismiss() {
	b.watch.stop()
	b.reading.Lock()
	defer b.reading.Unlock()
}

// tooSlow is the refusal of a client that does not send what it promised.
func (b *intake) tooSlow() *refusal {
	return &refusal{ClientSlow, fmt.Sprintf("nothing of the body of the request came for %v", b.watch.vigil.limit)}
}

// takeBody gets the request's body under way: a body whose length is known and
// small is read at once, so that it can be sent more than once, and so that a
// slow client does not keep an instance busy. Others are passed on as they come,
// and so are small ones while the others that are kept fill their share of memory.
func (c *call) takeBody() error {
	length := c.in.ContentLength
	if length == 0 {
		return nil
	}
	c.intake = c.newIntake()
	if c.begun != nil && c.begun.kept == length {
		c.begun.kept = 0 // it is this call's now
	} else if length < 0 || length > c.router.cfg.BodyKeepMax || !c.router.kept.take(length) {
		c.letBothSidesTalk()
		return nil
	}
	c.body = make([]byte, length)
	_, err := io.ReadFull(c.intake, c.body)
	switch {
	case err == nil:
		return nil
	case c.intake.hasExpired():
		return c.intake.tooSlow()
	}
	return &refusal{BadRequest, "the body of the request did not come whole"}
}

// letBothSidesTalk lets the answer begin before the body has ended: the server
// would else read the body to its end first.
func (c *call) letBothSidesTalk() {
	if c.in.ProtoMajor == 1 { // HTTP/2 does it anyway
		c.duplex = true
		_ = http.NewResponseController(c.ResponseWriter).EnableFullDuplex() // HTTP/1 never refuses
	}
}

// dropBody gives back the memory of a kept body.
func (c *call) dropBody() {
	if c.body != nil {
		c.router.kept.giveBack(int64(len(c.body)))
		c.body = nil
	}
}

// bodyIsLeft reports whether the client may still send some of the body.
func (c *call) bodyIsLeft() bool {
	return c.in.ContentLength != 0 && (c.intake == nil || !c.intake.ended.Load())
}

// closeAfterwards has an HTTP/1 connection closed after an answer that begins
// before the body has ended: what is left of the body must never be taken for a
// request. Any connection is closed so when the router stops; the server turns
// that into its word for HTTP/2.
func (c *call) closeAfterwards() {
	if c.router.departing.Load() || c.in.ProtoMajor == 1 && c.bodyIsLeft() && (c.duplex || c.intake.hasExpired()) {
		c.Header().Set("Connection", "close")
	}
}

// dismissBody ends the reading of the body, and bounds how long the server reads
// on: in HTTP/1 it wants to see the end of the body after a whole answer.
func (c *call) dismissBody(whole bool) {
	if !c.bodyIsLeft() {
		return
	}
	until := time.Now().Add(c.router.cfg.ClientTimeout)
	if c.intake != nil {
		c.intake.dismiss()
		if !whole || c.intake.hasExpired() {
			until = longAgo()
		}
	}
	if c.in.ProtoMajor == 1 {
		c.setReadDeadline(until)
	}
}

// setReadDeadline fails only on a closed connection, as does then the reading.
func (c *call) setReadDeadline(at time.Time) {
	_ = http.NewResponseController(c.ResponseWriter).SetReadDeadline(at)
}

// allowance bounds the memory for the bodies that are kept.
type allowance struct {
	max  int64
	used atomic.Int64
}

// take reports whether there are n bytes left, which are the caller's then.
func (a *allowance) take(n int64) bool {
	if a.used.Add(n) <= a.max {
		return true
	}
	a.used.Add(-n)
	return false
}

func (a *allowance) giveBack(n int64) { a.used.Add(-n) }
