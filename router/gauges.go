package router

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges read the state of a router when they are asked, so that requests need
// not keep them.
type gauges struct {
	router   *Router
	inFlight *prometheus.Desc
	held     *prometheus.Desc
	ejected  *prometheus.Desc
	kept     *prometheus.Desc
	epoch    *prometheus.Desc
	seq      *prometheus.Desc
}

func newGauges(r *Router) gauges {
	return gauges{
		router:   r,
		inFlight: prometheus.NewDesc("aloft_router_requests_in_flight", "Requests now at instances in the table, by service and revision.", []string{"service", "revision"}, nil),
		held:     prometheus.NewDesc("aloft_router_requests_held", "Requests now waiting for an instance, by service.", []string{"service"}, nil),
		ejected:  prometheus.NewDesc("aloft_router_endpoints_ejected", "Endpoints that are taken out now by the router's own experience, by service.", []string{"service"}, nil),
		kept:     prometheus.NewDesc("aloft_router_bodies_kept_bytes", "Memory for the bodies of requests that are kept to be sent again.", nil, nil),
		epoch:    prometheus.NewDesc("aloft_router_table_epoch", "Epoch of the leader that made the applied table.", nil, nil),
		seq:      prometheus.NewDesc("aloft_router_table_seq", "Number of the applied table in its epoch.", nil, nil),
	}
}

// Describe sends the descriptions.
func (g gauges) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{g.inFlight, g.held, g.ejected, g.kept, g.epoch, g.seq} {
		to <- desc
	}
}

// Collect sends the values.
func (g gauges) Collect(to chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	table := g.router.table.Load()
	gauge(g.kept, float64(g.router.kept.used.Load()))
	gauge(g.epoch, float64(table.version.Epoch))
	gauge(g.seq, float64(table.version.Seq))
	for _, service := range table.services {
		gauge(g.held, float64(service.queue.len()), string(service.name))
		inFlight, out := make(map[string]int64), 0
		for _, e := range service.endpoints {
			inFlight[strconv.FormatInt(int64(e.Revision), 10)] += e.inFlight.Load()
			if e.isOut() {
				out++
			}
		}
		gauge(g.ejected, float64(out), string(service.name))
		for revision, n := range inFlight {
			gauge(g.inFlight, float64(n), string(service.name), revision)
		}
	}
}
