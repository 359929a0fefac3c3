package router

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/aloft-run/aloft/router/relay"
	"github.com/aloft-run/aloft/router/upstream"
)

// connection is a client's connection to a port with a route of its own, on its way
// through the router. One goroutine owns it.
//
// To the law of route.Confirmation it is a request: it is in flight at its instance
// until it has ended.
type connection struct {
	seeker

	client   relay.Conn
	began    time.Time
	endpoint *endpoint // nil until it is connected
	tries    int
	passed   relay.Passed
	reason   Reason // empty: both sides have said all
}

// serveConnection relays a connection from its first to its last byte.
func (r *Router) serveConnection(ctx context.Context, port int, client relay.Conn) {
	c := &connection{client: client, began: time.Now()}
	c.seeker = seeker{router: r, port: port, table: r.table.Load()}
	c.reason = c.relay(ctx)
	c.book()
	r.accessLog.writeConnection(ctx, c)
}

// relay connects the client with an instance. A client that cannot be connected is
// reset: a good end would say that there was nothing to say.
func (c *connection) relay(ctx context.Context) Reason {
	instance, err := c.connect(ctx)
	if err != nil {
		relay.Break(c.client)
		return refusalOf(err, c.serviceName()).reason
	}
	defer c.endpoint.exit()
	if c.passed, err = c.router.relay.Run(ctx, c.client, instance); err != nil {
		return Cut
	}
	return ""
}

// connect finds an instance that accepts the connection. Nothing has been sent
// before one does, so that it may try all.
func (c *connection) connect(ctx context.Context) (relay.Conn, error) {
	if err := c.route(); err != nil {
		return nil, err
	}
	for {
		e, err := c.acquire(ctx, true)
		if err != nil {
			return nil, err
		}
		c.tries++
		began := time.Now()
		conn, err := c.dial(ctx, e)
		if err == nil {
			c.endpoint = e
			e.peers.answered(e)
			return conn, nil
		}
		e.exit()
		if ctx.Err() != nil {
			return nil, &upstream.Error{Reach: upstream.Abandoned, Err: context.Cause(ctx)}
		}
		c.router.fails(ctx, e, failureToConnect(err), began)
		c.tried = append(c.tried, e)
	}
}

func (c *connection) dial(ctx context.Context, e *endpoint) (relay.Conn, error) {
	ctx, done := context.WithTimeout(ctx, c.router.cfg.DialTimeout)
	defer done()
	conn, err := c.router.cfg.Dial(ctx, e.Address)
	if err != nil {
		return nil, err
	}
	dialed, ok := conn.(relay.Conn)
	if !ok {
		return nil, errors.Join(errors.ErrUnsupported, conn.Close())
	}
	return dialed, nil
}

// dialTCP opens a connection to an instance.
func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// book counts the connection, which has ended. One to a port that no service
// has any more is not counted.
func (c *connection) book() {
	var to *relaySeries
	switch {
	case c.endpoint != nil:
		to = c.endpoint.series.relays
	case c.service != nil:
		to = c.service.series.relays
	}
	switch {
	case to == nil:
		return
	case c.endpoint == nil:
		to.refused.Inc()
	case c.reason == "":
		to.whole.Inc()
	default:
		to.cut.Inc()
	}
	to.up.Add(float64(c.passed.Up))
	to.down.Add(float64(c.passed.Down))
}
