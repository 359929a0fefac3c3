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

// values are what a benchmark of the product's own package fleet reports, by unit:
// its agents, and who asks the API, are processes apart from the master.
type values map[string]float64

// took returns a value in milliseconds.
func (v values) took(unit string) time.Duration {
	return time.Duration(v[unit] * float64(time.Millisecond))
}

// fleetRun is a run of one of those benchmarks.
type fleetRun struct {
	name      string
	times     int
	within    time.Duration
	arguments []string
	env       []string
}

// measureFleet runs one of those benchmarks once, and returns nil if it does not come
// to its end in time.
func (b *bench) measureFleet(ctx context.Context, name string, within time.Duration, arguments ...string) (values, error) {
	if b.opts.agents > 0 {
		arguments = append(arguments, "-agents", strconv.Itoa(b.opts.agents))
	}
	return b.runFleet(ctx, fleetRun{name: name, times: 1, within: within, arguments: arguments})
}

// runFleet runs a benchmark, and returns nil if it does not come to its end in time:
// that a machine is too slow for it is a figure, too.
func (b *bench) runFleet(ctx context.Context, r fleetRun) (values, error) {
	binary, err := filepath.Abs(b.opts.aloft)
	if err != nil {
		return nil, err
	}
	test, err := b.buildTest(ctx, "./fleet")
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, r.within)
	defer cancel()
	arguments := []string{"-test.run", "^$", "-test.bench", "^Benchmark" + r.name + "$", "-test.benchtime", strconv.Itoa(r.times) + "x"}
	command := exec.CommandContext(within, test, append(arguments, r.arguments...)...)
	command.Dir = filepath.Join(b.opts.source, "fleet")
	command.Env = append(append(os.Environ(), "ALOFT_BINARY="+binary), r.env...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) } // the masters are of its group
	output, failed := command.CombinedOutput()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if found := valuesOf(string(output), r.name); failed == nil && found != nil {
		return found, nil
	}
	b.say("%v\n%s", errors.Join(failed, within.Err()), output[max(0, len(output)-2000):])
	return nil, nil
}

// valuesOf reads the line of a benchmark: after its name and how often it ran come
// values with their units.
func valuesOf(output, name string) values {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "Benchmark"+name) {
			continue
		}
		found := make(values)
		for i := 2; i+1 < len(fields); i += 2 {
			found[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64) // go test prints numbers
		}
		return found
	}
	return nil
}

// buildTest builds the tests of a package of the product, and returns their path.
func (b *bench) buildTest(ctx context.Context, of string) (string, error) {
	test := filepath.Join(b.folder, filepath.Base(of)+".test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, of)
	build.Dir = b.opts.source
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go test -c: %w\n%s", err, output)
	}
	return test, nil
}

// under notes a time, and holds it to its bar.
func (r *rows) under(what, how string, took, bar time.Duration, others string) {
	r.add(line{
		what: what, command: how, bar: "under " + report.Duration(bar), median: report.Duration(took), p99: "-", n: 1,
		others: others, met: took < bar,
	})
}

// noEnd notes that a benchmark did not come to its end.
func (r *rows) noEnd(what, how string, within time.Duration) {
	r.add(line{what: what, command: how, bar: "an end", median: "none within " + within.String(), p99: "-", n: 1})
}

// calls notes how long calls of the API took meanwhile. A bar of 0 is none.
func (r *rows) calls(what, how, prefix string, v values, medianBar, p99Bar time.Duration, others string) {
	for _, call := range []string{"read", "write"} {
		median, p99 := v.took(prefix+call+"-p50-ms"), v.took(prefix+call+"-p99-ms")
		l := line{
			what: what + ": a " + call + " meanwhile", command: how, bar: "-", median: report.Duration(median), p99: report.Duration(p99),
			n: int(v[prefix+call+"s"]), others: others, met: true,
		}
		switch {
		case p99Bar > 0:
			l.bar, l.met = "p99 under "+report.Duration(p99Bar), p99 < p99Bar
		case medianBar > 0:
			l.bar, l.met = "p50 under "+report.Duration(medianBar), median < medianBar
		}
		r.add(l)
	}
}
