package router

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/core/id"
)

// metrics are the figures of a router. Its labels are bounded by the table: the
// series of services and revisions that have left it are dropped.
type metrics struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	slow      *prometheus.CounterVec
	ejections *prometheus.CounterVec
	exits     *prometheus.CounterVec
	relays    *prometheus.CounterVec
	relayed   *prometheus.CounterVec
	gauges    gauges

	slowBodies  prometheus.Counter // of slow
	slowAnswers prometheus.Counter // of slow
	unlogged    prometheus.Counter
	unrouted    *series // of requests that belong to no service
	series      map[seriesKey]*series
}

type seriesKey struct {
	service  id.Service
	revision id.Revision
}

// series are the figures of one revision of a service, found once, so that no
// request has to look for them. Revision zero is for requests that reached no
// instance.
type series struct {
	codes    [6]prometheus.Counter // by hundreds; the first is for all others
	duration prometheus.Observer
	relays   *relaySeries // nil for a service without a port of its own
}

// relaySeries are the figures of the connections to one revision of a service.
type relaySeries struct {
	whole, cut, refused prometheus.Counter
	up, down            prometheus.Counter // bytes
}

func newMetrics(r *Router) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_router_requests_total",
			Help: "Requests by service, revision and class of the status that the client got.",
		}, []string{"service", "revision", "code"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "aloft_router_request_duration_seconds",
			Help:    "Time from a request's header to the last byte of its answer, upgraded connections left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"service", "revision"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_router_retries_total",
			Help: "Requests sent again, by how far they had got.",
		}, []string{"reason"}),
		slow: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_router_client_timeouts_total",
			Help: "Clients given up because they sent nothing of a request, or took nothing of an answer, for too long.",
		}, []string{"waiting_for"}),
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_router_ejections_total",
			Help: "Endpoints taken out by the router's own experience, by what they did.",
		}, []string{"reason"}),
		exits: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_router_fast_path_exits_total",
			Help: "Connections that left the fast path, by what was not plain.",
		}, []string{"reason"}),
		relays: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_router_connections_total",
			Help: "Connections to ports with a route of their own that have ended: both sides said all, one broke, or no instance took it.",
		}, []string{"service", "revision", "result"}),
		relayed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_router_connection_bytes_total",
			Help: "Bytes passed on such connections, up to the instance or down to the client.",
		}, []string{"service", "revision", "direction"}),
		unlogged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "aloft_router_access_log_lost_total",
			Help: "Lines of the access log that were lost, because what it is written to failed, or did not take them in time.",
		}),
		gauges: newGauges(r),
		series: make(map[seriesKey]*series),
	}
	m.slowBodies, m.slowAnswers = m.slow.WithLabelValues("request"), m.slow.WithLabelValues("answer")
	m.unrouted = m.newSeries("", 0)
	return m
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.durations, m.retries, m.slow, m.ejections, m.exits, m.relays, m.relayed, m.unlogged, m.gauges}
}

func (m *metrics) register(to prometheus.Registerer) error {
	if to == nil {
		return nil
	}
	var problems []error
	for _, collector := range m.collectors() {
		problems = append(problems, to.Register(collector))
	}
	return errors.Join(problems...)
}

func (m *metrics) unregister(from prometheus.Registerer) {
	if from == nil {
		return
	}
	for _, collector := range m.collectors() {
		from.Unregister(collector)
	}
}

// seriesOf returns the series of a revision. Only the owner of the table calls it.
func (m *metrics) seriesOf(service *service, revision id.Revision) *series {
	key := seriesKey{service.name, revision}
	found := m.series[key]
	if found == nil {
		found = m.newSeries(service.name, revision)
		m.series[key] = found
	}
	if service.relayed && found.relays == nil {
		found.relays = m.newRelaySeries(service.name, revision)
	}
	return found
}

func (m *metrics) newSeries(service id.Service, revision id.Revision) *series {
	labels := []string{string(service), strconv.FormatInt(int64(revision), 10)}
	made := &series{duration: m.durations.WithLabelValues(labels...)}
	for class := range made.codes {
		code := "other"
		if class > 0 {
			code = strconv.Itoa(class) + "xx"
		}
		made.codes[class] = m.requests.WithLabelValues(append(labels, code)...)
	}
	return made
}

func (m *metrics) newRelaySeries(service id.Service, revision id.Revision) *relaySeries {
	labels := []string{string(service), strconv.FormatInt(int64(revision), 10)}
	of := func(vec *prometheus.CounterVec, last string) prometheus.Counter {
		return vec.WithLabelValues(append(labels, last)...)
	}
	return &relaySeries{
		whole: of(m.relays, "whole"), cut: of(m.relays, "cut"), refused: of(m.relays, "refused"),
		up: of(m.relayed, "up"), down: of(m.relayed, "down"),
	}
}

// forget drops the series that no service of the table uses any more. Only the
// owner of the table calls it.
func (m *metrics) forget(table *snapshot) {
	used := make(map[seriesKey]bool, len(m.series))
	for _, service := range table.services {
		used[seriesKey{service.name, 0}] = true
		for _, e := range service.endpoints {
			used[seriesKey{service.name, e.Revision}] = true
		}
	}
	for key := range m.series {
		if used[key] {
			continue
		}
		labels := prometheus.Labels{"service": string(key.service), "revision": strconv.FormatInt(int64(key.revision), 10)}
		m.requests.DeletePartialMatch(labels)
		m.durations.DeletePartialMatch(labels)
		m.relays.DeletePartialMatch(labels)
		m.relayed.DeletePartialMatch(labels)
		delete(m.series, key)
	}
}
