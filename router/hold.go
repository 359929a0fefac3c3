package router

import (
	"context"
	"fmt"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/router/upstream"
)

// seeker looks for an instance that serves a request, and holds the request while
// there is none. One goroutine owns it.
type seeker struct {
	router *Router
	host   string // that the request is for
	path   string
	port   int // that a connection came to; zero for a request
	table  *snapshot

	service   *service
	tried     []*endpoint // the ones that failed it since it was last held
	ticket    *ticket
	heldSince time.Time // zero: it was never held
	held      time.Duration
}

// route finds the service in the table.
func (s *seeker) route() error {
	if s.port != 0 {
		if s.service = s.table.findPort(s.port); s.service == nil {
			return &refusal{NoRoute, fmt.Sprintf("no service is routed at port %d", s.port)}
		}
		return nil
	}
	found := s.table.find(s.host, s.path)
	if found == nil {
		return &refusal{NoRoute, fmt.Sprintf("no service is routed at %.100q", s.host+s.path)}
	}
	s.service = found
	return nil
}

// serviceName returns the name of the service, or nothing before it was found.
func (s *seeker) serviceName() id.Service {
	if s.service == nil {
		return ""
	}
	return s.service.name
}

// acquire returns an endpoint that counts the request, and waits for one if it
// must. Again says that the request may be sent a second time.
func (s *seeker) acquire(ctx context.Context, again bool) (*endpoint, error) {
	defer s.leaveQueue()
	for {
		if table := s.router.table.Load(); table != s.table {
			s.table = table
			if err := s.reroute(); err != nil {
				return nil, err
			}
		}
		if s.isTurn() {
			e := s.service.pick(choice{again: again, tried: s.tried, waited: s.ticket != nil})
			if e != nil && e.enter() {
				return e, nil
			}
			if e != nil {
				continue // it has left with the table, and there is a newer one
			}
			s.recall()
		}
		if err := s.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// recall has the others wait that wait already: there is no instance after all.
func (s *seeker) recall() {
	if s.ticket == nil {
		return
	}
	s.ticket.queue.recall()
	if s.service.reachable() {
		s.ticket.queue.release() // one came back in that moment
	}
}

// isTurn reports whether the request may choose an instance: nobody waits before
// it.
func (s *seeker) isTurn() bool {
	if s.ticket == nil {
		return s.service.queue.len() == 0
	}
	return s.ticket.queue.mayGo(s.ticket)
}

// reroute asks the newer table, which may send the request elsewhere.
func (s *seeker) reroute() error {
	before := s.ticket
	err := s.route()
	if before != nil && (err != nil || s.service.queue != before.queue) {
		s.leaveQueue()
	}
	return err
}

// wait holds the request until something has changed for it. It returns an error
// when the request is to be held no longer.
func (s *seeker) wait(ctx context.Context) error {
	now := time.Now()
	if s.heldSince.IsZero() {
		s.heldSince = now
	}
	left := s.service.hold - now.Sub(s.heldSince)
	if left <= 0 {
		return s.heldTooLong()
	}
	if s.ticket == nil {
		if s.ticket = s.service.queue.join(s.service.queueMax); s.ticket == nil {
			return &refusal{QueueFull, fmt.Sprintf("%d requests wait for service %s already", s.service.queueMax, s.service.name)}
		}
		s.tried = nil
		if s.router.table.Load() != s.table || s.service.reachable() && s.service.queue.len() == 1 {
			s.leaveQueue() // what lets the queue go may have come before the ticket
			return nil
		}
	}
	return s.sleep(ctx, left)
}

// sleep waits for the ticket or the end of the hold.
func (s *seeker) sleep(ctx context.Context, left time.Duration) error {
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-s.ticket.wake: // acquire sees what has changed
	case <-timer.C: // and that it is held no longer
	case <-ctx.Done():
		return &upstream.Error{Reach: upstream.Abandoned, Err: context.Cause(ctx)}
	case <-s.router.stopping:
		return stopping()
	}
	return nil
}

// leaveQueue gives up the place in the queue, if there is one.
func (s *seeker) leaveQueue() {
	if s.ticket != nil {
		s.ticket.queue.leave(s.ticket)
		s.ticket = nil
		s.held = time.Since(s.heldSince)
	}
}

func (s *seeker) heldTooLong() error {
	if len(s.service.endpoints) > 0 {
		return &refusal{Refused, fmt.Sprintf("no instance of service %s accepts connections", s.service.name)}
	}
	return &refusal{NoInstance, fmt.Sprintf("service %s has no ready instance", s.service.name)}
}
