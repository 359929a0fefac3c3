package master

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/task"
)

// metrics are what a master measures of itself.
type metrics struct {
	steps   prometheus.Histogram
	commits prometheus.Histogram
	batch   prometheus.Histogram
	refused *prometheus.CounterVec
	opened  *prometheus.CounterVec
}

// What a breaker is over: the agents, or the instances of one service.
const (
	overAgents    = "agents"
	overInstances = "instances"
)

func newMetrics(registerer prometheus.Registerer, master *Master) *metrics {
	fast := prometheus.ExponentialBuckets(0.00005, 2, 16) // 50 µs to 1.6 s
	m := &metrics{
		steps: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "aloft_master_step_duration_seconds", Help: "Time to fold one batch of events into the cluster.", Buckets: fast,
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "aloft_master_commit_duration_seconds", Help: "Time to make one batch durable.", Buckets: fast,
		}),
		batch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "aloft_master_batch_events", Help: "Events in one batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_master_refused_events_total", Help: "Events that were refused, by why.",
		}, []string{"reason"}),
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aloft_master_breaker_opened_total", Help: "Times that a breaker opened while this master led, by what it is over.",
		}, []string{"over"}),
	}
	for _, over := range []string{overAgents, overInstances} {
		m.opened.WithLabelValues(over)
	}
	registerer.MustRegister(m.steps, m.commits, m.batch, m.refused, m.opened, newCensus(master))
	return m
}

// census counts the cluster when it is scraped. A master that stands by shows
// none: the leader does.
type census struct {
	master                 *Master
	leading, tasks, agents *prometheus.Desc
	open, missing          *prometheus.Desc
	used, quota, disk      *prometheus.Desc
}

func newCensus(master *Master) *census {
	return &census{
		master:  master,
		leading: prometheus.NewDesc("aloft_master_leading", "1 while this master leads.", nil, nil),
		tasks:   prometheus.NewDesc("aloft_master_tasks", "Tasks that are kept, by state.", []string{"state"}, nil),
		agents:  prometheus.NewDesc("aloft_master_agents", "Agents, by state.", []string{"state"}, nil),
		open:    prometheus.NewDesc("aloft_master_breaker_open", "Breakers that are open: the one over agents, and those over the instances of a service.", []string{"over"}, nil),
		missing: prometheus.NewDesc("aloft_master_breaker_missing_agents", "Agents for which the breaker is open.", nil, nil),
		used:    prometheus.NewDesc("aloft_master_store_used_bytes", "What this master's member of the embedded etcd keeps.", nil, nil),
		quota:   prometheus.NewDesc("aloft_master_store_quota_bytes", "What it may keep at most.", nil, nil),
		disk:    prometheus.NewDesc("aloft_master_disk_free_bytes", "What the disk of this master's data folder has left.", nil, nil),
	}
}

// Describe sends what Collect may send.
func (c *census) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.leading
	descs <- c.tasks
	descs <- c.agents
	descs <- c.open
	descs <- c.missing
	descs <- c.used
	descs <- c.quota
	descs <- c.disk
}

// Collect counts.
func (c *census) Collect(samples chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value int, labels ...string) {
		samples <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	if room, kept := c.master.store.Room(); kept {
		samples <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, float64(room.Used))
		samples <- prometheus.MustNewConstMetric(c.quota, prometheus.GaugeValue, float64(room.Quota))
		samples <- prometheus.MustNewConstMetric(c.disk, prometheus.GaugeValue, float64(room.DiskFree))
	}
	r, err := c.master.current()
	if err != nil {
		gauge(c.leading, 0)
		return
	}
	gauge(c.leading, 1)
	for state, count := range r.view.countTasks() {
		gauge(c.tasks, count, state.String())
	}
	for state, count := range r.view.countAgents() {
		gauge(c.agents, count, state)
	}
	gauge(c.open, r.view.countSick(), overInstances)
	open, missing := r.view.countMissing()
	gauge(c.open, open, overAgents)
	gauge(c.missing, missing)
}

// countSick returns how many services have a breaker that is open.
func (v *view) countSick() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	sick := 0
	for _, record := range v.kinds[engine.ServiceKind] {
		if s, ok := record.(*engine.Service); ok && s.Breaker.Open() {
			sick++
		}
	}
	return sick
}

// countMissing returns 1 if the breaker is open, and how many agents it misses.
func (v *view) countMissing() (open, missing int) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, record := range v.kinds[engine.ClusterKind] {
		c, ok := record.(*engine.Cluster)
		if !ok || !c.Breaker.Open() {
			continue
		}
		open = 1
		for _, record := range v.kinds[engine.AgentKind] {
			if a, ok := record.(*engine.Agent); ok && c.Breaker.Misses(a) {
				missing++
			}
		}
	}
	return open, missing
}

// countTasks returns how many tasks are in each state.
func (v *view) countTasks() map[task.State]int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	counts := make(map[task.State]int, len(v.states))
	for state := task.Pending; state <= task.Lost; state++ {
		counts[state] = v.states[state]
	}
	return counts
}

// countAgents returns how many agents are in each state.
func (v *view) countAgents() map[string]int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	counts := map[string]int{"ready": 0, "draining": 0, "drained": 0, "suspect": 0, "unreachable": 0, "left": 0}
	for _, record := range v.kinds[engine.AgentKind] {
		if a, ok := record.(*engine.Agent); ok {
			counts[a.State(v.byAgent[a.ID].count())]++
		}
	}
	return counts
}
