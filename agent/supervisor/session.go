package supervisor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// queuedBytesMax is how much may wait for a client that does not read. Past it
// the client is dropped: it asks for the list when it comes back.
const queuedBytesMax = 64 << 20

// call is a request with the session that it came from.
type call struct {
	session *session
	request request
}

// session is one client's connection. Two goroutines serve it, both ended by
// close; the loop never waits for either.
type session struct {
	conn  net.Conn
	wake  chan struct{} // holds 1: there is something to send
	ended chan struct{} // closed when nothing more is read

	mu     sync.Mutex
	queue  [][]byte
	queued int // bytes
}

func newSession(conn net.Conn) *session {
	return &session{conn: conn, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// send queues a reply. It never blocks.
func (s *session) send(r reply) {
	line, err := json.Marshal(r)
	if err != nil {
		line, _ = json.Marshal(refuse(r.ID, err)) // two strings and a number
	}
	s.mu.Lock()
	s.queue = append(s.queue, append(line, '\n'))
	s.queued += len(line)
	tooSlow := s.queued > queuedBytesMax
	s.mu.Unlock()
	if tooSlow {
		s.close()
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *session) close() { _ = s.conn.Close() } // what it did not read, it asks for again

// read hands requests to calls until the connection ends.
func (s *session) read(calls chan<- call, over <-chan struct{}) {
	defer close(s.ended)
	lines := bufio.NewScanner(s.conn)
	lines.Buffer(nil, requestBytesMax)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			s.send(refuse(r.ID, fmt.Errorf("request: %w", err)))
			return
		}
		select {
		case calls <- call{s, r}:
		case <-over:
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		s.send(refuse(0, fmt.Errorf("request: longer than %d bytes", requestBytesMax)))
	}
}

// write sends what is queued, until nothing more is read or the loop is over,
// and then what is left.
func (s *session) write(over <-chan struct{}) {
	defer s.close()
	for {
		select {
		case <-s.wake:
			if !s.flush() {
				return
			}
		case <-s.ended:
			s.lastFlush()
			return
		case <-over:
			s.lastFlush()
			return
		}
	}
}

// lastFlush gives the client a moment to take what is left.
func (s *session) lastFlush() {
	if s.conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		s.flush()
	}
}

func (s *session) flush() bool {
	s.mu.Lock()
	waiting := net.Buffers(s.queue)
	s.queue, s.queued = nil, 0
	s.mu.Unlock()
	_, err := waiting.WriteTo(s.conn)
	return err == nil
}
