package relay

import (
	"sync"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/kernel"
)

const (
	// pipeSize is how much the kernel may hold between two sockets.
	pipeSize = 256 << 10
	// pipesMax is how many pipes are kept for the next bulk, and lentMax how many there
	// are at all: a slow reader keeps one, and connections want descriptors, too.
	pipesMax, lentMax = 64, 512
)

// pipe holds bytes in the kernel on their way between two sockets.
type pipe struct {
	read, write int
	held        int // bytes in it
}

func (p *pipe) close() { _, _ = unix.Close(p.read), unix.Close(p.write) }

// fill moves into the pipe what a socket has, up to a most.
func (p *pipe) fill(from, most int) (n int, err error) {
	n, err = kernel.Splice(from, p.write, min(most, pipeSize))
	p.held += max(0, n)
	return n, err
}

// drain moves on what a socket takes.
func (p *pipe) drain(to int) (n int, err error) {
	n, err = kernel.Splice(p.read, to, p.held)
	p.held -= max(0, n)
	return n, err
}

// pipes are those that are empty and kept for the next bulk.
type pipes struct {
	mu   sync.Mutex
	kept []*pipe
	lent int
}

func (s *pipes) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.kept {
		p.close()
	}
	s.kept = nil
}

// take returns an empty pipe, or nil if there can be none.
func (s *pipes) take() *pipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lent == lentMax {
		return nil
	}
	if last := len(s.kept) - 1; last >= 0 {
		kept := s.kept[last]
		s.kept = s.kept[:last]
		s.lent++
		return kept
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil
	}
	// Where the kernel gives an unprivileged user no larger one, a smaller one does.
	_, _ = unix.FcntlInt(uintptr(ends[0]), unix.F_SETPIPE_SZ, pipeSize)
	s.lent++
	return &pipe{read: ends[0], write: ends[1]}
}

// giveBack keeps an empty pipe, and closes one that holds what nobody wants.
func (s *pipes) giveBack(p *pipe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent--
	if p.held == 0 && len(s.kept) < pipesMax {
		s.kept = append(s.kept, p)
	} else {
		p.close()
	}
}
