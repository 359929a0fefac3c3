package upstream

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/poller"
)

var (
	// errHeaderTooLong is the cause of a Garbled answer.
	errHeaderTooLong = errors.New("the head of the answer is too long")
	// errStale is the error for a kept connection that is good for no request any more.
	errStale = errors.New("the instance closed the idle connection, or said something on it")
)

const (
	bufferBytes     = 4 << 10
	copyBufferBytes = 32 << 10
)

// conn is one connection. Whoever took it from the pool owns it; sending and
// receiving may go on in two goroutines.
type conn struct {
	net.Conn
	polled *poller.Conn  // the same, or nil
	in     *bufio.Reader // reads through conn.Read
	out    *bufio.Writer // writes through conn.Write
	sock   socket

	limit     time.Duration // for an answer; 0: none
	idleSince time.Time
	seenAlive time.Duration // the idle time at which it was last seen open
	reused    bool
	until     time.Time // the deadline for reading; zero: none
	relayed   exchange  // of a request that is relayed, so that none is made for each
	told      string    // what the last answer said about how long it is kept

	// Of the present exchange.
	question []byte // is sent when the answer is read
	written  int64  // bytes that the kernel took
	read     int64  // bytes that came
	headLeft int64  // bytes that the head of the answer may still have; below 0: no limit
	sendErr  error
	recvErr  error
}

// newConn takes a connection that was just opened, or the one that has adopted it. When the other kernel leaves what
// was sent, be it a keep-alive, without an acknowledgement for as long as machine
// says, the connection breaks; 0: the kernel decides.
func newConn(tcp net.Conn, polled *poller.Conn, machine time.Duration) (*conn, error) {
	if polled != nil {
		tcp = polled
	}
	raw, ok := tcp.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T is not a socket", tcp)
	}
	c := &conn{Conn: tcp, polled: polled}
	if err := c.sock.open(raw, machine); err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	c.in = bufio.NewReaderSize(c, bufferBytes)
	c.out = bufio.NewWriterSize(c, bufferBytes)
	return c, nil
}

// use says who waits for the connection: a strand or, if that is nil, goroutines.
func (c *conn) use(s *poller.Strand) {
	if c.polled != nil {
		c.polled.Use(s)
	}
}

// begin forgets the last exchange.
func (c *conn) begin(headMax int64) {
	c.written, c.read, c.headLeft = 0, 0, headMax
	c.sendErr, c.recvErr, c.question = nil, nil, nil
}

// limitRead sees to it that a read ends when nothing comes for the limit, or at most
// an eighth more: so the deadline need not be set for every request.
func (c *conn) limitRead(limit time.Duration) {
	now := time.Now()
	if c.until.Sub(now) >= limit {
		return
	}
	c.until = now.Add(limit + limit/8)
	_ = c.SetReadDeadline(c.until) // fails only on a closed connection, as will the read
}

// freeRead has a read take as long as it likes.
func (c *conn) freeRead() {
	if c.until.IsZero() {
		return
	}
	c.until = time.Time{}
	_ = c.SetReadDeadline(c.until) // fails only on a closed connection, as will the next read
}

// alive reports whether the other side has neither closed an idle connection nor
// sent anything on it.
func (c *conn) alive() bool { return c.in.Buffered() == 0 && c.sock.quiet() }

// close drops the connection. An error would have no consequence.
func (c *conn) close() { _ = c.Close() }

// Read reads from the socket and counts. It sends the question first, if there is one.
func (c *conn) Read(p []byte) (int, error) {
	if c.headLeft == 0 {
		return 0, errHeaderTooLong
	}
	if c.headLeft > 0 && int64(len(p)) > c.headLeft {
		p = p[:c.headLeft]
	}
	var n int
	var err error
	if text := c.question; text != nil {
		c.question = nil
		n, err = c.ask(text, p)
	} else {
		n, err = c.Conn.Read(p)
	}
	c.read += int64(n)
	if c.headLeft > 0 {
		c.headLeft -= int64(n)
	}
	if err != nil {
		c.recvErr = err
	}
	return n, err
}

// ask sends a request, and reads the first of what comes. The error is errStale if
// nothing was sent because the connection was kept and is good for no request.
func (c *conn) ask(text, p []byte) (int, error) {
	if c.limit > 0 {
		c.limitRead(c.limit)
	}
	t := c.sock.exchange(text, p)
	c.written = int64(t.sent)
	switch {
	case t.stage == notQuiet && c.reused:
		return 0, errStale
	case t.stage == allSent:
		return t.got, t.recvErr
	case t.sendErr != nil:
		c.sendErr = t.sendErr
	default:
		if _, err := c.Write(text[t.sent:]); err == nil && c.limit > 0 {
			c.limitRead(c.limit)
		}
	}
	return c.Conn.Read(p) // if it broke, an answer may have come nevertheless
}

// Write writes to the socket and counts.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written += int64(n)
	if err != nil {
		c.sendErr = err
	}
	return n, err
}

// ReadFrom sends what comes from source as soon as it comes: bufio.Writer would
// wait until its buffer is full.
func (c *conn) ReadFrom(source io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{c}, source, make([]byte, copyBufferBytes))
}

// CloseWrite says that nothing more will be sent, on an upgraded connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// reach says how far a request got, on a connection that has broken, by what is
// certain.
//
// When an instance closes its side, its kernel sends a FIN that acknowledges
// every byte it has received by then, read or not. So where the answer ended
// with a FIN before its first byte, and none of the request's bytes is
// acknowledged, the instance had closed before any arrived. A reset proves
// nothing, for it does not acknowledge and is also sent by an instance that read
// half a request and was killed; a reset that was first met while sending makes
// the read after it look like a FIN, hence the look at the error of sending.
//
// Nothing is certain while another goroutine sends.
func (c *conn) reach(sent bool) Reach {
	switch {
	case c.read > 0:
		return Garbled
	case !sent:
		return Unanswered
	case c.written == 0:
		return Unread
	case !errors.Is(c.recvErr, io.EOF), c.sendErr != nil && !errors.Is(c.sendErr, syscall.EPIPE):
		return Unanswered
	case c.sock.unacknowledged() >= c.written:
		return Unread
	}
	return Unanswered
}

// closedIdle reports whether an exchange may have failed because the instance
// was about to close an idle connection, and not because of the request.
func (c *conn) closedIdle(reach Reach) bool {
	if errors.Is(c.recvErr, syscall.ETIMEDOUT) {
		return false // nobody closed it: its machine says nothing
	}
	return reach == Unread || reach == Unanswered && !errors.Is(c.recvErr, io.EOF)
}
