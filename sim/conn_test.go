package sim_test

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// dialWithin is how long a connection may take to come about, as with package client.
const dialWithin = 2 * time.Second

// dial connects two ends of the network, of which the other one listens on lines.
func (n *network) dial(ctx context.Context, from, to string, at func() *lines) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, dialWithin)
	defer stop()
	if !pause(ctx, time.Millisecond) {
		return nil, context.Cause(ctx)
	}
	if !n.reachable(from, to) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	l := at()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	there, back := newPipe(n, from, to), newPipe(n, to, from)
	// A client of HTTP/2 writes while it holds a mutex; a bubble's time would stand still
	// if that had to wait.
	there.room = math.MaxInt
	here, far := &conn{in: back, out: there}, &conn{in: there, out: back}
	if err := l.offer(ctx, far); err != nil {
		return nil, err
	}
	return here, nil
}

// conn is one end of a connection over the network.
type conn struct {
	in, out *pipe
	closing sync.Once
}

func (c *conn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error) { return c.out.write(p) }

// Close ends both ways, as the end of a process does: what is under way still comes.
func (c *conn) Close() error {
	c.closing.Do(func() {
		c.in.abandon()
		c.out.end()
	})
	return nil
}

// vanish has nothing come any more from this end, as when its machine has lost power.
func (c *conn) vanish() { c.out.stall() }

func (*conn) LocalAddr() net.Addr  { return &net.UnixAddr{Name: "memory", Net: "unix"} }
func (*conn) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// SetDeadline bounds reads and writes.
func (c *conn) SetDeadline(at time.Time) error {
	c.in.setReadDeadline(at)
	c.out.setWriteDeadline(at)
	return nil
}

// SetReadDeadline bounds reads.
func (c *conn) SetReadDeadline(at time.Time) error {
	c.in.setReadDeadline(at)
	return nil
}

// SetWriteDeadline bounds writes.
func (c *conn) SetWriteDeadline(at time.Time) error {
	c.out.setWriteDeadline(at)
	return nil
}

// parcel is what one write has put under way.
type parcel struct {
	data []byte
	due  time.Time
}

// pipe carries what is written one way, in its order. A write that is lost takes all
// with it that follows, as on a connection that hears no acknowledgement: only silence
// tells. What is not read yet is bounded, so that who writes to a slow or parted side
// waits.
type pipe struct {
	net      *network
	from, to string
	draw     *rand.Rand    // guarded by mu
	room     int           // bytes that may be under way when more is written
	wake     chan struct{} // holds one signal for the reader
	freed    chan struct{} // holds one signal for the writer

	mu      sync.Mutex // guards all below
	queue   []parcel
	under   int       // bytes in the queue
	newest  time.Time // when the last one is due
	stalled bool      // nothing comes any more, not even the end
	ended   bool      // by the writer: its end comes after the queue
	left    bool      // the reader has gone
	readBy  time.Time
	writeBy time.Time
}

func newPipe(n *network, from, to string) *pipe {
	p := &pipe{
		net: n, from: from, to: to, draw: n.way(from, to),
		wake: make(chan struct{}, 1), freed: make(chan struct{}, 1),
	}
	p.room = []int{0, 4 << 10, 64 << 10}[p.draw.IntN(3)]
	return p
}

// do changes the pipe and wakes both sides.
func (p *pipe) do(change func()) {
	p.mu.Lock()
	change()
	p.mu.Unlock()
	signal(p.wake)
	signal(p.freed)
}

