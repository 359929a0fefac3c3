package poller

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// side is one of the two directions of a connection, whose mutex guards all but turn.
type side struct {
	turn     sync.Mutex // held by the one goroutine that reads or writes
	ready    bool       // something became ready since the last try
	drained  bool       // the last try left nothing
	expired  bool       // the deadline has passed
	deadline time.Time
	timer    *time.Timer // nil before the first deadline
	waiter   waiter
}

// waiter is who waits for a side. The zero value is nobody.
type waiter struct {
	strand *Strand
	parked chan struct{} // holds one
}

// goOn has it go on, a strand here and now.
func (w waiter) goOn() {
	switch {
	case w.strand != nil:
		w.strand.run()
	case w.parked != nil:
		w.parked <- struct{}{}
	}
}

// goOnBeside has it go on elsewhere: the caller may hold what it wants.
func (w waiter) goOnBeside() {
	if w.strand != nil {
		go w.strand.run()
		return
	}
	w.goOn()
}

// rouse says that the side is ready, and returns who is to be told.
func (s *side) rouse() waiter {
	s.ready = true
	return s.release()
}

// release returns who waited.
func (s *side) release() (w waiter) {
	w, s.waiter = s.waiter, waiter{}
	return w
}

// stop is rouse for the last time.
func (s *side) stop() waiter {
	if s.timer != nil {
		s.timer.Stop()
	}
	return s.rouse()
}

// prepare forgets what was ready before the next try, for which one more may hold the
// descriptor, or says why there can be none. It reports whether the try would be in vain.
func (c *Conn) prepare(at, more int) (vain bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.sides[at]
	switch {
	case c.closed:
		return false, net.ErrClosed
	case s.expired:
		return false, os.ErrDeadlineExceeded
	}
	vain = s.drained && !s.ready && !c.ending
	s.ready, s.drained = false, false
	c.held += more
	return vain, nil
}

// wait returns when a try may go otherwise than the last one.
func (c *Conn) wait(at int) {
	if c.strand != nil {
		c.strand.yield(wish{c, at})
		return
	}
	w := waiter{parked: make(chan struct{}, 1)}
	if c.await(at, w) {
		<-w.parked
	}
}

// await has the waiter told when the side is ready, or reports that it need not wait.
func (c *Conn) await(at int, w waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.sides[at]
	if s.ready || s.expired || c.closed {
		return false
	}
	s.waiter = w
	return true
}

// SetDeadline is that of net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.setDeadline(reading, t), c.setDeadline(writing, t))
}

// SetReadDeadline is that of net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(reading, t) }

// SetWriteDeadline is that of net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(writing, t) }

func (c *Conn) setDeadline(at int, t time.Time) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.failed("set", net.ErrClosed)
	}
	s := &c.sides[at]
	s.deadline, s.expired = t, false
	var late waiter
	switch left := time.Until(t); {
	case t.IsZero():
		if s.timer != nil {
			s.timer.Stop()
		}
	case left <= 0:
		s.expired = true
		late = s.release()
	case s.timer == nil:
		s.timer = time.AfterFunc(left, func() { c.expire(at) })
	default:
		s.timer.Reset(left)
	}
	c.mu.Unlock()
	late.goOnBeside()
	return nil
}

// expire ends the wait if the deadline has passed. It may have been moved meanwhile.
func (c *Conn) expire(at int) {
	c.mu.Lock()
	s := &c.sides[at]
	var late waiter
	if !c.closed && !s.deadline.IsZero() && time.Until(s.deadline) <= 0 {
		s.expired = true
		late = s.release()
	}
	c.mu.Unlock()
	late.goOn()
}
