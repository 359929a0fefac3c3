package relay

import (
	"io"
	"syscall"

	"github.com/aloft-run/aloft/kernel"
)

// Move passes on the next bytes that come from one socket to another, without a copy, and
// waits for both as their deadlines allow. Before each wait for the other one it calls
// begin. It passes on none where the kernel cannot do so.
func (s *shared) Move(to, from syscall.RawConn, size int64, begin func()) (m Moved) {
	pipe := s.pipes.take()
	if pipe == nil {
		return m // no descriptor is left
	}
	defer func() { s.pipes.giveBack(pipe) }()
	for m.Bytes < size && m.ReadErr == nil && m.WriteErr == nil {
		var n int
		n, m.ReadErr = wait(from.Read, func(fd int) (int, error) { return pipe.fill(fd, int(min(size-m.Bytes, pipeSize))) })
		if n == 0 && m.ReadErr == nil {
			m.ReadErr = io.ErrUnexpectedEOF
		}
		for pipe.held > 0 && m.WriteErr == nil {
			begin()
			n, m.WriteErr = wait(to.Write, pipe.drain)
			m.Bytes += int64(max(n, 0))
		}
	}
	return m
}

// wait does what a socket may not be ready for at once.
func wait(ready func(func(uintptr) bool) error, do func(fd int) (int, error)) (n int, err error) {
	waited := ready(func(fd uintptr) bool {
		n, err = do(int(fd))
		return !kernel.IsLater(err)
	})
	if waited != nil {
		return 0, waited
	}
	return n, err
}
