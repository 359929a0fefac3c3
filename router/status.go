package router

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

// Status is what a router knows of itself at one moment.
type Status struct {
	Router   id.Router
	Version  route.Version // the table applied
	Services []ServiceStatus
	Leaving  []EndpointStatus // no longer in the table, with requests in flight
}

// ServiceStatus is the state of one service, in the order of the table.
type ServiceStatus struct {
	Name      id.Service
	Held      int // requests that wait for an instance
	Endpoints []EndpointStatus
}

// EndpointStatus is the state of one instance.
type EndpointStatus struct {
	route.Endpoint
	InFlight int  // requests now
	Idle     int  // connections kept for the next request
	Ejected  bool // requests pass it over while there are others
}

// Status may be called at any time, from any goroutine.
func (r *Router) Status() Status {
	table := r.table.Load()
	status := Status{Router: r.cfg.ID, Version: table.version}
	for _, s := range table.services {
		seen := ServiceStatus{Name: s.name, Held: s.queue.len()}
		for _, e := range s.endpoints {
			seen.Endpoints = append(seen.Endpoints, e.status())
		}
		status.Services = append(status.Services, seen)
	}
	for _, e := range *r.departed.Load() {
		status.Leaving = append(status.Leaving, e.status())
	}
	return status
}

func (e *endpoint) status() EndpointStatus {
	at := e.Endpoint
	at.Suspect = e.suspect.Load()
	return EndpointStatus{Endpoint: at, InFlight: int(e.inFlight.Load()), Idle: e.pool.Sweep(time.Now()).Idle, Ejected: e.isOut()}
}

// Table returns the table that is applied, which must not be changed, and whether
// the masters speak with this router now.
func (r *Router) Table() (table route.Table, attended bool) {
	return r.table.Load().source, r.attended.Load()
}
