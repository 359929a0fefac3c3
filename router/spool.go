package router

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// spoolMax is how much may wait to be written, in bytes: some 4,000 requests.
	spoolMax = 1 << 20
	// spoolPiece is how much is written at once, in bytes, in whole lines: a pipe takes so much
	// without another writer's between (PIPE_BUF).
	spoolPiece = 4 << 10
	// spoolEndsWithin bounds how long the end waits for what is still to be written.
	spoolEndsWithin = 3 * time.Second
)

// spool is a writer of lines that holds up nobody: a disk that is stuck, or a pipe that
// nobody reads, must not stop the traffic. What there is no room for any more is lost, as
// is what cannot be written, and the lines are counted.
type spool struct {
	to    io.Writer
	lost  prometheus.Counter
	wake  chan struct{} // holds one: there is something to do
	ended chan struct{} // closed when run has returned
	torn  bool          // the last write ended within a line; owned by run

	mu      sync.Mutex // guards all below
	waiting []byte
	ends    bool // no more will come
	late    bool // what is left is lost
}

func newSpool(to io.Writer, lost prometheus.Counter) *spool {
	return &spool{to: to, lost: lost, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Write takes a line, or loses it. It has no error.
func (s *spool) Write(line []byte) (int, error) {
	s.mu.Lock()
	fits := len(s.waiting) == 0 || len(s.waiting)+len(line) <= spoolMax
	if fits {
		s.waiting = append(s.waiting, line...)
	}
	s.mu.Unlock()
	if !fits {
		s.lost.Inc()
	}
	signal(s.wake)
	return len(line), nil
}

// run writes what comes, until end is called and all is written.
func (s *spool) run() {
	defer close(s.ended)
	var batch []byte
	for range s.wake {
		s.mu.Lock()
		batch, s.waiting = s.waiting, batch[:0]
		ends := s.ends
		s.mu.Unlock()
		for rest := batch; len(rest) > 0; {
			var piece []byte
			piece, rest = cutLines(rest)
			s.write(piece)
		}
		if ends {
			return
		}
	}
}

// cutLines cuts off as many lines as are written at once, at least one.
func cutLines(lines []byte) (piece, rest []byte) {
	if len(lines) <= spoolPiece {
		return lines, nil
	}
	end := bytes.LastIndexByte(lines[:spoolPiece], '\n')
	if end < 0 {
		end = bytes.IndexByte(lines, '\n')
	}
	return lines[:end+1], lines[end+1:]
}

// write writes a piece. A line of which only a part could be written, on a disk that is
// full, must not take the next one with it.
func (s *spool) write(piece []byte) {
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	if late {
		s.lose(piece)
		return
	}
	if s.torn {
		if _, err := s.to.Write([]byte("\n")); err != nil {
			s.lose(piece)
			return
		}
		s.torn = false
	}
	n, err := s.to.Write(piece)
	if err != nil {
		s.torn = n > 0 && piece[n-1] != '\n'
		s.lose(piece[n:])
	}
}

func (s *spool) lose(lines []byte) { s.lost.Add(float64(bytes.Count(lines, []byte("\n")))) }

// end returns when all that came is written, or it takes too long: then the rest is lost,
// and the write that is under way goes on.
func (s *spool) end() (whole bool) {
	s.mu.Lock()
	s.ends = true
	s.mu.Unlock()
	signal(s.wake)
	select {
	case <-s.ended:
		return true
	case <-time.After(spoolEndsWithin):
	}
	s.mu.Lock()
	s.late = true
	s.mu.Unlock()
	return false
}
