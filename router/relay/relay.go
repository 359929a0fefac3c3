// Package relay passes bytes between two connections, whatever is spoken on them.
//
// What one side sends reaches the other in order and unchanged. That one side has
// said its last word is told to the other, which may still speak; when one of the
// connections breaks the other is broken too, so that nobody takes half of something
// for the whole.
//
// Small pieces go through a buffer that is held only while bytes are there. What
// comes in bulk goes from socket to socket inside the kernel, by splice(2).
package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// alive is how a connection finds out that nobody is at its other end: within
// about half a minute, though nothing is sent.
func alive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}
}

// unheardMax is how long what was sent may stay without a receipt of the other
// end's kernel.
const unheardMax = 30 * time.Second

// Conn is one of the two connections. *net.TCPConn is one.
type Conn interface {
	net.Conn

	CloseWrite() error
	SetLinger(seconds int) error
}

// Passed is how many bytes went each way.
type Passed struct {
	Up   int64 // from the first connection to the second
	Down int64
}

// Moved is what came of Move: how much the other socket took, and the error of either.
type Moved struct {
	Bytes             int64
	ReadErr, WriteErr error
}

// Relay is what connections share while they are relayed: buffers, and pipes of the
// kernel. The zero value is ready. It must not be copied, and may be used by many
// goroutines.
type Relay struct{ shared }

// Run passes what comes on either connection to the other, until both sides have
// said their last word, one of the connections breaks, or ctx is done. Both are
// closed when it returns. The error is nil only if all was passed that both sides
// sent.
func (s *Relay) Run(ctx context.Context, a, b Conn) (Passed, error) {
	watch(a)
	watch(b)
	if passed, taken, err := s.inLoop(ctx, a, b); taken {
		return passed, err
	}
	r := pairing{a: a, b: b}
	stop := context.AfterFunc(ctx, func() { r.fail(context.Cause(ctx)) })
	defer stop()
	var passed Passed
	var down sync.WaitGroup
	down.Go(func() { passed.Down = r.pass(a, b) })
	passed.Up = r.pass(b, a)
	down.Wait()
	_, _ = a.Close(), b.Close() // closing again does no harm
	r.mu.Lock()
	defer r.mu.Unlock()
	return passed, r.broken
}

// pairing is two connections that live and break together, without a loop.
type pairing struct {
	a, b Conn

	mu     sync.Mutex
	broken error // the first; then both are closed
}

// pass passes all that comes from one connection to the other, and then that it
// was all. It returns how much it was.
func (r *pairing) pass(to, from Conn) (n int64) {
	n, err := copied(to, from)
	if err == nil {
		if err = to.CloseWrite(); errors.Is(err, net.ErrClosed) || isUnconnected(err) {
			err = nil // it has read all, and gone
		}
	}
	if err != nil {
		r.fail(err)
	}
	return n
}

// fail breaks both connections: their other ends are told by a reset.
func (r *pairing) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken != nil {
		return
	}
	r.broken = err
	for _, conn := range []Conn{r.a, r.b} {
		_ = conn.SetLinger(0) // fails only on a closed connection
		_ = conn.Close()
	}
}

// Break closes a connection so that its other end does not take it for a good end.
func Break(conn Conn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// copied passes on what the kernel cannot move by itself.
func copied(to io.Writer, from io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
}
