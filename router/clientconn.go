package router

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/poller"
)

// clientConn is closed when its client takes nothing of what is written for
// limit, or at most for a little more than twice that. How long nothing is
// written does not matter. The limit stands for as long as the server has the
// connection, and ends when another protocol takes it over.
type clientConn struct {
	net.Conn // mu guards that a loop takes it over; then another stands here

	limit   time.Duration
	header  time.Duration
	idle    time.Duration
	stalled func() // told when it is closed for that reason

	begun  atomic.Bool  // its first byte has come
	isTwo  atomic.Bool  // it speaks HTTP/2
	heard  atomic.Bool  // some of the next request has come
	until  atomic.Int64 // the deadline for writing, Unix nanoseconds
	handed atomic.Bool  // another protocol has it

	// Of the fast path.
	fast      atomic.Bool
	busySince atomic.Int64          // when its present request came, Unix nanoseconds; else 0
	ahead     atomic.Pointer[begun] // what net/http is to end
	pending   []byte                // what it is to read first
	headBy    time.Time             // when it must have the head of which a part is pending; or zero

	mu        sync.Mutex
	served    bool      // from the header of a request to the end of its answer
	dismissed bool      // the deadline for reading is the one of dismiss
	left      bool      // the client has left while its request was served
	instance  io.Closer // the connection that has the request, on the fast path
}

// Read has the limit for the first header begin with its first byte. A connection
// that is dismissed ends here, unless a request is on it: who reads is the only
// one to know.
func (c *clientConn) Read(p []byte) (int, error) {
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		c.heard.Store(true)
		return n, nil
	}
	for {
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.hear(p[:n])
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !c.recall() {
			return n, err
		}
	}
}

func (c *clientConn) hear(p []byte) {
	c.heard.Store(true)
	if !c.begun.Load() {
		c.isTwo.Store(bytes.HasPrefix(p, []byte("PRI")))
		c.begun.Store(true)
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.header)) // fails only on a closed connection, as will the next read
	}
}

// dismiss ends the connection if no request is on it, and reports whether one may
// be that is not being served yet. In HTTP/2 that is the server's affair, which can
// say there what it will not answer.
func (c *clientConn) dismiss() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.served || c.isTwo.Load() {
		return false
	}
	if !c.heard.Load() {
		c.dismissed = true
		_ = c.Conn.SetReadDeadline(longAgo()) // fails only on a closed connection
	}
	return true
}

// recall undoes a dismissal that came too late, and reports whether it did.
func (c *clientConn) recall() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dismissed || !c.heard.Load() && !c.bytesWait() {
		return false
	}
	c.dismissed = false
	return c.Conn.SetReadDeadline(time.Now().Add(c.header)) == nil
}

// serve notes whether a request is being served, after which the connection waits
// for the next one. The server has no deadline for reading while it serves.
func (c *clientConn) serve(served bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served = served
	if !served {
		c.heard.Store(false)
	} else if c.dismissed {
		c.dismissed = false
		_ = c.Conn.SetReadDeadline(time.Time{}) // fails only on a closed connection, as will the next read
	}
}

// bytesWait reports whether the kernel has something that was not read yet.
func (c *clientConn) bytesWait() bool {
	n, err := c.peek()
	return n > 0 && err == nil
}

// adopt has a loop take the connection over, and returns it then. Who calls it owns the
// connection, and has set no deadline that is to go on.
func (c *clientConn) adopt(loop *poller.Loop) *poller.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	polled := loop.Adopt(c.Conn)
	if polled != nil {
		c.Conn = polled
		c.until.Store(0)
	}
	return polled
}

// Close may be called by anybody.
func (c *clientConn) Close() error {
	c.mu.Lock()
	conn := c.Conn
	c.mu.Unlock()
	return conn.Close()
}

// peek looks for the next byte without a wait, and leaves it there. Without one it
// returns 0 if the client will send nothing more, and else an error. Where there is no
// kernel to be asked it is one of errors.ErrUnsupported. The caller holds mu.
func (c *clientConn) peek() (n int, err error) {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	asked := raw.Control(func(fd uintptr) {
		n, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return n, errors.Join(asked, err)
}

// SetReadDeadline keeps the server from counting a header's limit from the moment
// at which the connection was accepted. Clients keep connections in store that they
// have not used yet, and one that is closed just when a request is sent on it loses
// the request.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	switch {
	case t.IsZero():
		c.headBy = t
	case !c.begun.Load():
		t = time.Now().Add(c.idle)
	case !c.headBy.IsZero() && t.After(c.headBy):
		t = c.headBy // handing over wins no time
	}
	return c.Conn.SetReadDeadline(t)
}

// Write goes on for as long as some of p is taken within the limit.
func (c *clientConn) Write(p []byte) (int, error) { return c.writeAt(c.Conn, p, time.Now()) }

// writeAt is Write by whoever knows what time it is, and how to write to the socket.
func (c *clientConn) writeAt(to io.Writer, p []byte, now time.Time) (int, error) {
	for written := 0; ; now = time.Now() {
		c.extend(now)
		n, err := to.Write(p[written:])
		written += n
		switch {
		case err == nil, c.handed.Load(), !errors.Is(err, os.ErrDeadlineExceeded):
			return written, err
		case n == 0:
			c.giveUp()
			return written, err
		}
	}
}

// giveUp closes the connection of a client that takes nothing.
func (c *clientConn) giveUp() {
	c.stalled()
	_ = c.Close() // the error that counts is the first one
}

// extend sees to it that the limit is left. It sets the deadline a little late,
// so that it need not be set for every write.
func (c *clientConn) extend(now time.Time) {
	if c.handed.Load() {
		return
	}
	if until := c.until.Load(); until-now.UnixNano() >= int64(c.limit) {
		return
	}
	until := now.Add(c.limit + c.limit/8)
	c.until.Store(until.UnixNano())
	_ = c.Conn.SetWriteDeadline(until) // fails only on a closed connection, as will the write
}

// SetDeadline is what the server does when it hands the connection over.
func (c *clientConn) SetDeadline(t time.Time) error {
	c.handed.Store(true)
	return c.Conn.SetDeadline(t)
}

// SetWriteDeadline keeps the server, which sets no limit of its own, from lifting
// ours after each request.
func (c *clientConn) SetWriteDeadline(t time.Time) error {
	if !c.handed.Load() {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// CloseWrite says that nothing more will be sent.
func (c *clientConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Attach has the connection to the instance closed when the client leaves.
func (c *clientConn) Attach(instance io.Closer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instance = instance
	return !c.left
}

// Detach undoes it.
func (c *clientConn) Detach() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instance = nil
	return !c.left
}

// Left reports whether the client has left.
func (c *clientConn) Left() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// abandon ends what is done for the client.
func (c *clientConn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	if c.instance != nil {
		_ = c.instance.Close() // the client's request breaks
	}
}

// hasLeft reports whether the client will send nothing more, and has sent nothing
// more than what was read.
func (c *clientConn) hasLeft() bool {
	c.mu.Lock()
	n, err := c.peek()
	c.mu.Unlock()
	switch {
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return false
	}
	return n == 0 || err != nil
}
