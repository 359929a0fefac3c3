package router

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

// acquire returns an endpoint that counts the request, and waits for one if it
// must.
func (c *call) acquire(out *http.Request) (*endpoint, error) {
	defer c.leaveQueue()
	for {
		if table := c.router.table.Load(); table != c.table {
			c.table = table
			if err := c.reroute(); err != nil {
				return nil, err
			}
		}
		if c.isTurn() {
			e := c.service.pick(choice{again: mayRepeat(out), tried: c.tried, waited: c.ticket != nil})
			if e != nil && e.enter() {
				return e, nil
			}
			if e != nil {
				continue // it has left with the table, and there is a newer one
			}
			c.recall()
		}
		if err := c.wait(out.Context()); err != nil {
			return nil, err
		}
	}
}

// recall has the others wait that wait already: there is no instance after all.
func (c *call) recall() {
	if c.ticket == nil {
		return
	}
	c.ticket.queue.recall()
	if c.service.reachable() {
		c.ticket.queue.release() // one came back in that moment
	}
}

// isTurn reports whether the request may choose an instance: nobody waits before
// it.
func (c *call) isTurn() bool {
	if c.ticket == nil {
		return c.service.queue.len() == 0
	}
	return c.ticket.queue.mayGo(c.ticket)
}

// reroute asks the newer table, which may send the request elsewhere.
func (c *call) reroute() error {
	before := c.ticket
	err := c.route()
	if before != nil && (err != nil || c.service.queue != before.queue) {
		c.leaveQueue()
	}
	return err
}

// wait holds the request until something has changed for it. It returns an error
// when the request is to be held no longer.
func (c *call) wait(ctx context.Context) error {
	now := time.Now()
	if c.heldSince.IsZero() {
		c.heldSince = now
	}
	left := c.service.hold - now.Sub(c.heldSince)
	if left <= 0 {
		return c.heldTooLong()
	}
	if c.ticket == nil {
		if c.ticket = c.service.queue.join(c.service.queueMax); c.ticket == nil {
			return &refusal{QueueFull, fmt.Sprintf("%d requests wait for service %s already", c.service.queueMax, c.service.name)}
		}
		c.tried = nil
		if c.router.table.Load() != c.table || c.service.reachable() && c.service.queue.len() == 1 {
			c.leaveQueue() // what lets the queue go may have come before the ticket
			return nil
		}
	}
	return c.sleep(ctx, left)
}

// sleep waits for the ticket or the end of the hold.
func (c *call) sleep(ctx context.Context, left time.Duration) error {
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-c.ticket.wake: // acquire sees what has changed
	case <-timer.C: // and that it is held no longer
	case <-ctx.Done():
		return &upstream.Error{Reach: upstream.Abandoned, Err: context.Cause(ctx)}
	case <-c.router.stopping:
		return &refusal{Stopping, "the router is about to stop"}
	}
	return nil
}

// leaveQueue gives up the place in the queue, if there is one.
func (c *call) leaveQueue() {
	if c.ticket != nil {
		c.ticket.queue.leave(c.ticket)
		c.ticket = nil
		c.held = time.Since(c.heldSince)
	}
}

func (c *call) heldTooLong() error {
	if len(c.service.endpoints) > 0 {
		return &refusal{Refused, fmt.Sprintf("no instance of service %s accepts connections", c.service.name)}
	}
	return &refusal{NoInstance, fmt.Sprintf("service %s has no ready instance", c.service.name)}
}
