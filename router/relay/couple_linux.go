package relay

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/poller"
)

// bufferSize is the most that goes through a buffer at a time. What fills one comes in
// bulk.
const bufferSize = 16 << 10

// shared is what the connections have in common: one that waits for bytes has none of it
// but two sockets in a loop.
type shared struct {
	Loop *poller.Loop // has the sockets; nil: the relay's own, with a hand for each processor

	pipes   pipes
	buffers sync.Pool // of *[bufferSize]byte

	begun sync.Once
	own   bool // the loop is the relay's
}

// Close gives back what is kept. Nothing may be relayed any more.
func (s *shared) Close() {
	if s.own {
		s.Loop.Close()
	}
	s.pipes.close()
}

// begin makes sure that there is a loop.
func (s *shared) begin() {
	if s.Loop == nil {
		s.Loop, s.own = poller.New(runtime.GOMAXPROCS(0), false), true
	}
}

// couple is two sockets that live and break together.
type couple struct {
	relay *shared
	calls atomic.Int32          // of run, since the one that began when there was none
	cause atomic.Pointer[error] // for breaking off

	// Owned by whoever runs.
	a, b    end
	dropped bool
	broken  error
	ended   chan struct{} // closed when the two above are final
}

// inLoop relays two connections in a loop, if they are sockets and it takes them.
func (s *shared) inLoop(ctx context.Context, a, b Conn) (passed Passed, taken bool, err error) {
	if s.begun.Do(s.begin); !s.Loop.Start() {
		return Passed{}, false, nil
	}
	c := &couple{relay: s, ended: make(chan struct{})}
	if !c.take(a, b) {
		return Passed{}, false, nil
	}
	_, _ = a.Close(), b.Close() // the couple has the sockets
	c.begin()
	stop := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		c.cause.Store(&cause)
		c.run()
	})
	defer stop()
	<-c.ended
	return Passed{Up: c.a.passed, Down: c.b.passed}, true, c.broken
}

// take makes the sockets the couple's own.
func (c *couple) take(a, b Conn) bool {
	first, second := poller.Descriptor(a), poller.Descriptor(b)
	if first < 0 || second < 0 {
		for _, fd := range []int{first, second} {
			if fd >= 0 {
				_ = unix.Close(fd)
			}
		}
		return false
	}
	for _, fd := range []int{first, second} {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1) // or urgent data is left out
	}
	c.a.couple, c.a.other, c.a.fd = c, &c.b, first
	c.b.couple, c.b.other, c.b.fd = c, &c.a, second
	return true
}

// begin has the loop tell of both sockets.
func (c *couple) begin() {
	c.calls.Add(1) // hands leave it alone until both are there
	c.join()
	for more := c.calls.Swap(0) > 1; more; {
		more = c.run()
	}
}

func (c *couple) join() {
	for _, e := range []*end{&c.a, &c.b} {
		token, err := c.relay.Loop.Add(e.fd, e)
		if err != nil {
			c.fail(err)
			return
		}
		e.token, e.joined = token, true
	}
}

// run does what is to be done, and reports whether there may be more. When somebody is at it,
// that one will report so.
func (c *couple) run() (more bool) {
	if c.calls.Add(1) > 1 {
		return false
	}
	if cause := c.cause.Load(); cause != nil {
		c.fail(*cause)
	}
	if !c.dropped {
		c.a.learn()
		c.b.learn()
		more = c.move()
	}
	return c.calls.Swap(0) > 1 || more
}

// move passes on what there is, both ways, and reports whether there may be more.
func (c *couple) move() (more bool) {
	buffer, ok := c.relay.buffers.Get().(*[bufferSize]byte)
	if !ok {
		buffer = new([bufferSize]byte)
	}
	defer c.relay.buffers.Put(buffer)
	up, err := c.a.move(buffer[:])
	if err == nil {
		var down bool
		down, err = c.b.move(buffer[:])
		more = up || down
	}
	switch {
	case err != nil:
		c.fail(err)
	case c.a.told && c.b.told:
		c.drop()
	default:
		return more
	}
	return false
}

// fail breaks both connections: their other ends are told by a reset.
func (c *couple) fail(err error) {
	if !c.dropped {
		c.broken = err
		c.drop()
	}
}

func (c *couple) drop() {
	c.dropped = true
	c.a.drop(c.broken != nil)
	c.b.drop(c.broken != nil)
	close(c.ended)
}