func signal(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

func (p *pipe) end()                          { p.do(func() { p.ended = true }) }
func (p *pipe) abandon()                      { p.do(func() { p.left = true }) }
func (p *pipe) stall()                        { p.do(func() { p.stalled, p.queue, p.under = true, nil, 0 }) }
func (p *pipe) setReadDeadline(at time.Time)  { p.do(func() { p.readBy = at }) }
func (p *pipe) setWriteDeadline(at time.Time) { p.do(func() { p.writeBy = at }) }

// write puts a copy of data on its way, once there is room.
func (p *pipe) write(data []byte) (int, error) {
	for {
		done, wait, err := p.put(data)
		if err != nil {
			return 0, err
		}
		if done {
			signal(p.wake)
			return len(data), nil
		}
		await(wait, p.freed, nil)
	}
}

// put is write, unless it has to wait for room.
func (p *pipe) put(data []byte) (done bool, wait time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.ended:
		return false, 0, net.ErrClosed
	case p.left:
		return true, 0, nil // nobody takes it, and the end of the other way tells
	case passed(p.writeBy, now):
		return false, 0, os.ErrDeadlineExceeded
	case p.under > p.room:
		if p.writeBy.IsZero() {
			return false, time.Hour, nil
		}
		return false, p.writeBy.Sub(now), nil
	}
	delay, lost := p.net.fate(p.draw)
	if p.stalled = p.stalled || lost; p.stalled {
		p.under += len(data) // nobody takes it
		return true, 0, nil
	}
	due := now.Add(delay)
	if due.Before(p.newest) {
		due = p.newest
	}
	p.newest = due
	p.queue = append(p.queue, parcel{append([]byte(nil), data...), due})
	p.under += len(data)
	return true, 0, nil
}

// read waits for what comes next.
func (p *pipe) read(into []byte) (int, error) {
	for {
		n, wait, err := p.take(into)
		if n > 0 || err != nil {
			if n > 0 {
				signal(p.freed)
			}
			return n, err
		}
		_, changed := p.net.passes(p.from, p.to)
		await(wait, p.wake, changed)
	}
}

// await waits so long at most for one of two signals.
func await(wait time.Duration, one, other <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-one:
	case <-other:
	}
}

// take returns what has come, or how long to wait before looking again.
func (p *pipe) take(into []byte) (n int, wait time.Duration, err error) {
	open, _ := p.net.passes(p.from, p.to)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	wait = time.Hour
	if !p.readBy.IsZero() {
		wait = p.readBy.Sub(now)
	}
	switch {
	case p.left:
		return 0, 0, net.ErrClosed
	case wait <= 0:
		return 0, 0, os.ErrDeadlineExceeded
	case len(into) == 0 || !open || p.stalled && len(p.queue) == 0:
		return 0, wait, nil
	case len(p.queue) > 0 && !p.queue[0].due.After(now):
		first := &p.queue[0]
		n = copy(into, first.data)
		p.under -= n
		if first.data = first.data[n:]; len(first.data) == 0 {
			p.queue = p.queue[1:]
		}
		return n, 0, nil
	case len(p.queue) > 0:
		return 0, min(wait, p.queue[0].due.Sub(now)), nil
	case p.ended:
		return 0, 0, io.EOF
	}
	return 0, wait, nil
}

var errKilled = errors.New("the process is dead")

// conns are the connections that one process has made. It ends them when it dies.
type conns struct {
	mu     sync.Mutex // guards all below
	list   []*conn
	killed bool
}

// made keeps a connection, unless the process is dead.
func (c *conns) made(one net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		_ = one.Close()
		return nil, errKilled
	}
	c.list = append(c.list, one.(*conn))
	return one, nil
}

// reset breaks the connections of now. The other ends do not hear of it if it is silent.
func (c *conns) reset(silently bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.list {
		if silently {
			one.vanish()
		}
		_ = one.Close()
	}
	c.list = nil
}

// hangUp breaks all connections, now and to come. With the power gone, nobody hears
// of it.
func (c *conns) hangUp(silently bool) {
	c.mu.Lock()
	c.killed = true
	c.mu.Unlock()
	c.reset(silently)
}

// passed reports whether a deadline is over.
func passed(deadline, now time.Time) bool {
	return !deadline.IsZero() && !deadline.After(now)
}
