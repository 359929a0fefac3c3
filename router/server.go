package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

const (
	// lookEvery is how often a router that stops looks whether all calls ended.
	lookEvery = 5 * time.Millisecond
	// lingerMax is how long clients may still send on connections that were open
	// when the router was told to stop.
	lingerMax = time.Second
	// seeOffMax is the same for a router that is replaced: its clients lose nothing by
	// taking their time.
	seeOffMax = 10 * time.Second
	// farewell is how long requests that are held, or have no answer, have for the
	// router's own when the grace has run out.
	farewell = time.Second
)

func (r *Router) listen(ctx context.Context) (net.Listener, error) {
	if r.cfg.Listener != nil {
		return r.cfg.Listener, nil
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", r.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("router listener: %w", err)
	}
	return listener, nil
}

// serveUntil serves until ctx is done and the requests in flight have ended or
// the grace has run out. Requests live in the context work, and no longer than
// the call.
func (r *Router) serveUntil(ctx, work context.Context, listener net.Listener) error {
	work, cut := context.WithCancel(work)
	defer cut()
	if err := r.awaitTable(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	server := r.newServer(work)
	accepting := &clientListener{
		Listener: listener, limit: r.cfg.ClientTimeout, header: r.cfg.HeaderTimeout, idle: r.cfg.IdleTimeout, stalled: r.metrics.slowAnswers.Inc,
	}
	lanes := r.newLanes(listener.Addr())
	broken, ended, served := error(nil), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		broken = lanes.accept(work, accepting) // until the listener is closed
	}()
	go func() {
		defer close(served)
		_ = server.Serve(lanes) // until it is told to end
	}()
	r.servePorts(work)
	close(r.serving)
	var err error
	select {
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-ended:
		err = fmt.Errorf("router listener: %w", broken)
	}
	grace, done := context.WithTimeout(work, r.cfg.ShutdownGrace)
	defer done()
	r.replaced.Store(errors.Is(err, ErrReplaced))
	r.linger(grace, accepting, ended)
	r.drain(grace, server, lanes)
	close(r.stopping)
	r.sayLastWords(work)
	cut()
	r.clients.cut()
	if closeErr := server.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
		r.cfg.Log.DebugContext(ctx, "closing the listener", slog.Any("error", closeErr))
	}
	r.awaitCalls(context.WithoutCancel(work), 0)
	r.ports.running.Wait()
	_ = lanes.Close()
	lanes.running.Wait()
	<-ended
	<-served
	return err
}

// awaitTable returns when the masters know this router, if that was asked for. One
// that begins with a kept table gives them a while: nobody waits for a router that
// was stopped, or gone for long, so what the table names may have been stopped since,
// and another may have its port. Clients that connect meanwhile wait.
func (r *Router) awaitTable(ctx context.Context) error {
	switch {
	case r.cfg.TableWait > 0:
		return r.waitTold(ctx, r.cfg.TableWait, nil)
	case r.restored:
		_ = r.waitTold(ctx, r.cfg.KeptWait, r.asked) // without a newer one it is served
	}
	return nil
}

// waitTold waits for a table of the masters, no longer than limit and, unless it is
// nil, until enough is closed.
func (r *Router) waitTold(ctx context.Context, limit time.Duration, enough <-chan struct{}) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-r.told:
		return nil
	case <-enough:
		return errNoTable
	case <-late.C:
		return fmt.Errorf("%w within %v", errNoTable, limit)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *Router) newServer(work context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           http.HandlerFunc(r.serve),
		Protocols:         protocols,
		ReadHeaderTimeout: r.cfg.HeaderTimeout,
		IdleTimeout:       r.cfg.IdleTimeout,
		MaxHeaderBytes:    r.cfg.HeaderBytesMax,
		BaseContext:       func(net.Listener) context.Context { return work },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
		ConnState: r.clients.follow,
		ErrorLog:  slog.NewLogLogger(r.cfg.Log.Handler(), slog.LevelDebug),
	}
}

// linger takes no new connections but those that the kernel has taken already, and
// has all that are open closed by their next answer: a client whose request was on
// its way when its connection was closed may not send it again if it is not
// idempotent. Those that say nothing are as good as gone after a while.
//
// A router that is replaced leaves what the kernel has taken to its successor.
func (r *Router) linger(ctx context.Context, listener *clientListener, ended <-chan struct{}) {
	r.departing.Store(true)
	r.leavePorts()
	if isClosed(ended) {
		return // the listener is what broke
	}
	most := lingerMax
	if r.replaced.Load() {
		most = seeOffMax
		_ = listener.Close() // the socket lives on
	} else {
		alone := !r.shared.Load()
		listener.finish(alone)
		if alone { // no more may connect, so it comes to an end
			await(ctx, r.cfg.ShutdownGrace/2, func() bool { return isClosed(ended) })
		}
	}
	await(ctx, min(most, r.cfg.ShutdownGrace/2), func() bool {
		return isClosed(ended) && r.clients.count() == 0 && r.ports.accepting.Load() == 0
	})
	_ = listener.Close() // if clients connect faster than they can be accepted
	<-ended
}

// isClosed reports whether nothing is to be waited for any more.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// drain waits for the requests in flight, and for upgraded connections, which the
// server does not count. Once it shuts down the server drops what it reads of
// HTTP/1, and takes nothing from the fast path, so that comes when no request can be
// between the kernel and serve any more.
func (r *Router) drain(grace context.Context, server *http.Server, lanes *lanes) {
	settled := false
	await(grace, 0, func() bool {
		before := settled              // and what was just read then is being served now
		fast := lanes.count.Load() > 0 // first: what these hand over is seen as unsettled
		settled = r.clients.dismiss() && !fast
		return before && settled
	})
	if err := server.Shutdown(grace); err == nil || errors.Is(err, net.ErrClosed) { // the listener is closed already
		r.awaitCalls(grace, 0)
	}
}

// sayLastWords has all calls that no byte of an answer was found for answered by the
// router itself.
func (r *Router) sayLastWords(ctx context.Context) {
	await(ctx, farewell, func() bool {
		for e := range r.known() {
			if e.inFlight.Load() > 0 { // some may only have come there now
				e.pool.Drop(upstream.All)
			}
		}
		return r.calls.Load() == 0
	})
}

// awaitCalls returns when no request is being served, when ctx is done or, unless
// it is zero, when limit has passed.
func (r *Router) awaitCalls(ctx context.Context, limit time.Duration) {
	await(ctx, limit, func() bool { return r.calls.Load() == 0 })
}

// await is awaitCalls for what over looks at.
func await(ctx context.Context, limit time.Duration, over func() bool) {
	if limit > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, limit)
		defer done()
	}
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !over() && ctx.Err() == nil {
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
}
