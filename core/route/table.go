// Package route compiles a routing table and finds the service that a request
// belongs to.
//
// The most particular rule wins: an exact host before a wildcard, the longer
// wildcard before the shorter, any host last; and among the rules of a host the
// longest path. A connection to a port with a rule of its own belongs to that
// rule's service, whatever is spoken on it. What a match costs does not grow with the number of services,
// and it allocates nothing.
//
// A Table is plain data: the master makes it, it crosses the wire, and a router
// keeps it on disk. A Matcher never changes and may be shared.
package route

import (
	"cmp"
	"fmt"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// Version orders the tables: first by the epoch of the leader that made them,
// then by their number in that epoch.
type Version struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Compare returns -1, 0 or +1 as v is older than, the same as or newer than w.
func (v Version) Compare(w Version) int {
	return cmp.Or(cmp.Compare(v.Epoch, w.Epoch), cmp.Compare(v.Seq, w.Seq))
}

// Less reports whether v is older than w.
func (v Version) Less(w Version) bool { return v.Compare(w) < 0 }

// String prints the version as epoch.seq.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Epoch, v.Seq) }

// Endpoint is one ready instance of a service.
type Endpoint struct {
	Task     id.Task     `json:"task"`
	Revision id.Revision `json:"revision"`
	Address  string      `json:"address"`           // host:port
	Suspect  bool        `json:"suspect,omitempty"` // its agent is silent, so that the router's own experience decides
}

// Service is a service's rules and the instances that answer for it.
type Service struct {
	Name      id.Service    `json:"name"`
	Rules     []Rule        `json:"rules,omitempty"`
	Hold      time.Duration `json:"hold,omitempty"`     // how long a request waits for an instance; zero: the router's default, negative: not at all
	QueueMax  int           `json:"queueMax,omitempty"` // how many requests wait at most; zero: the router's default, negative: none
	Endpoints []Endpoint    `json:"endpoints,omitempty"`
}

// Table is all that a router needs to know, sent whole each time.
type Table struct {
	Version  Version   `json:"version"`
	Services []Service `json:"services,omitempty"`
}
