package router

import (
	"syscall"

	"github.com/aloft-run/aloft/kernel"
)

// sender writes to a socket. One goroutine owns it.
type sender struct {
	raw  syscall.RawConn
	try  func(fd uintptr) bool // writeNow, made once
	text []byte                // what is left to be written
	err  error                 // of the last writeNow
}

// Write waits until all of p is taken, as the deadline allows.
func (s *sender) Write(p []byte) (int, error) {
	s.text = p
	err := s.raw.Write(s.try)
	if err == nil {
		err = s.err
	}
	n := len(p) - len(s.text)
	s.text, s.err = nil, nil
	return n, err
}

// writeNow writes what the kernel takes, and returns false to wait until it takes more.
func (s *sender) writeNow(fd uintptr) bool {
	for len(s.text) > 0 {
		n, err := kernel.Write(int(fd), s.text)
		switch {
		case err == nil:
			s.text = s.text[n:]
		case kernel.IsLater(err):
			return false
		default:
			s.err = err
			return true
		}
	}
	return true
}
