package upstream

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// errNotWanted ends the sending of a body that the instance did not ask for.
var errNotWanted = errors.New("the instance answered before it asked for the body")

// continueTimeout is how long a client's "Expect: 100-continue" is waited for.
const continueTimeout = time.Second

// stream sends a request's body while the answer may already come. It reads the
// client's body in a goroutine of its own, which the pool waits for.
type stream struct {
	req     *http.Request
	goAhead chan struct{} // closed when the body may be sent
	refused chan struct{} // closed when it is not wanted any more
	done    chan struct{} // closed when the sender has stopped
	ok      bool          // all was sent; read after done

	allow, forbid sync.Once

	mu     sync.Mutex
	client error // the error of reading the client's body
}

func newStream(req *http.Request) *stream {
	s := &stream{goAhead: make(chan struct{}), refused: make(chan struct{}), done: make(chan struct{})}
	s.req = req.WithContext(req.Context())
	s.req.Body = &source{ReadCloser: req.Body, stream: s}
	if !strings.EqualFold(req.Header.Get("Expect"), "100-continue") {
		s.proceed()
	}
	return s
}

// run sends the request. When the client breaks off, so must the request.
func (s *stream) run(x *exchange) {
	defer close(s.done)
	err := x.send(s.req)
	s.ok = err == nil
	if s.clientError() != nil {
		x.conn.close()
	}
}

func (s *stream) proceed() { s.allow.Do(func() { close(s.goAhead) }) }
func (s *stream) refuse()  { s.forbid.Do(func() { close(s.refused) }) }

// complete reports whether all of the request has been sent.
func (s *stream) complete() bool {
	select {
	case <-s.done:
		return s.ok
	default:
		return false
	}
}

// clientError returns why the client's body could not be read, if so.
func (s *stream) clientError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// await returns when the body may be sent.
func (s *stream) await() error {
	select {
	case <-s.goAhead:
		return nil
	default:
	}
	patience := time.NewTimer(continueTimeout)
	defer patience.Stop()
	select {
	case <-s.goAhead:
	case <-patience.C:
		s.proceed()
	case <-s.refused:
		return errNotWanted
	}
	return nil
}

// source is the client's body, which remembers its own error.
type source struct {
	io.ReadCloser
	stream *stream
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.stream.await(); err != nil {
		return 0, err
	}
	n, err := s.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.stream.mu.Lock()
		s.stream.client = err
		s.stream.mu.Unlock()
	}
	return n, err
}
