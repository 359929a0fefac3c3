// Package unmetered keeps the metrics of libraries out of a registry that nobody asks.
//
// etcd has some ninety, and registers each with prometheus.DefaultRegisterer while its
// packages are initialised. That starts a goroutine each, while the first one has a thread
// of its own, so that each costs two switches of threads: a tenth of the time that any
// command of aloft takes to begin. What a master tells of etcd it asks for, and has in a
// registry of its own.
//
// Go initialises packages that do not need each other in the order of their paths (since
// 1.21, see "Package initialization" in its specification), so this one comes before etcd's,
// once Prometheus' own has: it is enough to import it.
package unmetered

import "github.com/prometheus/client_golang/prometheus"

func init() { //nolint:gochecknoinits // main begins too late for this
	prometheus.DefaultRegisterer = nobody{}
}

// nobody takes metrics, and has none.
type nobody struct{}

var _ prometheus.Registerer = nobody{}

// Register forgets the collector.
func (nobody) Register(prometheus.Collector) error { return nil }

// MustRegister forgets them.
func (nobody) MustRegister(...prometheus.Collector) {}

// Unregister reports that the collector was not there.
func (nobody) Unregister(prometheus.Collector) bool { return false }
