package master

import (
	"io"
	"time"
)

// crew is the sessions of agents that may be at work at one time, as a part of the
// processors. The others wait for a place. In a rush thousands have a message to read or
// to write, and if all were ready to run, each step of the loop, of a commit and of a
// call would stand behind all of them in the queue for a processor: for milliseconds, and
// for a hundred while the garbage is collected, since each goroutine that allocates then
// has to help first, for some 0.1 ms (gcOverAssistWork in Go's runtime).
//
// Sessions whose agent's word is awaited have places of their own, so that what a service
// waits for is not behind what all the copies of a job have to say.
type crew struct {
	awaited, others chan struct{} // hold as many as are at work
}

// newCrew returns one that leaves half of the processors, or of their time, to the others.
func newCrew(processors int) crew {
	places := max(1, processors/2)
	return crew{make(chan struct{}, places), make(chan struct{}, places)}
}

// shift is the work of one goroutine of a session, which alone uses it.
type shift struct {
	crew  crew
	link  *agentLink
	place chan struct{} // of which it has one, nil while it has none
}

// begin takes a place. One is soon free: who has one waits for nobody else.
func (s *shift) begin() {
	s.place = s.crew.others
	if s.link.isAwaited() {
		s.place = s.crew.awaited
	}
	s.place <- struct{}{}
}

// end gives the place back, if it has one.
func (s *shift) end() {
	if s.place != nil {
		<-s.place
		s.place = nil
	}
}

// do does what waits for nobody.
func (s *shift) do(work func()) {
	s.begin()
	defer s.end()
	work()
}

// listening is a session that waits for what its agent says, or has it and works.
type listening struct {
	shift shift
	vigil *vigil // nil where the line itself bounds the wait
}

// wait has no place. It is for the other side to say something.
func (l *listening) wait() {
	l.shift.end()
	if l.vigil != nil {
		l.vigil.hear()
	}
}

// work takes a place, which is nothing that the other side has to answer for.
func (l *listening) work() {
	if l.vigil != nil {
		l.vigil.pause()
	}
	l.shift.begin()
}

// ears are the body of a session's request. Where that is an agent's, who reads it works,
// and waits while nothing has come.
type ears struct {
	io.ReadCloser

	of *listening // nil for those that take no place
}

// by has a session take its turns, until done is called. Who reads the rest after that, if
// anybody does, would keep a place.
func (e *ears) by(l *listening) (done func()) {
	e.of = l
	return func() {
		e.of = nil
		l.shift.end()
	}
}

// Read reads what comes.
func (e *ears) Read(p []byte) (int, error) {
	if e.of == nil {
		return e.ReadCloser.Read(p)
	}
	e.of.wait()
	n, err := e.ReadCloser.Read(p)
	if n > 0 {
		e.of.shift.link.hear(time.Now())
	}
	e.of.work()
	return n, err
}
