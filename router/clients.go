package router

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptMax bounds the wait for a connection that the kernel has ready: another
// process may accept it first, or its client may go.
const acceptMax = 100 * time.Millisecond

// clientListener gives every client's connection its limits.
type clientListener struct {
	net.Listener

	limit   time.Duration
	header  time.Duration // for the header of the first request, from its first byte
	idle    time.Duration // for that byte
	stalled func()

	finishing atomic.Bool // only what the kernel has ready is still accepted
}

// Accept waits for the next client.
func (l *clientListener) Accept() (net.Conn, error) {
	conn, err := l.next()
	if err != nil {
		return nil, err
	}
	return &clientConn{Conn: conn, limit: l.limit, header: l.header, idle: l.idle, stalled: l.stalled}, nil
}

// next accepts the next connection. After finish it closes the listener as soon as
// none is ready. It does so itself, for between a look and a close by two goroutines
// clients would go on connecting.
func (l *clientListener) next() (net.Conn, error) {
	for {
		if l.finishing.Load() {
			if !l.isReady() {
				return nil, errors.Join(net.ErrClosed, l.Close())
			}
			_ = l.setDeadline(time.Now().Add(acceptMax)) // fails only on a closed listener
		}
		conn, err := l.Listener.Accept()
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return conn, err
		}
	}
}

// finish has the listener closed when all are accepted that have connected: the
// kernel resets the others, whatever they have sent. If the socket is this process's
// alone, no more may connect while any of them waits to be accepted, else there may be no
// end of them: they try again, and find the port closed.
func (l *clientListener) finish(alone bool) {
	if alone {
		l.onSocket(func(fd int) { _ = unix.Listen(fd, 0) }) // if it fails, they may
	}
	l.finishing.Store(true)
	if l.setDeadline(longAgo()) != nil {
		_ = l.Close() // there is no kernel that has connections ready
	}
}

func (l *clientListener) setDeadline(t time.Time) error {
	timed, ok := l.Listener.(interface{ SetDeadline(t time.Time) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return timed.SetDeadline(t)
}

// isReady reports whether the kernel has a connection ready.
func (l *clientListener) isReady() (ready bool) {
	l.onSocket(func(fd int) {
		asked := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // descriptors are small
		_, _ = unix.Poll(asked, 0)                                   // without a wait nothing can interrupt it
		ready = asked[0].Revents != 0
	})
	return ready
}

// onSocket does something with the listener's socket, if it has one that is open.
func (l *clientListener) onSocket(do func(fd int)) {
	socket, ok := l.Listener.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { do(int(fd)) }) // which a closed one refuses
}

// clients is the connections that may bring a request, which are all but those
// that another protocol has. It is safe for concurrent use.
type clients struct {
	mu   sync.Mutex
	open map[*clientConn]struct{}
}

// follow is told by the server how a connection is.
func (s *clients) follow(conn net.Conn, state http.ConnState) {
	c := conn.(*clientConn)
	switch state {
	case http.StateActive, http.StateIdle:
		c.serve(state == http.StateActive)
		return
	case http.StateClosed:
		if done := c.ahead.Swap(nil); done != nil {
			done.abandon() // net/http never came to it
		}
	case http.StateNew, http.StateHijacked:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if state != http.StateNew {
		delete(s.open, c)
		return
	}
	if s.open == nil {
		s.open = map[*clientConn]struct{}{}
	}
	s.open[c] = struct{}{}
}

// count returns how many there are.
func (s *clients) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// dismiss ends those on which no request is, and reports whether no other one may
// bring a request that is not being served yet.
func (s *clients) dismiss() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	settled := true
	for c := range s.open {
		if c.dismiss() {
			settled = false
		}
	}
	return settled
}

// dropLeft abandons those that have left while a request of theirs is being served
// on the fast path since before a time.
func (s *clients) dropLeft(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if since := c.busySince.Load(); since != 0 && since < before.UnixNano() && c.hasLeft() {
			c.abandon()
		}
	}
}

// cut ends those on the fast path.
func (s *clients) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.fast.Load() {
			c.abandon()
			_ = c.Close() // its reads and writes break
		}
	}
}
