package master

import (
	"context"
	"net/http"
	"time"
)

// line is the connection below a call, or its part of one. It has the deadlines
// that streams do not offer: without them, a client that stops to read or write
// would hold its handler for ever.
//
// An error of the line shows where it is read or written.
type line struct{ control deadlines }

// deadlines bound how long reads and writes wait; the zero time lifts a bound.
type deadlines interface {
	SetReadDeadline(at time.Time) error
	SetWriteDeadline(at time.Time) error
}

// lineKey is where the context of a call has its line.
type lineKey struct{}

// withLine makes the line of a request known to its handler.
func withLine(w http.ResponseWriter, req *http.Request) (line, *http.Request) {
	l := line{http.NewResponseController(w)}
	return l, req.WithContext(onLine(req.Context(), l))
}

// onLine returns the context of a call that comes by l.
func onLine(ctx context.Context, l line) context.Context { return context.WithValue(ctx, lineKey{}, l) }

// lineOf returns the line of the call that ctx is of.
func lineOf(ctx context.Context) line { return ctx.Value(lineKey{}).(line) }

// hearWithin bounds how long reads wait from now on.
func (l line) hearWithin(d time.Duration) { _ = l.control.SetReadDeadline(time.Now().Add(d)) }

// hearAnytime lets reads wait.
func (l line) hearAnytime() { _ = l.control.SetReadDeadline(time.Time{}) }

// hangUp fails the read that waits, and all that come.
func (l line) hangUp() { _ = l.control.SetReadDeadline(time.Unix(1, 0)) }

// sayWithin bounds how long writes may take from now on.
func (l line) sayWithin(d time.Duration) { _ = l.control.SetWriteDeadline(time.Now().Add(d)) }

// sayAnytime lets writes wait.
func (l line) sayAnytime() { _ = l.control.SetWriteDeadline(time.Time{}) }
