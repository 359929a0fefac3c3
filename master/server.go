package master

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/keepalive"
)

// StandbyHeader is set in an answer which says that nobody leads, as far as this
// master knows. Nothing of the call was done: it may be made to another master.
const StandbyHeader = "Aloft-Standby"

// Bounds of what a client may ask of the server.
const (
	messageBytesMax = 8 << 20
	sessionBytesMax = 64 << 20 // all that a large agent runs, with the last words of each
	headerBytesMax  = 64 << 10
	compressFrom    = 16 << 10 // below that, the time and memory it takes are worth more
	headerWithin    = 5 * time.Second
	requestWithin   = 30 * time.Second // to send one
	answerWithin    = 30 * time.Second // to read one, or one message of a stream
	idleMax         = 2 * time.Minute
	pingAfter       = 2 * time.Second        // to a client that says nothing
	pingWithin      = 15 * time.Second       // to answer that; agents and routers are missed sooner, by their sessions
	readFrameMax    = 16 << 10               // a client sets so much aside for each stream that it writes
	endWithin       = time.Second            // for calls at work when the server ends
	lingerFor       = 100 * time.Millisecond // then, for calls that are on their way
	flushWithin     = 50 * time.Millisecond  // for the last answers
)

// Handler returns the API and the sessions, with rest for every other path. It
// is for Serve, or a server like it.
func (m *Master) Handler(rest http.Handler) http.Handler {
	all := connect.WithHandlerOptions(connect.WithRecover(m.recovered), connect.WithCompressMinBytes(compressFrom), withStrictJSON(), withBinary())
	sessions := connect.WithReadMaxBytes(sessionBytesMax)
	mux := http.NewServeMux()
	path, cluster := newClusterHandler(m, all, connect.WithReadMaxBytes(messageBytesMax), connect.WithInterceptors(settled(), m.led()))
	mux.Handle(path, bounded(m.forwarding(cluster)))
	path, agents := aloftv1connect.NewAgentServiceHandler(agentService{m}, all, sessions)
	mux.Handle(path, bounded(m.leading(agents)))
	path, routers := aloftv1connect.NewRouterServiceHandler(routerService{m}, all, sessions)
	mux.Handle(path, bounded(m.leading(routers)))
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		l, req, done := withLine(w, req)
		defer done()
		l.sayAnytime() // a call before on the same connection may have bounded it
		rest.ServeHTTP(w, req)
	})
	return mux
}

// newClusterHandler returns the API. Two of its calls are apart, as what they answer
// is no message: its bytes are there already.
func newClusterHandler(m *Master, options ...connect.HandlerOption) (path string, handler http.Handler) {
	s, mux := &clusterService{master: m}, http.NewServeMux()
	path, most := aloftv1connect.NewClusterServiceHandler(s, options...)
	mux.Handle(path, most)
	mux.Handle(aloftv1connect.ClusterServiceListTasksProcedure,
		connect.NewUnaryHandler(aloftv1connect.ClusterServiceListTasksProcedure, s.listTasks, options...))
	plain := append(slices.Clip(options), connect.WithCompressMinBytes(math.MaxInt)) // else each watcher's messages would be compressed by themselves
	mux.Handle(aloftv1connect.ClusterServiceWatchProcedure,
		connect.NewServerStreamHandler(aloftv1connect.ClusterServiceWatchProcedure, s.watch, plain...))
	return path, mux
}

// bounded gives a client only so long to send its request and to read the answer,
// unless its handler says otherwise.
func bounded(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		l, req, done := withLine(w, req)
		defer done()
		l.hearWithin(requestWithin)
		l.sayWithin(requestWithin + answerWithin)
		handler.ServeHTTP(w, req)
	})
}

// leading lets sessions pass while this master leads. Agents and routers look for
// the leader by themselves: a session through a standby would end with it. While
// nobody leads, they wait here a moment: else all of a large cluster would ask all
// masters again and again, which then have the least time for them.
func (m *Master) leading(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if err := m.awaitLead(req.Context()); err != nil {
			refuseCall(w, req, err)
			return
		}
		l := lineOf(req.Context())
		l.ears = &ears{ReadCloser: req.Body}
		req = req.WithContext(onLine(req.Context(), l))
		// A message is read in two parts, of which each would be awaited from the connection.
		req.Body = buffered{bufio.NewReaderSize(l.ears, bodyBufferBytes), req.Body}
		handler.ServeHTTP(w, req)
	})
}

