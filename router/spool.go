package router

import (
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// spoolMax is how much may wait to be written, in bytes: some 4,000 requests.
	spoolMax = 1 << 20
	// spoolEndsWithin bounds how long the end waits for what is still to be written.
	spoolEndsWithin = time.Second
)

// spool is a writer that holds up nobody: a disk that is stuck, or a pipe that nobody
// reads, must not stop the traffic. What there is no room for any more is lost, and
// counted by the pieces in which it came.
type spool struct {
	to    io.Writer
	lost  prometheus.Counter
	wake  chan struct{} // holds one: there is something to do
	ended chan struct{} // closed when run has returned

	mu      sync.Mutex // guards all below
	waiting []byte
	ends    bool // no more will come
}

func newSpool(to io.Writer, lost prometheus.Counter) *spool {
	return &spool{to: to, lost: lost, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// Write takes p, or loses all of it. It has no error.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	fits := len(s.waiting)+len(p) <= spoolMax
	if fits {
		s.waiting = append(s.waiting, p...)
	}
	s.mu.Unlock()
	if !fits {
		s.lost.Inc()
	}
	signal(s.wake)
	return len(p), nil
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
		if len(batch) > 0 {
			_, _ = s.to.Write(batch) // a full disk must not stop the traffic
		}
		if ends {
			return
		}
	}
}

// end returns when all that came is written, or soon after.
func (s *spool) end() {
	s.mu.Lock()
	s.ends = true
	s.mu.Unlock()
	signal(s.wake)
	select {
	case <-s.ended:
	case <-time.After(spoolEndsWithin):
	}
}
