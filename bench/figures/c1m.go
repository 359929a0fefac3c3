package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
	test := filepath.Join(b.folder, "fleet.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, "./fleet")
	build.Dir = b.opts.source
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w\n%s", err, output)
	}
	for _, l := range launches {
		b.say("%d tasks of 100 jobs on %d agents", l.tasks, l.agents)
		values, err := b.measureLaunch(ctx, test, l)
		if err != nil {
			return err
		}
		b.addLaunch(l, values)
	}
	return nil
}

// measureLaunch runs the benchmark of the product's own module, and returns what it
// reports by unit; nothing if it does not come to its end in time.
func (b *bench) measureLaunch(ctx context.Context, test string, l launch) (map[string]float64, error) {
	binary, err := filepath.Abs(b.opts.aloft)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, c1mWithin)
	defer cancel()
	command := exec.CommandContext(within, test, "-test.run", "^$", "-test.bench", "^BenchmarkMillion$", "-test.benchtime", "1x", "-test.v")
	command.Dir = filepath.Join(b.opts.source, "fleet")
	command.Env = append(os.Environ(), "ALOFT_BINARY="+binary, fmt.Sprintf("ALOFT_TASKS=%d", l.tasks), fmt.Sprintf("ALOFT_AGENTS=%d", l.agents))
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) } // the master is of its group
	output, failed := command.CombinedOutput()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for text := range strings.Lines(string(output)) {
		fields := strings.Fields(text)
		if failed != nil || len(fields) < 3 || !strings.HasPrefix(fields[0], "BenchmarkMillion") {
			continue
		}
		values := make(map[string]float64)
		for i := 2; i+1 < len(fields); i += 2 {
			values[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64) // go test prints numbers
		}
		return values, nil
	}
	b.say("%v\n%s", errors.Join(failed, within.Err()), output[max(0, len(output)-2000):])
	return nil, nil
}

// addLaunch notes what a launch came to.
func (b *bench) addLaunch(l launch, values map[string]float64) {
	form := fmt.Sprintf("%d tasks on %d agents: ", l.tasks, l.agents)
	how := fmt.Sprintf("`make c1m TASKS=%d AGENTS=%d`", l.tasks, l.agents)
	if values == nil {
		b.results.of(c1mSection).add(line{what: form + "all are reported running", command: how, bar: "an end", median: "none within " + c1mWithin.String(), p99: "-", n: 1})
		return
	}
	took := func(unit string) time.Duration { return time.Duration(values[unit] * float64(time.Millisecond)) }
	add := func(what, bar string, met bool, median, p99 string, n int, others string) {
		if !l.barred {
			bar, met = "-", true
		}
		b.results.of(c1mSection).add(line{what: form + what, command: how, bar: bar, median: median, p99: p99, n: n, others: others, met: met})
	}
	running := took("running-ms")
	add("all are durable, started and reported running", "under "+report.Duration(c1mRunning), running < c1mRunning,
		fmt.Sprintf("%s, %.0f/s", report.Duration(running), float64(l.tasks)/running.Seconds()), "-", 1, "Nomad 3,000 to 5,200/s on 2 cores")
	add("a service deployed meanwhile is in service", "p99 under "+report.Duration(c1mProbe), took("probe-p99-ms") < c1mProbe,
		report.Duration(took("probe-p50-ms")), report.Duration(took("probe-p99-ms")), int(values["probes"]), "")
	add("memory (RSS) of the master, at most", fmt.Sprintf("under %d MiB", c1mRSS>>20), values["rss-max-MB"]*1e6 < c1mRSS,
		fmt.Sprintf("%.0f MB", values["rss-max-MB"]), "-", 1, "")
	add("a task in the master's memory, beside etcd's", fmt.Sprintf("under %d B", c1mBytesPerTask), values["heap-B/task"] < c1mBytesPerTask,
		fmt.Sprintf("%.0f B", values["heap-B/task"]), "-", 1, "")
	fact := func(what, value string) { b.results.of(c1mSection).addFact(form+what, how, value, 1) }
	fact("a task in the memory of etcd, and on disk", fmt.Sprintf("%.0f B, %.0f B", values["etcd-B/task"], values["disk-B/task"]))
	fact("processor time of the master, and of the agents and this bench", fmt.Sprintf("%.1f s, %.1f s", values["master-cpu-s"], values["fleet-cpu-s"]))
	fact("all agents join", report.Duration(took("first-ms")))
}
