// Package router is the data plane: it takes clients' requests, finds the service
// by host and path, and spreads them over the service's ready instances, in
// HTTP/1.1 towards the instances and in HTTP/1.1 or HTTP/2 towards the clients.
// Connections to a port with a route of its own are relayed, whatever is spoken.
//
// The law: once a router has confirmed a table and does not call a task busy that
// the table leaves out, or has said goodbye, that task gets no request through it.
// So an instance that leaves may be stopped without a loss.
//
// Run's loop owns which table is applied, what is confirmed and which endpoints
// are leaving. Requests only read the applied table, through one atomic pointer.
// What a client says in Forwarded or X-Forwarded-* is replaced by what is seen.
package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httputil"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/poller"
	"github.com/aloft-run/aloft/router/relay"
)

// flushDelayMax is how long bytes of an answer of known length may wait for more.
// Answers of unknown length and event streams are flushed at once.
const flushDelayMax = 10 * time.Millisecond

// Router is one router. Make it with New and start it with Run.
type Router struct {
	cfg       Config
	master    Master
	metrics   *metrics
	accessLog *accessLog
	proxy     httputil.ReverseProxy // copied for each call

	table     atomic.Pointer[snapshot] // stored by Run
	departed  atomic.Pointer[[]*endpoint]
	calls     atomic.Int64   // requests being served
	clients   clients        // their connections
	ports     ports          // that have a route of their own
	relay     relay.Relay    // of their connections
	sockets   *poller.Loop   // has the sockets of plain requests and of relayed connections
	departing atomic.Bool    // each answer is the last one of its connection
	attended  atomic.Bool    // the masters speak with this router
	replaced  atomic.Bool    // another process takes the connections
	shared    atomic.Bool    // another process may have the sockets, too
	kept      allowance      // for the bodies that calls keep
	vigil     vigil          // over the clients of calls
	senders   sync.WaitGroup // of the endpoints' pools

	sessions chan *session
	arrivals chan arrival
	drained  chan struct{} // holds one: an endpoint that leaves has become idle, or other ports are closed
	told     chan struct{} // closed when a session has brought a table
	asked    chan struct{} // closed when the first session is over
	serving  chan struct{} // closed when connections are accepted
	alarm    chan struct{} // holds one: an endpoint is in doubt
	stopping chan struct{} // closed when requests are held no longer

	restored bool // the first table is that of an earlier run; New alone writes it

	// Owned by Run.
	session *session
	leaving []*endpoint
	keep    chan route.Table // holds only the newest table for the state file
}

// New returns a router that has not started. It reads the state file, so that
// Run serves at once with the table of the last run; a file that cannot be used
// is put aside and logged.
func New(cfg Config, master Master) (*Router, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("router config: %w", err)
	}
	r := &Router{
		cfg:      cfg,
		master:   master,
		kept:     allowance{max: cfg.BodiesKeptMax},
		vigil:    vigil{limit: cfg.ClientTimeout},
		sessions: make(chan *session),
		arrivals: make(chan arrival),
		drained:  make(chan struct{}, 1),
		told:     make(chan struct{}),
		asked:    make(chan struct{}),
		serving:  make(chan struct{}),
		alarm:    make(chan struct{}, 1),
		stopping: make(chan struct{}),
		keep:     make(chan route.Table, 1),
	}
	r.sockets = cfg.newLoop()
	r.relay.Loop = r.sockets
	r.metrics = newMetrics(r)
	r.accessLog = newAccessLog(cfg.AccessLog, r.metrics.unlogged)
	empty, err := route.Compile(route.Table{})
	if err != nil {
		return nil, err
	}
	r.table.Store(&snapshot{matcher: empty})
	r.departed.Store(new([]*endpoint))
	r.proxy = httputil.ReverseProxy{
		Rewrite:       rewrite,
		FlushInterval: flushDelayMax,
		BufferPool:    new(bufferPool),
		ErrorLog:      slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	if err := r.restore(); err != nil {
		return nil, err
	}
	if r.table.Load().version.Less(cfg.Table.Version) {
		if err := r.apply(cfg.Table); err != nil {
			return nil, fmt.Errorf("router table: %w", err)
		}
		r.restored = false
		r.keep <- cfg.Table
	}
	if err := r.metrics.register(cfg.Registerer); err != nil {
		return nil, fmt.Errorf("router metrics: %w", err)
	}
	return r, nil
}

// ErrReplaced is the cause of a context that ends because another process accepts
// the connections on the same socket from now on.
var ErrReplaced = errors.New("another router has taken over")

// errNoTable is for a router that was to wait for one.
var errNoTable = errors.New("no table came from the masters")

// Serving is closed when Run accepts connections.
func (r *Router) Serving() <-chan struct{} { return r.serving }

// Share says that another process has the sockets on which this router listens from now
// on, too: what is set there is set for both.
func (r *Router) Share() { r.shared.Store(true) }

// rewrite makes the request that the instance gets. Host and query are passed on
// as they came; trailers are those that will have come when the body has ended.
func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	p.Out.Trailer = p.In.Trailer
	p.SetXForwarded()
}

// Run serves until ctx is done, and then until the requests in flight have ended
// or the grace has run out; then it says goodbye to the masters. It returns the
// cause of ctx, or the error that kept it from serving. All that it started has
// stopped when it returns, but for a write of the access log that is stuck.
//
// If the cause is ErrReplaced, clients are asked to connect anew, and have time to
// do so. The masters know the other process by another name.
func (r *Router) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var started sync.WaitGroup
	defer r.metrics.unregister(r.cfg.Registerer)
	logged := r.accessLog.begin()
	defer func() {
		if !logged() {
			r.cfg.Log.WarnContext(ctx, "the end of the access log is lost: it takes too long to write")
		}
	}()
	defer started.Wait()
	defer stop()
	served := make(chan error, 1)
	listener, err := r.listen(ctx)
	if err != nil {
		return err
	}
	started.Go(func() { served <- r.serveUntil(ctx, work, listener) })
	started.Go(func() { r.follow(work) })
	started.Go(func() { r.keepTables(work) })
	started.Go(func() { r.tend(work) })
	started.Go(func() { r.lookForLeft(work) })
	err = r.loop(ctx, served)
	r.closeAll()
	r.sayGoodbye(ctx)
	return err
}

// loop owns the table. It goes on while requests end, so that masters learn when
// instances are free.
func (r *Router) loop(ctx context.Context, served <-chan error) error {
	for {
		select {
		case s := <-r.sessions:
			r.session = s
			r.confirm()
		case a := <-r.arrivals:
			r.receive(ctx, a)
		case <-r.drained:
			r.confirm()
		case err := <-served:
			return err
		}
	}
}

// closeAll closes what the endpoints keep open.
func (r *Router) closeAll() {
	for e := range r.table.Load().endpoints() {
		e.pool.Close()
	}
	r.senders.Wait()
	r.vigil.close()
	r.relay.Close()
	r.sockets.Close()
}

// signal leaves word in a box of one, unless there is word already that nobody has
// looked at yet.
func signal(box chan<- struct{}) {
	select {
	case box <- struct{}{}:
	default:
	}
}

// replace puts value in a box of one, in place of a value not yet taken. Only
// the box's single writer may call it.
func replace[T any](box chan T, value T) {
	select {
	case <-box:
	default:
	}
	box <- value
}
