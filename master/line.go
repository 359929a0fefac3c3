package master

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aloft-run/aloft/keepalive"
)

// line is the connection below a call, or its part of one. It has the deadlines
// that streams do not offer: without them, a client that stops to read or write
// would hold its handler for ever.
//
// An error of the line shows where it is read or written.
type line struct {
	control deadlines
	conn    *conn // all that comes by it is the other side's word; nil where that is not known
	ears    *ears // of a session, nil for other calls
}

// lastHeard is when something last came by the connection, the zero time where that
// is not known.
func (l line) lastHeard() time.Time {
	if l.conn == nil {
		return time.Time{}
	}
	return l.conn.LastHeard()
}

// hasUnread reports whether something has come by the connection that nobody has read yet.
func (l line) hasUnread() bool { return l.conn != nil && l.conn.HasUnread() }

// untilBeat returns how long to wait for the next of the heartbeats that come every so
// often. Those of all sessions of a connection are at one moment, and share what it costs
// to send them; those of other connections are at others.
func (l line) untilBeat(every time.Duration) time.Duration {
	if l.conn == nil {
		return every
	}
	return every - time.Since(l.conn.beat)%every
}

// conn is a connection of Serve.
type conn struct {
	*keepalive.Conn

	beat time.Time // one of the moments of its sessions' heartbeats
}

// conns are a listener's connections.
type conns struct {
	net.Listener

	watch *keepalive.Watch
}

// Accept waits for the next connection.
func (l conns) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: l.watch.Accepted(c), beat: time.Now().Add(-rand.N(time.Hour))}, nil
}

// connKey is where the context of a call has its connection.
type connKey struct{}

// onConn returns the context of the calls that come by c.
func onConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// deadlines bound how long reads and writes wait; the zero time lifts a bound.
type deadlines interface {
	SetReadDeadline(at time.Time) error
	SetWriteDeadline(at time.Time) error
}

// lineKey is where the context of a call has its line.
type lineKey struct{}

// withLine makes the line of a request known to its handler, which calls done last.
func withLine(w http.ResponseWriter, req *http.Request) (l line, with *http.Request, done func()) {
	l.control, done = newBounds(w, req)
	return l, req.WithContext(onLine(req.Context(), l)), done
}

// onLine returns the context of a call that comes by l.
func onLine(ctx context.Context, l line) context.Context { return context.WithValue(ctx, lineKey{}, l) }

// sharing returns the context of a call whose other side is heard by all that comes by
// the connection, where that is one of Serve. Little comes by it, which may wait for a moment.
func sharing(ctx context.Context) context.Context {
	l := lineOf(ctx)
	if l.conn, _ = ctx.Value(connKey{}).(*conn); l.conn != nil {
		l.conn.MayWait()
	}
	return onLine(ctx, l)
}

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
