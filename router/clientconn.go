package router

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// clientListener gives every client's connection its limits.
type clientListener struct {
	net.Listener

	limit   time.Duration
	header  time.Duration // for the header of the first request, from its first byte
	idle    time.Duration // for that byte
	stalled func()
}

// Accept waits for the next client.
func (l clientListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &clientConn{Conn: conn, limit: l.limit, header: l.header, idle: l.idle, stalled: l.stalled}, nil
}

// clientConn is closed when its client takes nothing of what is written for
// limit, or at most for a little more than twice that. How long nothing is
// written does not matter. The limit stands for as long as the server has the
// connection, and ends when another protocol takes it over.
type clientConn struct {
	net.Conn

	limit   time.Duration
	header  time.Duration
	idle    time.Duration
	stalled func() // told when it is closed for that reason

	begun  atomic.Bool  // its first byte has come
	until  atomic.Int64 // the deadline for writing, Unix nanoseconds
	handed atomic.Bool  // another protocol has it
}

// Read has the limit for the first header begin with its first byte.
func (c *clientConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.begun.Load() {
		c.begun.Store(true)
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.header)) // fails only on a closed connection, as will the next read
	}
	return n, err
}

// SetReadDeadline keeps the server from counting a header's limit from the moment
// at which the connection was accepted. Clients keep connections in store that they
// have not used yet, and one that is closed just when a request is sent on it loses
// the request.
func (c *clientConn) SetReadDeadline(t time.Time) error {
	if !c.begun.Load() && !t.IsZero() {
		t = time.Now().Add(c.idle)
	}
	return c.Conn.SetReadDeadline(t)
}

// Write goes on for as long as some of p is taken within the limit.
func (c *clientConn) Write(p []byte) (int, error) {
	for written := 0; ; {
		c.extend()
		n, err := c.Conn.Write(p[written:])
		written += n
		switch {
		case err == nil, c.handed.Load(), !errors.Is(err, os.ErrDeadlineExceeded):
			return written, err
		case n == 0:
			c.stalled()
			_ = c.Close() // the error that is returned is the first one
			return written, err
		}
	}
}

// extend sees to it that the limit is left. It sets the deadline a little late,
// so that it need not be set for every write.
func (c *clientConn) extend() {
	if c.handed.Load() {
		return
	}
	now := time.Now()
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
