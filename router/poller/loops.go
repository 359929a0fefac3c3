package poller

import (
	"net"
	"sync"
	"sync/atomic"
)

// Loops is several loops that share sockets. They start when the first is wanted. A nil Loops
// has none.
type Loops struct {
	count    int
	threaded bool
	next     atomic.Uint32 // a number that leads to the loop of the next socket

	mu      sync.Mutex
	all     []*Loop
	started bool
}

// NewLoops returns as many loops as count. They are threaded if the process has processors
// of Go's for them: see New. Close them when none has a socket any more.
func NewLoops(count int, threaded bool) *Loops { return &Loops{count: count, threaded: threaded} }

// All returns the loops, of which there are fewer or none if descriptors are left for no
// more, and none after Close.
func (l *Loops) All() []*Loop {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.started && len(l.all) < l.count {
		loop, err := New(l.threaded)
		if err != nil {
			break
		}
		l.all = append(l.all, loop)
	}
	l.started = true
	return l.all
}

// Close ends the loops, and returns when they have ended.
func (l *Loops) Close() {
	l.mu.Lock()
	all := l.all
	l.all, l.started = nil, true
	l.mu.Unlock()
	for _, loop := range all {
		loop.Close()
	}
}

// Adopt takes over the socket of a connection, which it closes: for the loop of near if that
// is not nil, else for the loop whose turn it is. It returns nil, and leaves the connection
// as it is, if that is no socket of TCP or there is no loop or descriptor for it.
func (l *Loops) Adopt(conn net.Conn, near *Conn) *Conn {
	socket, ok := conn.(*net.TCPConn)
	all := l.All()
	if !ok || len(all) == 0 {
		return nil
	}
	loop := all[int(l.next.Add(1))%len(all)]
	if near != nil {
		loop = near.loop
	}
	c, err := adopt(loop, socket)
	if err != nil {
		return nil
	}
	_ = socket.Close()
	return c
}