// bodyBufferBytes is for the messages of a session, which are small but for the first.
const bodyBufferBytes = 256

// buffered is a body that is read ahead.
type buffered struct {
	*bufio.Reader
	io.Closer
}

// How long a session waits with a standby, in times of what is taken for silence:
// while nobody leads, and while this master is about to. Clients are patient with
// the first word of a master.
const (
	leaderlessPart = 3 // a third
	loadingTimes   = 8
)

// awaitLead waits until this master leads, or another one, or for as long as a
// client should wait for that.
func (m *Master) awaitLead(ctx context.Context) error {
	began := time.Now()
	for {
		now, changed := m.sight.get()
		if _, err := m.current(); err == nil || m.isAway(now) && !m.sight.leaves() {
			return err
		}
		within := m.cfg.SilentAfter / leaderlessPart
		if now.epoch != 0 && now.id == m.cfg.ID {
			within = m.cfg.SilentAfter * loadingTimes
		}
		timer := time.NewTimer(within - time.Since(began))
		select {
		case <-changed:
			timer.Stop()
			continue
		case <-timer.C:
		case <-m.closing:
		case <-ctx.Done():
		}
		timer.Stop()
		return ErrNoLeader
	}
}

// settled bounds the answer from when the request has come: it is then no longer
// the client that is waited for.
func settled() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			lineOf(ctx).hearAnytime()
			answer, err := next(ctx, req)
			lineOf(ctx).sayWithin(answerWithin)
			return answer, err
		}
	}
}

// recovered is the answer to a call that made its handler panic.
func (m *Master) recovered(ctx context.Context, call connect.Spec, _ http.Header, p any) error {
	m.cfg.Log.ErrorContext(ctx, "bug: a call made the master panic", slog.String("call", call.Procedure),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	return connect.NewError(connect.CodeInternal, fmt.Errorf("internal error: %v", p))
}

// Serve answers on listener until ctx is done: HTTP/1.1 and HTTP/2 without TLS.
// Calls that are at work then get a moment to end, and new ones are refused, with
// the end of their connections: of a call that comes to a closed one, nobody knows
// whether it was done. No handler runs any more when it returns. What goes wrong on
// one connection is a detail in the log: its client tells of it.
func Serve(ctx context.Context, log *slog.Logger, listener net.Listener, handler http.Handler) error {
	base, hangUp := context.WithCancelCause(context.WithoutCancel(ctx))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	calls := &calls{handler: handler}
	server := &http.Server{
		Handler:           calls,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: answerWithin, MaxReadFrameSize: readFrameMax},
		ReadHeaderTimeout: headerWithin,
		IdleTimeout:       idleMax,
		MaxHeaderBytes:    headerBytesMax,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       onConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	var closing sync.WaitGroup
	watch := keepalive.NewWatch(keepalive.Pace{AskAfter: pingAfter, AnswerWithin: pingWithin})
	closing.Go(func() { watch.Run(base) })
	closing.Go(func() {
		select {
		case <-ctx.Done():
			calls.endWithin(endWithin)
			wait(base, lingerFor)
			brief, cancel := context.WithTimeout(base, flushWithin)
			defer cancel()
			_ = server.Shutdown(brief) // for answers that are on their way
		case <-base.Done(): // the listener broke
		}
		hangUp(context.Cause(ctx))
		_ = server.Close()
	})
	err := server.Serve(conns{listener, watch})
	if !errors.Is(err, http.ErrServerClosed) {
		hangUp(err)
	}
	closing.Wait()
	calls.endWithin(math.MaxInt64)
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return context.Cause(ctx)
}

// calls counts the calls that a handler is at work on.
type calls struct {
	handler http.Handler

	mu      sync.Mutex // guards closed, and working from growing once it is set
	closed  bool
	working sync.WaitGroup
}

// ServeHTTP serves a call, unless the server is closed.
func (c *calls) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	makeRoom()
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.working.Add(1)
	}
	c.mu.Unlock()
	if closed {
		w.Header().Set("Connection", "close")
		refuseCall(w, req, ErrNoLeader)
		return
	}
	defer c.working.Done()
	c.handler.ServeHTTP(w, req)
}

// endWithin lets no call begin, and waits until all have ended, or for so long.
func (c *calls) endWithin(d time.Duration) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	ended := make(chan struct{})
	go func() { // ends with the last call
		defer close(ended)
		c.working.Wait()
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}
