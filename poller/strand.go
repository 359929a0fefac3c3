package poller

import "iter"

// strandMax is how many operations a strand may do on sockets before it must wait or go on
// beside the loop, for the loop's other sockets wait meanwhile. A request takes four.
const strandMax = 16

// Strand is a function that reads and writes sockets of loops as if it were a goroutine of
// its own, and that is called by the loop whose socket it waits for, until it waits again. So
// it needs no goroutine to be woken.
//
// While it does anything that may take long but wait for a socket that it uses, the loop and
// all its sockets wait, too: it must detach first. A nil Strand is a goroutine.
type Strand struct {
	next  func() (wish, bool)
	yield func(wish) bool
	left  int // operations before it must let others go on
}

// wish is for what a strand lets others go on: that one side of a socket is ready or, if
// there is none, a goroutine of its own.
type wish struct {
	conn *Conn
	side int
}

// Spin runs f as a strand, which it begins. It returns when f waits or has ended.
func Spin(f func(s *Strand)) {
	s := new(Strand)
	s.next, _ = iter.Pull(func(yield func(wish) bool) {
		s.yield = yield
		f(s)
	})
	s.run()
}

// Detach has the strand go on in a goroutine of its own, until it waits for a socket.
func (s *Strand) Detach() {
	if s != nil {
		s.yield(wish{})
	}
}

// run has the strand go on until it waits. Once it does, whoever sees that it need not wait
// any more may have it go on elsewhere.
func (s *Strand) run() {
	for {
		s.left = strandMax
		w, more := s.next()
		switch {
		case !more:
			return
		case w.conn == nil:
			go s.run()
			return
		case w.conn.await(w.side, waiter{strand: s}):
			return
		}
	}
}

// operates counts an operation.
func (s *Strand) operates() {
	if s == nil {
		return
	}
	if s.left--; s.left <= 0 {
		s.Detach()
	}
}
