package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/kernel"
	"github.com/aloft-run/aloft/poller"
	"github.com/aloft-run/aloft/router/plain"
	"github.com/aloft-run/aloft/router/upstream"
)

// bodyPatience is how long the rest of a small body is waited for before net/http
// has the request, with all that it knows of slow clients.
const bodyPatience = 20 * time.Millisecond

// relayer is an Upstream that takes requests in their words.
type relayer interface {
	Relay(ctx context.Context, m *upstream.Message, a *upstream.Answer) *upstream.Error
}

// lane is a client's connection on the fast path. It serves plain requests that are
// small and can be sent to an instance at once. With any other the connection goes
// to net/http for good, with all bytes that were not answered; so does one whose
// instance failed or said something unusual. One strand owns the lane or, where no loop
// has the connection, one goroutine.
type lane struct {
	errand // of the present request

	hand   func(*clientConn) bool // gives the connection to net/http
	conn   *clientConn
	polled *poller.Conn // the same, or nil
	raw    syscall.RawConn
	try    func(fd uintptr) bool // readNow, made once
	sender sender
	client string // the address without the port

	in     *buffer // nil while nothing of a request is here
	filled int     // so much of it is
	got    int     // by the last readNow
	broken error   // of the last readNow

	until  time.Time // the deadline for reading
	headBy time.Time // when the head must be here of which a part is; else zero
	bodyBy time.Time // the same for the body; then net/http waits for it

	request plain.Request
	message upstream.Message
	answer  upstream.Answer
	out     *buffer
	kept    int64 // of the allowance for bodies
	counted bool  // the router counts the present request
	posted  bool  // the last request was a POST, and nothing of the next was looked at
	skipped bool  // skipEnds has seen enough of it
}

// newLane returns nil for a connection that is not a socket of TCP.
func (r *Router) newLane(conn *clientConn, hand func(*clientConn) bool) *lane {
	tcp, ok := conn.Conn.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	l := &lane{errand: errand{seeker: seeker{router: r}}, conn: conn, raw: raw, hand: hand}
	l.client, _, err = net.SplitHostPort(conn.RemoteAddr().String())
	l.try = l.readNow
	l.sender = sender{raw: raw}
	l.sender.try = l.sender.writeNow
	l.message.Client = conn
	if err != nil {
		return nil
	}
	return l
}

// begin serves until the connection ends or is handed over, and calls ended then. It
// returns when nothing is to be done for now. When the first request is plain, more will
// come, and a loop takes the connection over.
func (l *lane) begin(ctx context.Context, ended func()) {
	switch {
	case !l.attempt(ctx, func() bool { return l.next(ctx) }):
	case !l.adopt():
		l.attempt(ctx, func() bool { return l.run(ctx) })
	default:
		poller.Spin(func(s *poller.Strand) {
			defer ended()
			l.polled.Use(s)
			l.message.Strand = s
			l.attempt(ctx, func() bool { return l.run(ctx) })
		})
		return
	}
	ended()
}

// adopt has a loop take the connection over, and reports whether one did.
func (l *lane) adopt() bool {
	if l.polled = l.conn.adopt(l.router.sockets); l.polled == nil {
		return false
	}
	l.raw, _ = l.polled.SyscallConn() // which it has
	l.sender.raw = l.raw
	l.until = time.Time{}
	return true
}

// run serves the request that is here, and those that follow. It returns false when the
// connection has ended or was handed over.
func (l *lane) run(ctx context.Context) bool {
	for l.serve(ctx) && l.next(ctx) {
	}
	return false
}

// attempt does a part of the work. If that breaks down it ends the connection and returns
// false.
func (l *lane) attempt(ctx context.Context, part func() bool) (again bool) {
	defer func() {
		if broken := recover(); broken != nil {
			l.router.cfg.Log.ErrorContext(ctx, "a connection broke down", slog.Any("panic", broken), slog.String("stack", string(debug.Stack())))
			l.answer.Close()
			l.release()
			if l.counted {
				l.router.calls.Add(-1)
			}
			l.close()
			again = false
		}
	}()
	return part()
}

// close ends the connection.
func (l *lane) close() {
	l.free()
	_ = l.conn.Close()
	l.router.clients.follow(l.conn, http.StateClosed)
}

// free gives the buffers back.
func (l *lane) free() {
	freeBuffer(&l.in)
	freeBuffer(&l.out)
	l.filled = 0
}

// exit is why a connection leaves the fast path. The words are those of the
// metric.
type exit string

// The reasons are a closed set.
const (
	oddRequest exit = "request"     // it is not plain, long, or slow to come
	noInstance exit = "no-instance" // it must wait for one, or none is routed at
	oddAnswer  exit = "answer"
	failed     exit = "failure" // of the instance
)

// leave gives the connection to net/http, with what was done for the request.
func (l *lane) leave(ctx context.Context, why exit, done *begun) {
	l.router.metrics.exits.WithLabelValues(string(why)).Inc()
	l.message.Strand.Detach() // it may have to wait for net/http
	if l.polled != nil {
		l.polled.Use(nil)
	}
	c := l.conn
	c.pending, c.headBy = bytes.Clone(l.in[:l.filled]), l.headBy
	l.free()
	c.isTwo.Store(bytes.HasPrefix(c.pending, []byte("PRI")))
	c.busySince.Store(0)
	c.ahead.Store(done)
	c.serve(false)
	c.heard.Store(true)
	if !l.hand(c) {
		l.turnAway(ctx, why, c.ahead.Swap(nil))
		l.close()
	}
}

