package router

import (
	"context"
	"fmt"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/router/upstream"
)

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
		if c.router.table.Load() != c.table {
			c.leaveQueue() // the newer table's release may have come before the ticket
			return nil
		}
	}
	return c.sleep(ctx, now, left)
}

// sleep waits for the ticket, the end of the hold or, as the first in the queue,
// for the time to try an instance that refused before.
func (c *call) sleep(ctx context.Context, now time.Time, left time.Duration) error {
	var probed *endpoint
	pause := left
	if first, _ := c.ticket.queue.isFirst(c.ticket); first {
		if next, after := c.service.nextProbe(now); next != nil && after < left {
			probed, pause = next, after
		}
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-c.ticket.wake: // acquire sees what has changed
	case <-timer.C:
		if probed != nil && (!probed.hasRefused() || probed.probe(ctx)) {
			c.ticket.queue.release()
		}
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

func (c *call) serviceName() id.Service {
	if c.service == nil {
		return ""
	}
	return c.service.name
}
