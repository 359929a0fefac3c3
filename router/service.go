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
	queue     *queue // shared by all tables
	endpoints []*endpoint
	series    *series // of requests that reached no instance
}

// pick returns the endpoint for a request, or nil if the request should wait. Of
// two that are chosen at random it takes the one with fewer requests in flight.
// Endpoints that refuse connections or that the request has tried are passed over
// while there are others; but a request that has tried none is never told to wait
// because all are avoided.
func (s *service) pick(now time.Time, tried []*endpoint) *endpoint {
	n := len(s.endpoints)
	if n == 0 {
		return nil
	}
	first := rand.IntN(n)
	a, b := s.endpoints[first], s.endpoints[first]
	if n > 1 {
		b = s.endpoints[(first+1+rand.IntN(n-1))%n]
	}
	good := func(e *endpoint) bool { return !e.avoided(now) && !slices.Contains(tried, e) }
	if good(a) && good(b) {
		return lessBusy(a, b)
	}
	if e := s.leastBusy(first, good); e != nil {
		return e
	}
	if e := s.leastBusy(first, func(e *endpoint) bool { return !e.avoided(now) }); e != nil || len(tried) > 0 {
		return e
	}
	return lessBusy(a, b)
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

// nextProbe returns the endpoint that is to be tried next and how long to wait
// before, or nil if there is none.
func (s *service) nextProbe(now time.Time) (*endpoint, time.Duration) {
	var next *endpoint
	for _, e := range s.endpoints {
		if next == nil || e.retryAt.Load() < next.retryAt.Load() {
			next = e
		}
	}
	if next == nil {
		return nil, 0
	}
	return next, time.Unix(0, next.retryAt.Load()).Sub(now)
}

// reachable reports whether an endpoint is not avoided.
func (s *service) reachable(now time.Time) bool {
	return slices.ContainsFunc(s.endpoints, func(e *endpoint) bool { return !e.avoided(now) })
}
