package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// What a million tasks may take.
const (
	c1mWithin = 5 * time.Minute

	c1mRunning      = 60 * time.Second
	c1mProbe        = 2 * time.Second
	c1mRSS          = 4 << 30 // bytes
	c1mBytesPerTask = 1 << 10
)

// launch is one size of c1m. Only the one of the promise has bars.
type launch struct {
	tasks, agents int
	barred        bool
}

// measureC1M launches a million tasks, and then few tasks on very many agents; or, for
// a try, as many as the options say.
func (b *bench) measureC1M(ctx context.Context) error {
	launches := []launch{{1_000_000, 5_000, true}, {100_000, 50_000, false}}
	if b.opts.tasks > 0 && b.opts.agents > 0 {
		launches = []launch{{b.opts.tasks, b.opts.agents, false}}
	}
	for _, l := range launches {
		b.say("%d tasks of 100 jobs on %d agents", l.tasks, l.agents)
		v, err := b.measureLaunch(ctx, l)
		if err != nil {
			return err
		}
		b.addLaunch(l, v)
	}
	return nil
}

// measureLaunch runs the benchmark of one size.
func (b *bench) measureLaunch(ctx context.Context, l launch) (values, error) {
	return b.runFleet(ctx, fleetRun{
		name: "Million", times: 1, within: c1mWithin, arguments: []string{"-test.v"},
		env: []string{fmt.Sprintf("ALOFT_TASKS=%d", l.tasks), fmt.Sprintf("ALOFT_AGENTS=%d", l.agents)},
	})
}

// addLaunch notes what a launch came to.
func (b *bench) addLaunch(l launch, v values) {
	form := fmt.Sprintf("%d tasks on %d agents: ", l.tasks, l.agents)
	how := fmt.Sprintf("`make c1m TASKS=%d AGENTS=%d`", l.tasks, l.agents)
	if v == nil {
		b.results.of(c1mSection).noEnd(form+"all are reported running", how, c1mWithin)
		return
	}
	add := func(what, bar string, met bool, median, p99 string, n int, others string) {
		if !l.barred {
			bar, met = "-", true
		}
		b.results.of(c1mSection).add(line{what: form + what, command: how, bar: bar, median: median, p99: p99, n: n, others: others, met: met})
	}
	running := v.took("running-ms")
	add("all are durable, started and reported running", "under "+report.Duration(c1mRunning), running < c1mRunning,
		fmt.Sprintf("%s, %.0f/s", report.Duration(running), float64(l.tasks)/running.Seconds()), "-", 1, "Nomad 3,000 to 5,200/s on 2 cores")
	add("a service deployed meanwhile is in service", "p99 under "+report.Duration(c1mProbe), v.took("probe-p99-ms") < c1mProbe,
		report.Duration(v.took("probe-p50-ms")), report.Duration(v.took("probe-p99-ms")), int(v["probes"]), "")
	add("memory (RSS) of the master, at most", fmt.Sprintf("under %d MiB", c1mRSS>>20), v["rss-max-MB"]*1e6 < c1mRSS,
		fmt.Sprintf("%.0f MB", v["rss-max-MB"]), "-", 1, "")
	add("a task in the master's memory, beside etcd's", fmt.Sprintf("under %d B", c1mBytesPerTask), v["heap-B/task"] < c1mBytesPerTask,
		fmt.Sprintf("%.0f B", v["heap-B/task"]), "-", 1, "")
	fact := func(what, value string) { b.results.of(c1mSection).addFact(form+what, how, value, 1) }
	fact("a task in the memory of etcd, and on disk", fmt.Sprintf("%.0f B, %.0f B", v["etcd-B/task"], v["disk-B/task"]))
	fact("processor time of the master, and of the agents and this bench", fmt.Sprintf("%.1f s, %.1f s", v["master-cpu-s"], v["fleet-cpu-s"]))
	fact("all agents join", report.Duration(v.took("first-ms")))
}
