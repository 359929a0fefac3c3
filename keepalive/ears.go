package keepalive

import (
	"cmp"
	"encoding/binary"
	"io"

	"github.com/aloft-run/aloft/kernel"
	"github.com/aloft-run/aloft/poller"
)

// aheadMax is how much is read at once where net/http wants the head of a frame only:
// most messages of sessions are shorter.
const aheadMax = 256

// idleFrom is after how many reads that brought pings only a connection is quiet.
const idleFrom = 2

// ears are how a server hears its side of a connection. They are owned by who reads, or
// by the loop while it waits.
type ears struct {
	conn  *Conn
	loop  *poller.Loop // nil: it has the connection, or does not take it
	in    frames
	buf   []byte
	ahead []byte // part of buf that nobody has read yet
	idle  int    // so many reads brought only pings since another one
	fills bool   // the reader waits between two frames: what comes may be a ping
	broke error  // what came in place of more
}

// listen reads what comes, but the pings that were answered.
func (c *Conn) listen(p []byte) (n int, err error) {
	e := c.ears
	switch {
	case len(e.ahead) > 0:
	case c.speaks.Load() && e.in.between():
		if err = e.fill(); err != nil {
			return 0, err
		}
	default:
		n, err = c.read(p)
		e.pass(p[:n])
		return n, err
	}
	n = copy(p, e.ahead)
	e.ahead = e.ahead[n:]
	e.pass(p[:n])
	return n, nil
}

// pass takes note of what the reader gets.
func (e *ears) pass(p []byte) {
	e.in.pass(p)
	if !e.conn.speaks.Load() && e.in.greeted() {
		e.conn.begin()
	}
}

// fill waits for more than pings.
func (e *ears) fill() error {
	e.fills = true
	defer func() { e.fills = false }()
	if e.buf == nil {
		e.buf = make([]byte, aheadMax)
	}
	for len(e.ahead) == 0 {
		if e.isForLoop() {
			e.moveToLoop()
		}
		s := e.conn.socket.Load()
		if s.raw == nil {
			n, err := s.Read(e.buf)
			if err != nil {
				return err
			}
			e.hear(n)
			continue
		}
		e.broke = nil
		if err := s.raw.Read(func(fd uintptr) bool { return e.take(int(fd), true) }); err != nil {
			return err
		}
		if e.broke != nil {
			return e.broke
		}
	}
	return nil
}

// take reads until there is something else than pings, and reports whether there is, or the
// reader has something else to do.
func (e *ears) take(fd int, toEnd bool) (enough bool) {
	for len(e.ahead) == 0 && e.broke == nil {
		n, err := kernel.Read(fd, e.buf)
		switch {
		case kernel.IsLater(err):
			return false
		case n <= 0:
			e.broke = cmp.Or(err, io.EOF)
			return true
		}
		e.hear(n)
		if e.isForLoop() {
			return true
		}
		if len(e.ahead) == 0 && n < len(e.buf) && !toEnd {
			return false
		}
	}
	return true
}

// glance is take while the reader waits.
func (e *ears) glance(fd int, toEnd bool) (enough bool) { return !e.fills || e.take(fd, toEnd) }

// hear takes in what was read to buf.
func (e *ears) hear(n int) {
	e.conn.heardSomething()
	e.ahead = e.conn.answerPings(e.buf[:n])
	if e.idle++; len(e.ahead) > 0 {
		e.idle = 0
	}
}

// isForLoop reports whether the loop should have the connection.
func (e *ears) isForLoop() bool { return e.idle >= idleFrom && e.loop != nil && e.conn.waits.Load() }

// moveToLoop gives the connection to the loop, which looks through what comes by many of
// them without waking their readers.
func (e *ears) moveToLoop() {
	c := e.conn
	if !c.takeTurn() {
		e.idle = 0
		return
	}
	defer c.endTurn()
	polled := e.loop.Adopt(c.socket.Load().Conn)
	e.loop = nil
	if polled == nil {
		return
	}
	polled.Watch(e.glance)
	c.socket.Store(newSocket(polled))
	if c.closed.Load() {
		_ = polled.Close()
	}
}

// answerPings answers the pings that p begins with, and returns what is left.
func (c *Conn) answerPings(p []byte) []byte {
	for len(p) >= pingBytes && isPing(p) {
		answer := pingFrame(p)
		answer[flagsAt] |= ackFlag
		switch {
		case p[flagsAt]&ackFlag == 0:
			if !c.say(answer) {
				return p
			}
		case binary.BigEndian.Uint64(p[headBytes:]) != ours:
			return p
		}
		p = p[pingBytes:]
	}
	return p
}
