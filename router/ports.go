package router

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/router/relay"
)

const (
	// reopenEvery is how often a port is tried again on which the router could not
	// listen.
	reopenEvery = time.Second
	// breather is the pause after a connection that could not be accepted: there may
	// be no descriptor left.
	breather = 5 * time.Millisecond
)

// ports are those with a route of their own. The router listens on each as long as
// its table has the route.
type ports struct {
	running   sync.WaitGroup // of what accept starts, and of the connections
	accepting atomic.Int64   // listeners that are not closed

	mu      sync.Mutex
	open    map[int]*clientListener
	closed  []int                                    // of the table, but the router cannot listen on them; in order
	accept  func(port int, listener *clientListener) // nil before Run serves, and when it is to end
	triedAt time.Time
}

// openPorts listens on the ports that the table has and no others. It reports
// whether those on which it cannot are others than before.
func (r *Router) openPorts(ctx context.Context) (changed bool) {
	p := &r.ports
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.accept == nil {
		return false
	}
	p.triedAt = time.Now()
	wanted := r.table.Load().matcher.Ports()
	for port, listener := range p.open {
		if !slices.Contains(wanted, port) {
			_ = listener.Close()
			delete(p.open, port)
		}
	}
	var closed []int
	for _, port := range wanted {
		if p.open[port] != nil {
			continue
		}
		listener, err := r.cfg.ListenPort(ctx, port)
		if err != nil {
			closed = append(closed, port)
			if !slices.Contains(p.closed, port) {
				r.cfg.Log.ErrorContext(ctx, "cannot listen on the port of a route; trying again", slog.Int("port", port), slog.Any("error", err))
			}
			continue
		}
		if p.open == nil {
			p.open = make(map[int]*clientListener)
		}
		accepted := &clientListener{Listener: listener}
		p.open[port] = accepted
		p.accept(port, accepted)
	}
	changed = !slices.Equal(p.closed, closed)
	p.closed = closed
	return changed
}

// reopenPorts tries again to listen where it was not possible.
func (r *Router) reopenPorts(ctx context.Context, now time.Time) {
	r.ports.mu.Lock()
	due := len(r.ports.closed) > 0 && now.Sub(r.ports.triedAt) >= reopenEvery
	r.ports.mu.Unlock()
	if due && r.openPorts(ctx) {
		signal(r.drained) // the loop tells the masters
	}
}

// servePorts begins to take connections. They live in the context work.
func (r *Router) servePorts(work context.Context) {
	p := &r.ports
	p.mu.Lock()
	p.accept = func(port int, listener *clientListener) {
		p.accepting.Add(1)
		p.running.Go(func() {
			defer p.accepting.Add(-1)
			r.acceptOn(work, port, listener)
		})
	}
	p.mu.Unlock()
	if r.openPorts(work) {
		signal(r.drained) // the loop tells the masters
	}
}

// leavePorts takes no new connections but those that the kernel has taken already.
// A router that is replaced leaves these to its successor.
func (r *Router) leavePorts() {
	p := &r.ports
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accept = nil
	for _, listener := range p.open {
		if r.replaced.Load() {
			_ = listener.Close()
		} else {
			listener.finish(!r.shared.Load())
		}
	}
}

// closedPorts returns the ports of the table on which the router cannot listen.
func (r *Router) closedPorts() []int {
	r.ports.mu.Lock()
	defer r.ports.mu.Unlock()
	return r.ports.closed
}

// OpenPorts returns the sockets on which the router listens for the routes that
// have a port of their own, by port, for a router that is to replace it.
func (r *Router) OpenPorts() map[int]syscall.Conn {
	r.ports.mu.Lock()
	defer r.ports.mu.Unlock()
	sockets := make(map[int]syscall.Conn, len(r.ports.open))
	for port, listener := range r.ports.open {
		if socket, ok := listener.Listener.(syscall.Conn); ok {
			sockets[port] = socket
		}
	}
	return sockets
}

// acceptOn takes the connections to one port until its listener is closed.
func (r *Router) acceptOn(ctx context.Context, port int, listener *clientListener) {
	for {
		conn, err := listener.next()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			r.cfg.Log.WarnContext(ctx, "connection not accepted", slog.Int("port", port), slog.Any("error", err))
			rest(ctx, breather)
			continue
		}
		client, ok := conn.(relay.Conn)
		if !ok {
			_ = conn.Close()
			continue
		}
		r.calls.Add(1)
		r.ports.running.Go(func() {
			defer r.calls.Add(-1)
			r.serveConnection(ctx, port, client)
		})
	}
}

// listenOn listens on a port of the host of the address for requests.
func (c Config) listenOn(ctx context.Context, port int) (net.Listener, error) {
	address, err := PortAddress(c.Listen, port)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	return config.Listen(ctx, "tcp", address)
}

// PortAddress is where a router with that address for requests listens on another
// port.
func PortAddress(requests string, port int) (string, error) {
	host, _, err := net.SplitHostPort(requests)
	return net.JoinHostPort(host, strconv.Itoa(port)), err
}
