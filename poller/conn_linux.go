package poller

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/kernel"
)

// Conn is a connection of TCP whose socket a loop has. Whoever uses it waits for it in
// goroutines or, after Use, in one strand. Reading, writing and closing may go on side by
// side, and deadlines are those of any net.Conn.
type Conn struct {
	loop          *Loop
	fd            int
	token         Token
	local, remote net.Addr
	strand        *Strand // owned by the user

	mu     sync.Mutex // guards what is below
	held   int        // so many use the descriptor
	closed bool
	ending bool   // the loop has told so: what is read must be read to its end
	glance Glance // nil: none
	sides  [2]side
}

// The sides of a connection.
const (
	reading = iota
	writing
)

// Adopt takes over the socket of a connection, which it closes. It returns nil, and leaves the
// connection as it is, if that is no socket of TCP, or the loop is closed or has no descriptor
// for it.
func (l *Loop) Adopt(conn net.Conn) *Conn {
	if l == nil {
		return nil
	}
	fd := Descriptor(conn)
	if fd < 0 {
		return nil
	}
	c := &Conn{loop: l, fd: fd, local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	c.mu.Lock() // the loop may tell it of something before it has the token
	defer c.mu.Unlock()
	var err error
	if c.token, err = l.Add(c.fd, c); err != nil {
		_ = unix.Close(c.fd)
		return nil
	}
	_ = conn.Close()
	return c
}

// Descriptor returns one more descriptor for the socket of a connection, which the caller owns,
// or -1 if that is no socket of TCP or there is none left. With the connection's own, Go's
// poller would go on looking at it.
func Descriptor(conn net.Conn) int {
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return -1
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1
	}
	fd := -1
	err = raw.Control(func(of uintptr) {
		if copied, err := unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			fd = copied
		}
	})
	if err != nil {
		return -1
	}
	return fd
}

// Use has the connection waited for in a strand from now on or, if that is nil, in
// goroutines. Nobody may be waiting for it.
func (c *Conn) Use(s *Strand) { c.strand = s }

// Ready has those go on who wait for what is ready.
func (c *Conn) Ready(events Events) (again bool) {
	var reader, writer waiter
	c.mu.Lock()
	c.ending = c.ending || events&Ending != 0
	if events&(Readable|Ending) != 0 {
		reader = c.sides[reading].rouse()
	}
	if events&Writable != 0 {
		writer = c.sides[writing].rouse()
	}
	glance, ending := c.glance, c.ending
	c.mu.Unlock()
	if glance == nil || reader.parked == nil || c.isEnough(glance, ending) || !c.await(reading, reader) {
		reader.goOn()
	}
	writer.goOn()
	return false
}

// Watch has a glance taken first, from now on, at what goroutines wait for that read.
func (c *Conn) Watch(glance Glance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.glance = glance
}

// isEnough takes a glance. Where that cannot be, the reader learns why.
func (c *Conn) isEnough(glance Glance, ending bool) bool {
	if _, err := c.prepare(reading, 1); err != nil {
		return true
	}
	defer c.letGo()
	return glance(c.fd, ending)
}

// hold keeps the descriptor open until letGo.
func (c *Conn) hold() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.held++
	return nil
}

func (c *Conn) letGo() {
	c.mu.Lock()
	c.held--
	last := c.closed && c.held == 0
	c.mu.Unlock()
	if last {
		c.release()
	}
}

// release gives the descriptor back.
func (c *Conn) release() {
	c.loop.Remove(c.fd, c.token)
	_ = unix.Close(c.fd)
}

// Close breaks off what waits.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.failed("close", net.ErrClosed)
	}
	c.closed = true
	waiting := [2]waiter{c.sides[reading].stop(), c.sides[writing].stop()}
	last := c.held == 0
	c.mu.Unlock()
	for _, w := range waiting {
		w.goOnBeside()
	}
	if last {
		c.release()
	}
	return nil
}

// do tries until f reports that it is done, whenever the side is ready.
func (c *Conn) do(at int, f func(fd uintptr) bool) error {
	if c.strand == nil {
		s := &c.sides[at]
		s.turn.Lock()
		defer s.turn.Unlock()
	}
	c.strand.operates()
	vain, err := c.prepare(at, 1)
	if err != nil {
		return err
	}
	defer c.letGo()
	for vain || !f(uintptr(c.fd)) {
		c.wait(at)
		if vain, err = c.prepare(at, 0); err != nil {
			return err
		}
	}
	return nil
}

// Drained says that the last read took all that was there, as one does that gets less than it
// asks for, and that nothing but a read comes next: it need not ask the kernel before the loop
// has told of more.
func (c *Conn) Drained() {
	c.mu.Lock()
	c.sides[reading].drained = true
	c.mu.Unlock()
}

// Read reads what there is, or waits for it.
func (c *Conn) Read(p []byte) (n int, err error) {
	waited := c.do(reading, func(fd uintptr) bool {
		n, err = kernel.Read(int(fd), p)
		return !kernel.IsLater(err)
	})
	switch {
	case waited != nil:
		return 0, c.failed("read", waited)
	case err != nil:
		return 0, c.failed("read", os.NewSyscallError("read", err))
	case n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write waits until all of p is taken.
func (c *Conn) Write(p []byte) (n int, err error) {
	waited := c.do(writing, func(fd uintptr) bool {
		for n < len(p) && err == nil {
			var taken int
			taken, err = kernel.Write(int(fd), p[n:])
			n += max(taken, 0)
		}
		if kernel.IsLater(err) {
			err = nil
			return false
		}
		return true
	})
	if waited != nil {
		return n, c.failed("write", waited)
	}
	if err != nil {
		return n, c.failed("write", os.NewSyscallError("write", err))
	}
	return n, nil
}

// failed returns an error in the form of package net's.
func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: c.remote.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// CloseWrite says that nothing more will be written.
func (c *Conn) CloseWrite() error {
	return c.set("shutdown", func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// SetLinger is that of net.TCPConn.
func (c *Conn) SetLinger(seconds int) error {
	linger := unix.Linger{Linger: int32(max(seconds, 0))} //nolint:gosec // as many seconds as the kernel knows of
	if seconds >= 0 {
		linger.Onoff = 1
	}
	return c.set("set", func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger)
	})
}

func (c *Conn) set(op string, f func(fd int) error) error {
	err := c.hold()
	if err == nil {
		defer c.letGo()
		err = f(c.fd)
	}
	if err != nil {
		return c.failed(op, err)
	}
	return nil
}

// LocalAddr is that of net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is that of net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SyscallConn is that of syscall.Conn.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

// rawConn is a syscall.RawConn.
type rawConn struct{ conn *Conn }

func (r rawConn) Read(f func(fd uintptr) bool) error  { return r.conn.do(reading, f) }
func (r rawConn) Write(f func(fd uintptr) bool) error { return r.conn.do(writing, f) }

func (r rawConn) Control(f func(fd uintptr)) error {
	if err := r.conn.hold(); err != nil {
		return err
	}
	defer r.conn.letGo()
	f(uintptr(r.conn.fd))
	return nil
}