// turnAway tells a client that its request is answered by nobody any more, for the
// router ends. What is no plain request gets no answer.
func (l *lane) turnAway(ctx context.Context, why exit, done *begun) {
	var said *refusal
	switch {
	case done != nil:
		said = unanswered(l.serviceName())
		l.router.kept.giveBack(done.kept)
	case why == noInstance:
		said = stopping()
	default:
		return
	}
	l.reason, l.status = said.reason, said.writeLast(l.conn, l.request.Method)
	l.finish(ctx)
	if done != nil {
		l.count(-1)
	}
}

// next returns true when a plain request is here, whole. Else the connection is
// closed or handed over.
func (l *lane) next(ctx context.Context) bool {
	for {
		if l.filled > 0 {
			if whole, odd := l.look(); whole {
				return true
			} else if odd {
				l.giveUp(ctx)
				return false
			}
		} else {
			l.limitIdle()
		}
		err := l.read()
		if err == nil {
			continue
		}
		if l.filled > 0 && (errors.Is(err, io.EOF) || !l.bodyBy.IsZero() && errors.Is(err, os.ErrDeadlineExceeded)) {
			l.leave(ctx, oddRequest, nil)
		} else {
			l.close()
		}
		return false
	}
}

// prefaceBytes is how much of a new connection net/http reads before it says anything
// of it, to see whether it speaks HTTP/2.
const prefaceBytes = len("PRI * HTTP/2.0")

// nextBytes is the same for a later request.
const nextBytes = 4

// giveUp hands an odd request over. To net/http the connection begins with it: in the
// middle of one there is no HTTP/2, and what is too short for it is not waited for.
func (l *lane) giveUp(ctx context.Context) {
	if l.last == nil || l.filled >= prefaceBytes && !bytes.HasPrefix(l.in[:], []byte("PRI ")) {
		l.leave(ctx, oddRequest, nil)
		return
	}
	_, _ = io.WriteString(l.conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request")
	l.close()
}

// skipEnds leaves out the ends of lines that old clients send after a body, in the
// first bytes after a POST, as net/http does. It returns false if more must come.
func (l *lane) skipEnds() bool {
	if l.filled < nextBytes {
		return false
	}
	l.posted, l.skipped = false, true
	n := 0
	for n < nextBytes && (l.in[n] == '\r' || l.in[n] == '\n') {
		n++
	}
	l.filled = copy(l.in[:], l.in[n:l.filled])
	return l.filled > 0
}

// look looks at what is here of a request.
func (l *lane) look() (whole, odd bool) {
	if l.posted && !l.skipEnds() {
		return false, false
	}
	switch l.request.Read(l.in[:l.filled]) {
	case plain.Odd:
		return false, l.last == nil || l.filled >= nextBytes || l.skipped
	case plain.Partial:
		if l.headBy.IsZero() {
			l.headBy = time.Now().Add(l.conn.header)
			l.setDeadline(l.headBy)
		}
		return false, l.filled == len(l.in)
	case plain.Whole:
	}
	l.headBy = time.Time{}
	wanted := int64(l.request.Size) + l.request.Length
	if l.request.Length > l.router.cfg.BodyKeepMax || wanted > int64(len(l.in)) {
		return false, true
	}
	if int64(l.filled) >= wanted {
		l.bodyBy = time.Time{}
		return true, false
	}
	if l.bodyBy.IsZero() {
		l.bodyBy = time.Now().Add(bodyPatience)
		l.setDeadline(l.bodyBy)
	}
	return false, false
}

// limitIdle bounds the wait for the next request. It sets the deadline a little
// late, so that it need not be set for every request.
func (l *lane) limitIdle() {
	now := time.Now()
	if idle := l.conn.idle; l.until.Sub(now) < idle || l.router.departing.Load() {
		l.setDeadline(now.Add(idle + idle/8))
	}
}

func (l *lane) setDeadline(at time.Time) {
	l.until = at
	_ = l.conn.Conn.SetReadDeadline(at) // fails only on a closed connection, as will the read
}

// read waits for more of a request.
func (l *lane) read() error {
	for {
		err := l.raw.Read(l.try)
		if err == nil {
			err = l.broken
		}
		if err == nil && l.got == 0 {
			err = io.EOF
		}
		if err == nil {
			l.filled += l.got
			l.conn.heard.Store(true)
			l.conn.begun.Store(true)
			return nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || !l.conn.recall() {
			return err
		}
		l.until = time.Time{}
	}
}

// readNow reads what the kernel has. While it has nothing of a request, the
// connection has no buffer.
func (l *lane) readNow(fd uintptr) bool {
	if l.in == nil {
		l.in = newBuffer()
	}
	l.got, l.broken = kernel.Read(int(fd), l.in[l.filled:])
	if !kernel.IsLater(l.broken) {
		if l.polled != nil && l.got > 0 && l.got < len(l.in)-l.filled {
			l.polled.Drained()
		}
		return true
	}
	if l.filled == 0 {
		freeBuffer(&l.in)
	}
	return false
}
