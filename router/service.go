package router

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// service is one service of one table.
type service struct {
	name      id.Service
	hold      time.Duration
	queueMax  int
	peers     *peers // shared by all tables
	queue     *queue // of peers
	endpoints []*endpoint
	series    *series // of requests that reached no instance
	relayed   bool    // it has a port of its own
}

// pick returns the endpoint for a request, or nil if the request should wait. Of
// two that are chosen at random it takes the one with fewer requests in flight.
// Endpoints that are ejected or that the request has tried are passed over while
// there are others. When all are ejected, a request that has neither tried nor
// waited takes any.
func (s *service) pick(want choice) *endpoint {
	n := len(s.endpoints)
	if n == 0 {
		return nil
	}
	first := rand.IntN(n)
	a, b := s.endpoints[first], s.endpoints[first]
	if n > 1 {
		b = s.endpoints[(first+1+rand.IntN(n-1))%n]
	}
	good := func(e *endpoint) bool { return e.isGood(want.again) && !slices.Contains(want.tried, e) }
	if good(a) && good(b) {
		return lessBusy(a, b)
	}
	if e := s.leastBusy(first, good); e != nil {
		return e
	}
	if e := s.leastBusy(first, func(e *endpoint) bool { return !e.isOut() }); e != nil || want.waited || len(want.tried) > 0 {
		return e
	}
	return lessBusy(a, b)
}

// choice is what counts for the choice of an endpoint.
type choice struct {
	again  bool        // the request may be sent again
	tried  []*endpoint // the ones that failed it
	waited bool        // it waits already
}

// leastBusy looks at all endpoints, from first on so that equals share the load.
func (s *service) leastBusy(first int, good func(*endpoint) bool) *endpoint {
	var best *endpoint
	for i := range s.endpoints {
		e := s.endpoints[(first+i)%len(s.endpoints)]
		if good(e) && (best == nil || e.inFlight.Load() < best.inFlight.Load()) {
			best = e
		}
	}
	return best
}

func lessBusy(a, b *endpoint) *endpoint {
	if b.inFlight.Load() < a.inFlight.Load() {
		return b
	}
	return a
}

// reachable reports whether an endpoint is not ejected.
func (s *service) reachable() bool {
	return slices.ContainsFunc(s.endpoints, func(e *endpoint) bool { return !e.isOut() })
}
