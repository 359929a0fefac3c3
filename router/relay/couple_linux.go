package relay

import (
	"context"
	"net"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/router/poller"
)

// bufferSize is the most that goes through a buffer at a time. What fills one comes in
// bulk.
const bufferSize = 16 << 10

// shared is what the connections have in common: one that waits for bytes has none of it
// but two sockets in a loop.
type shared struct {
	pipes pipes

	mu     sync.Mutex
	lanes  []*lane // one for each processor, from the first connection on
	opened bool
}

// lane is a loop with the buffer that its connections share.
type lane struct {
	*poller.Loop
	buffer  [bufferSize]byte // owned by the loop
	couples int              // guarded by the mutex of shared
}

// Close gives back what is kept. Nothing may be relayed any more.
func (s *shared) Close() {
	s.mu.Lock()
	lanes := s.lanes
	s.lanes, s.opened = nil, true
	s.mu.Unlock()
	for _, l := range lanes {
		l.Close()
	}
	s.pipes.close()
}

// join returns the lane that has the least to do, or nil if there is none.
func (s *shared) join() *lane {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened {
		s.open()
	}
	var least *lane
	for _, l := range s.lanes {
		if least == nil || l.couples < least.couples {
			least = l
		}
	}
	if least != nil {
		least.couples++
	}
	return least
}

func (s *shared) leave(l *lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.couples--
}

// open starts the loops; with fewer descriptors left than they want there are fewer. The
// caller holds mu.
func (s *shared) open() {
	s.opened = true
	for range runtime.GOMAXPROCS(0) {
		loop, err := poller.New()
		if err != nil {
			return
		}
		s.lanes = append(s.lanes, &lane{Loop: loop})
	}
}

// couple is two sockets that live and break together. The loop owns it.
type couple struct {
	relay   *shared
	loop    *lane
	a, b    end
	dropped bool
	broken  error
	ended   chan struct{} // closed when the two above are final
}

// inLoop relays two connections in a loop, if they are sockets and there is one.
func (s *shared) inLoop(ctx context.Context, a, b Conn) (passed Passed, taken bool, err error) {
	loop := s.join()
	if loop == nil {
		return Passed{}, false, nil
	}
	defer s.leave(loop)
	c := &couple{relay: s, loop: loop, ended: make(chan struct{})}
	if !c.take(a, b) {
		return Passed{}, false, nil
	}
	_, _ = a.Close(), b.Close() // the loop has the sockets
	if !loop.Do(c.begin) {
		c.fail(net.ErrClosed)
		return Passed{}, true, c.broken
	}
	stop := context.AfterFunc(ctx, func() { loop.Do(func() { c.fail(context.Cause(ctx)) }) })
	defer stop()
	<-c.ended
	return Passed{Up: c.a.passed, Down: c.b.passed}, true, c.broken
}

// take makes the sockets the couple's own.
func (c *couple) take(a, b Conn) bool {
	first, second := own(a), own(b)
	if first < 0 || second < 0 {
		for _, fd := range []int{first, second} {
			if fd >= 0 {
				_ = unix.Close(fd)
			}
		}
		return false
	}
	c.a = end{couple: c, other: &c.b, fd: first}
	c.b = end{couple: c, other: &c.a, fd: second}
	return true
}

// own returns a descriptor for the socket of a connection, or -1. Go's poller would go on
// looking at its own.
func own(conn Conn) int {
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

func (c *couple) begin() {
	for _, e := range []*end{&c.a, &c.b} {
		token, err := c.loop.Add(e.fd, e)
		if err != nil {
			c.fail(err)
			return
		}
		e.token, e.joined = token, true
	}
}

// move passes on what there is, both ways, and reports whether there may be more.
func (c *couple) move() (more bool) {
	up, err := c.a.move(c.loop.buffer[:])
	if err == nil {
		var down bool
		down, err = c.b.move(c.loop.buffer[:])
		more = up || down
	}
	switch {
	case err != nil:
		c.fail(err)
	case c.a.told && c.b.told:
		c.drop()
	default:
		return more
	}
	return false
}

// fail breaks both connections: their other ends are told by a reset.
func (c *couple) fail(err error) {
	if !c.dropped {
		c.broken = err
		c.drop()
	}
}

func (c *couple) drop() {
	c.dropped = true
	c.a.drop(c.broken != nil)
	c.b.drop(c.broken != nil)
	close(c.ended)
}
