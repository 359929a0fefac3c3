package router

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// acceptPauseMin and acceptPauseMax bound the wait after a failure to accept that
	// passes, such as too many open files.
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
	// lookForLeftEvery is how often the clients are looked at whose requests take
	// their time.
	lookForLeftEvery = 100 * time.Millisecond
)

// lanes accept the clients' connections, and hand those to net/http that are not on
// the fast path, or not any more. To net/http they are the listener.
type lanes struct {
	router  *Router
	addr    net.Addr
	handed  chan *clientConn
	closing sync.Once
	closed  chan struct{} // nothing is handed over any more
	running sync.WaitGroup
	count   atomic.Int64 // of those on the fast path
}

func (r *Router) newLanes(addr net.Addr) *lanes {
	return &lanes{router: r, addr: addr, handed: make(chan *clientConn), closed: make(chan struct{})}
}

// accept serves the listener until it is closed, and returns why it is.
func (l *lanes) accept(ctx context.Context, listener net.Listener) error {
	pause := acceptPauseMin
	for {
		conn, err := listener.Accept()
		if err == nil {
			pause = acceptPauseMin
			l.begin(ctx, conn.(*clientConn))
			continue
		}
		//nolint:staticcheck // what passes is not told in another way
		if passing, ok := errors.AsType[net.Error](err); !ok || !passing.Temporary() {
			return err
		}
		l.router.cfg.Log.WarnContext(ctx, "no connection can be accepted", slog.Any("error", err))
		if !rest(ctx, pause) {
			return err
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

func (l *lanes) begin(ctx context.Context, conn *clientConn) {
	l.router.clients.follow(conn, http.StateNew)
	var made *lane
	if !l.router.cfg.FastPathOff {
		made = l.router.newLane(conn, l.hand)
	}
	if made == nil {
		if !l.hand(conn) {
			_ = conn.Close()
			l.router.clients.follow(conn, http.StateClosed)
		}
		return
	}
	conn.fast.Store(true)
	l.count.Add(1)
	l.running.Add(1)
	go made.begin(ctx, func() {
		l.count.Add(-1)
		l.running.Done()
	})
}

// hand gives a connection to net/http, and reports whether it was taken.
func (l *lanes) hand(conn *clientConn) bool {
	conn.fast.Store(false)
	select {
	case l.handed <- conn:
		return true
	case <-l.closed:
		return false
	}
}

// Accept returns the next connection that is handed over.
func (l *lanes) Accept() (net.Conn, error) {
	select {
	case conn := <-l.handed:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Addr returns the address of the real listener.
func (l *lanes) Addr() net.Addr { return l.addr }

// Close takes no connection any more.
func (l *lanes) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return nil
}

// lookForLeft breaks off requests whose clients have left, until ctx is done. On
// the fast path nobody reads from a client while its request is being served.
func (r *Router) lookForLeft(ctx context.Context) {
	for rest(ctx, lookForLeftEvery) {
		r.clients.dropLeft(time.Now().Add(-lookForLeftEvery))
	}
}
