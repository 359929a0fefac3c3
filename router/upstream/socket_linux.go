package upstream

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket asks the kernel about a connection. The functions are made once, since
// each closure would cost an allocation on the way of a request.
type socket struct {
	raw      syscall.RawConn
	peek     func(fd uintptr)
	ask      func(fd uintptr)
	isQuiet  bool
	outQueue int
}

func (s *socket) open(c syscall.Conn, machine time.Duration) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	if machine > 0 {
		limited := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(machine.Milliseconds()))
		})
		if err = errors.Join(err, limited); err != nil {
			return err
		}
	}
	s.raw = raw
	s.peek = func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		s.isQuiet = err == syscall.EAGAIN || err == syscall.EINTR
	}
	s.ask = func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err != nil {
			n = -1
		}
		s.outQueue = n
	}
	return nil
}

// quiet reports whether the connection is open and nothing waits to be read. It
// does not mind a deadline that has passed while the connection was idle.
func (s *socket) quiet() bool {
	s.isQuiet = false
	return s.raw.Control(s.peek) == nil && s.isQuiet
}

// unacknowledged returns how many of the bytes sent the other kernel has not
// acknowledged, or -1 when that is not known.
func (s *socket) unacknowledged() int64 {
	s.outQueue = -1
	if err := s.raw.Control(s.ask); err != nil {
		return -1
	}
	return int64(s.outQueue)
}
