package upstream

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/kernel"
)

// socket asks the kernel about a connection. The functions are made once, since
// each closure would cost an allocation on the way of a request.
type socket struct {
	raw      syscall.RawConn
	peek     func(fd uintptr)
	ask      func(fd uintptr)
	converse func(fd uintptr) bool
	isQuiet  bool
	outQueue int
	turn     turn
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
		_, err := kernel.Peek(int(fd))
		s.isQuiet = kernel.IsLater(err)
	}
	s.converse = s.goOn
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

// unheard returns for how long nothing has come from the other kernel, if it was asked
// for a word and none has come since: something that was sent, be it a keep-alive, is
// not acknowledged. Else it is zero.
func (s *socket) unheard() (silence time.Duration) {
	_ = s.raw.Control(func(fd uintptr) { // which a closed connection refuses
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil && (info.Unacked > 0 || info.Probes > 0) {
			silence = time.Duration(min(info.Last_ack_recv, info.Last_data_recv)) * time.Millisecond
		}
	})
	return silence
}

// exchange sends text, if the connection is open and nothing waits to be read, and
// waits for the first of what comes into p. In one go it saves a look for an answer
// right after the request, when none can have come: the poller was made ready before
// the request was sent, and so misses nothing that follows it. What the turn leaves
// undone is for the ordinary way.
func (s *socket) exchange(text, p []byte) *turn {
	t := &s.turn
	*t = turn{text: text, into: p}
	err := s.raw.Read(s.converse)
	switch {
	case err == nil:
	case t.stage == notAsked:
		t.stage, t.sendErr = partSent, err
	default:
		t.recvErr = err
	}
	t.text, t.into = nil, nil
	return t
}

// goOn takes a turn as far as the kernel goes along. It returns false to wait for what
// comes.
func (s *socket) goOn(fd uintptr) bool {
	t := &s.turn
	if t.stage != allSent {
		s.peek(fd)
		if !s.isQuiet {
			t.stage = notQuiet
			return true
		}
		t.stage = partSent
		sent, err := kernel.Write(int(fd), t.text)
		t.sent = max(sent, 0)
		if err != nil && !kernel.IsLater(err) {
			t.sendErr = os.NewSyscallError("write", err)
		}
		if t.sent < len(t.text) {
			return true
		}
		t.stage = allSent
		return false
	}
	got, err := kernel.Read(int(fd), t.into)
	switch {
	case kernel.IsLater(err):
		return false
	case err != nil:
		t.recvErr = os.NewSyscallError("read", err)
	case got == 0:
		t.recvErr = io.EOF
	}
	t.got = max(got, 0)
	return true
}
