package master

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a master measures of itself.
type metrics struct {
	leading prometheus.Gauge
	steps   prometheus.Histogram
	commits prometheus.Histogram
	batch   prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	fast := prometheus.ExponentialBuckets(0.00005, 2, 16) // 50 µs to 1.6 s
	m := &metrics{
		leading: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "aloft_master_leading", Help: "1 while this master leads.",
		}),
		steps: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "aloft_master_step_duration_seconds", Help: "Time to fold one batch of events into the cluster.", Buckets: fast,
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "aloft_master_commit_duration_seconds", Help: "Time to make one batch durable.", Buckets: fast,
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "aloft_master_batch_events", Help: "Events in one batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
	}
	registerer.MustRegister(m.leading, m.steps, m.commits, m.batch)
	return m
}
