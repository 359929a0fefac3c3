// Package keepalive has each side of a quiet HTTP/2 connection know that the other one
// is there. It asks and answers with HTTP/2's PING frames (RFC 9113, section 6.7), below
// net/http, which spends five goroutines on each.
//
// A frame of its own stands between two of net/http's, never within one, nor within a
// block of headers. What it does not answer itself, net/http does: it takes from what
// comes only whole pings that it has answered, and its own side's answers. Connections on
// which something else than HTTP/2 in plain text is spoken pass as they are.
//
// A Conn may be used as any net.Conn.
package keepalive

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/kernel"
)

// ErrSilent is what is read from a connection whose other side has not answered in time.
var ErrSilent = errors.New("the other side of the connection is silent")

// Pace is how often the other side of a connection is asked, and told of this one.
type Pace struct {
	TellAfter    time.Duration // this side says that it is there when it has said nothing for so long; 0: never
	AskAfter     time.Duration // the other side is asked when nothing came from it for so long
	AnswerWithin time.Duration // it is silent when nothing has come for so long since then
}

// socket is what a Conn is a connection by.
type socket struct {
	net.Conn

	raw syscall.RawConn // nil where there is none
}

func newSocket(conn net.Conn) *socket {
	s := &socket{Conn: conn}
	if under, ok := conn.(syscall.Conn); ok {
		s.raw, _ = under.SyscallConn() // a connection that is closed is found so by its reader
	}
	return s
}

// Conn is a connection that knows when something last came by it, and asks for something
// when nothing does.
type Conn struct {
	socket atomic.Pointer[socket]
	pace   Pace
	began  time.Time
	start  func()      // called when speaks is set
	speaks atomic.Bool // HTTP/2 is: the client's preface has passed
	silent atomic.Bool // the other side is
	waits  atomic.Bool // what comes may
	closed atomic.Bool
	heard  atomic.Int64 // when something last came, as time since began
	said   atomic.Int64 // when something was last sent, the same, where this side tells
	ears   *ears        // of a server, nil of a client

	asked  atomic.Int64  // when the other side was to be asked, as time since began; 0: it is not
	unsaid atomic.Bool   // that waits for the end of something else
	next   time.Duration // when something may be due; owned by who attends to the connection
	spared int           // so often the other side was not judged since it was last heard; the same

	turn  chan struct{} // holds one while somebody writes, who owns all below
	out   frames        // what was sent
	frame pingFrame
	rest  []byte // of frame, that is to be sent before all else
	write func(fd uintptr) (done bool)
}

var _ net.Conn = (*Conn)(nil)

func newConn(conn net.Conn, pace Pace) *Conn {
	c := &Conn{pace: pace, began: time.Now(), turn: make(chan struct{}, 1)}
	c.socket.Store(newSocket(conn))
	c.write = func(fd uintptr) bool {
		n, _ := kernel.Write(int(fd), c.rest)
		c.rest = c.rest[max(n, 0):]
		return true // also where there was no room: what cannot be said at once is not waited for
	}
	return c
}

// now returns the time as heard and said have it.
func (c *Conn) now() time.Duration { return time.Since(c.began) }

func (c *Conn) heardSomething() { c.heard.Store(int64(c.now())) }

func (c *Conn) saidSomething() {
	if c.pace.TellAfter > 0 {
		c.said.Store(int64(c.now()))
	}
}

// LastHeard is when something last came by the connection.
func (c *Conn) LastHeard() time.Time { return c.began.Add(time.Duration(c.heard.Load())) }

// HasUnread reports whether something has come that its reader has not read.
func (c *Conn) HasUnread() bool {
	n, s := 0, c.socket.Load()
	if s.raw != nil {
		_ = s.raw.Control(func(fd uintptr) { n, _ = kernel.Peek(int(fd)) }) // closed: nothing
	}
	return n > 0
}

// MayWait lets what comes by a server's connection that has been quiet wait for a moment, a few
// milliseconds at most: it costs a server with many of them much less to hear them then.
func (c *Conn) MayWait() { c.waits.Store(true) }

// Read reads what comes.
func (c *Conn) Read(p []byte) (n int, err error) {
	if c.ears != nil {
		n, err = c.listen(p)
	} else {
		n, err = c.read(p)
	}
	if err != nil && c.silent.Load() {
		err = ErrSilent
	}
	return n, err
}

// read reads what comes, whatever it is.
func (c *Conn) read(p []byte) (n int, err error) {
	if n, err = c.socket.Load().Read(p); n > 0 {
		c.heardSomething()
	}
	return n, err
}

// Write sends p.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.turn <- struct{}{}
	defer c.endTurn()
	if err = c.flush(); err == nil {
		n, err = c.socket.Load().Write(p)
	}
	c.out.pass(p[:max(n, 0)])
	c.saidSomething()
	if c.ears == nil && !c.speaks.Load() && c.out.greeted() {
		c.begin()
	}
	// Where one write follows another there is hardly a moment for who asks.
	if err == nil && c.unsaid.Load() && c.out.mayFollow() {
		c.frame = asking()
		c.rest = c.frame[:]
		c.asked.Store(int64(c.now()))
		c.unsaid.Store(false)
		err = c.flush()
	}
	return n, err
}

// flush sends the rest of a ping. The caller has the turn.
func (c *Conn) flush() error {
	if len(c.rest) == 0 {
		return nil
	}
	n, err := c.socket.Load().Write(c.rest)
	c.rest = c.rest[max(n, 0):]
	return err
}

// takeTurn reports whether nobody writes: then the caller may, until endTurn.
func (c *Conn) takeTurn() bool {
	select {
	case c.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

func (c *Conn) endTurn() { <-c.turn }

// begin starts to attend to a connection on which HTTP/2 turns out to be spoken.
func (c *Conn) begin() {
	c.speaks.Store(true)
	c.start()
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.closed.Store(true)
	return c.socket.Load().Close()
}

// say sends a ping, unless it would have to wait for that.
func (c *Conn) say(frame pingFrame) bool {
	if !c.takeTurn() {
		return false
	}
	s := c.socket.Load()
	if s.raw == nil && c.out.mayFollow() { // in memory, where a write waits for who reads
		c.saidSomething()
		go func() { // ends with the connection at the latest
			defer c.endTurn()
			_, _ = s.Write(frame[:])
		}()
		return true
	}
	defer c.endTurn()
	if s.raw == nil || !c.out.mayFollow() || !c.sendAtOnce(s) {
		return false
	}
	c.frame = frame
	if c.rest = c.frame[:]; !c.sendAtOnce(s) && len(c.rest) == pingBytes {
		c.rest = nil
		return false
	}
	c.saidSomething()
	return true
}

// sendAtOnce sends what there is room for of the rest of a ping, and reports whether that
// is all. The caller has the turn.
func (c *Conn) sendAtOnce(s *socket) bool {
	if len(c.rest) == 0 {
		return true
	}
	err := s.raw.Write(c.write)
	return err == nil && len(c.rest) == 0
}

// LocalAddr is that of net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.socket.Load().LocalAddr() }

// RemoteAddr is that of net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.socket.Load().RemoteAddr() }

// SetDeadline is that of net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.socket.Load().SetDeadline(t) }

// SetReadDeadline is that of net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.socket.Load().SetReadDeadline(t) }

// SetWriteDeadline is that of net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.socket.Load().SetWriteDeadline(t) }
