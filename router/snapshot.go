package router

import (
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router/upstream"
)

// snapshot is one applied table, made ready for requests. It never changes, but
// shares its endpoints and queues with the snapshots before and after it.
type snapshot struct {
	version  route.Version
	source   route.Table
	matcher  *route.Matcher
	services []*service
}

// find returns the service that a request belongs to, or nil.
func (s *snapshot) find(host, path string) *service {
	if i, ok := s.matcher.Match(host, path); ok {
		return s.services[i]
	}
	return nil
}

// findPort returns the service that a connection belongs to, or nil.
func (s *snapshot) findPort(port int) *service {
	if i, ok := s.matcher.MatchPort(port); ok {
		return s.services[i]
	}
	return nil
}

// endpoints returns every endpoint of the snapshot.
func (s *snapshot) endpoints() map[*endpoint]bool {
	all := make(map[*endpoint]bool)
	for _, service := range s.services {
		for _, e := range service.endpoints {
			all[e] = true
		}
	}
	return all
}

// build makes the snapshot of a table. What the last snapshot knows of the same
// services and endpoints lives on in it.
func (r *Router) build(table route.Table, matcher *route.Matcher, last *snapshot) *snapshot {
	services := make(map[id.Service]*peers, len(last.services))
	known := make(map[endpointKey]*endpoint)
	for _, service := range last.services {
		services[service.name] = service.peers
		for _, e := range service.endpoints {
			known[keyOf(service.name, e.Endpoint)] = e
		}
	}
	next := &snapshot{version: table.Version, source: table, matcher: matcher, services: make([]*service, 0, len(table.Services))}
	for _, from := range table.Services {
		s := &service{name: from.Name, hold: from.Hold, queueMax: from.QueueMax, peers: services[from.Name]}
		orDefault(&s.hold, r.cfg.HoldDefault)
		orDefault(&s.queueMax, r.cfg.QueueMax)
		if s.peers == nil {
			s.peers = new(peers)
		}
		s.queue = &s.peers.queue
		s.relayed = slices.ContainsFunc(from.Rules, route.Rule.IsTCP)
		s.series = r.metrics.seriesOf(s, 0)
		for _, from := range from.Endpoints {
			e := known[keyOf(s.name, from)]
			if e == nil {
				e = r.newEndpoint(s, from)
			}
			e.takeSuspicion(from.Suspect)
			r.metrics.seriesOf(s, e.Revision) // which the service may have a port for since now
			s.endpoints = append(s.endpoints, e)
		}
		s.peers.set(s.endpoints)
		next.services = append(next.services, s)
	}
	return next
}

// endpointKey says when two tables mean the same endpoint: one task of one
// service at one address.
type endpointKey struct {
	service  id.Service
	task     id.Task
	revision id.Revision
	address  string
}

func keyOf(service id.Service, e route.Endpoint) endpointKey {
	return endpointKey{service, e.Task, e.Revision, e.Address}
}

// reach returns the way to the instance at an address.
func (r *Router) reach(address string) Upstream {
	if r.cfg.Reach != nil {
		return r.cfg.Reach(address)
	}
	return upstream.New(upstream.Config{
		Address:        address,
		DialTimeout:    r.cfg.DialTimeout,
		AnswerTimeout:  r.cfg.AnswerTimeout,
		MachineTimeout: r.cfg.MachineTimeout,
		Senders:        &r.senders,
		Loop:           r.sockets,
	})
}
