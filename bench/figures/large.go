package main

import (
	"context"
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

// How often the leader of the large cluster is killed in each of its forms, and how
// long that may take.
const (
	largeRounds = 3
	largeWithin = 150 * time.Second

	largeWorking, largeJoined = 2 * time.Second, 4 * time.Second

	millionWorking = 6 * time.Second
)

// measureLarge runs the benchmark of the product's own module that makes a cluster
// of 5,000 simulated agents with 100,000 tasks, and takes over what it reports; then the
// same for the load of a million tasks.
func (b *bench) measureLarge(ctx context.Context) error {
	for _, form := range []struct{ name, what string }{
		{"masters=1", "the only master is killed and started again"},
		{"masters=3", "the leader of three is killed"},
	} {
		b.say("a new leader of 100,000 tasks on 5,000 agents, %s, %d times", form.name, largeRounds)
		if err := b.measureForm(ctx, form.name, form.what); err != nil {
			return err
		}
	}
	return b.measureMillion(ctx)
}

// measureForm measures one form of the cluster. That a machine is too slow for it is
// a figure, too.
func (b *bench) measureForm(ctx context.Context, name, what string) error {
	fields, err := b.runFleet(ctx, "NewLeader/"+name)
	if err == nil && fields != nil {
		b.addLarge(what, fields)
		return nil
	}
	b.addNoEnd(what, "`go test -bench NewLeader ./fleet`")
	return err
}

// measureMillion measures the load of a million tasks.
func (b *bench) measureMillion(ctx context.Context) error {
	const what, command = "load of 1,000,000 tasks by a new leader", "`go test -bench LoadOfAMillion ./fleet`"
	b.say("%s, %d times", what, largeRounds)
	fields, err := b.runFleet(ctx, "LoadOfAMillion")
	if err != nil || fields == nil {
		b.addNoEnd(what, command)
		return err
	}
	values := valuesOf(fields)
	took := millisOf(values["working-ms"])
	b.results.of(largeSection).add(line{
		what: what, command: command, bar: "under " + report.Duration(millionWorking), median: report.Duration(took),
		p99: report.Duration(millisOf(values["working-max-ms"])), n: largeRounds, met: took < millionWorking,
	})
	b.results.of(largeSection).addFact(what+": memory (RSS)", "`/proc/PID/statm`", fmt.Sprintf("%.0f MB", values["rss-MB"]), largeRounds)
	return nil
}

// addNoEnd notes what the machine is too slow for.
func (b *bench) addNoEnd(what, command string) {
	b.results.of(largeSection).add(line{what: what, command: command, bar: "an end", median: "none within " + largeWithin.String(), p99: "-", n: 1})
}

// runFleet runs a benchmark of ./fleet, and returns the fields of its line; none when
// it did not end in time.
func (b *bench) runFleet(ctx context.Context, name string) (fields []string, err error) {
	within, cancel := context.WithTimeout(ctx, largeWithin)
	defer cancel()
	binary, err := filepath.Abs(b.opts.aloft)
	if err != nil {
		return nil, err
	}
	test := filepath.Join(b.folder, "fleet.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", test, "./fleet")
	build.Dir = b.opts.source
	if output, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go test -c: %w\n%s", err, output)
	}
	command := exec.CommandContext(within, test, "-test.run", "^$", "-test.bench", name+"$", "-test.benchtime", strconv.Itoa(largeRounds)+"x")
	command.Dir = filepath.Join(b.opts.source, "fleet")
	command.Env = append(os.Environ(), "ALOFT_BINARY="+binary)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) } // the masters are of its group
	output, failed := command.CombinedOutput()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	for line := range strings.Lines(string(output)) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.HasPrefix(fields[0], "Benchmark"+name) {
			return fields, nil
		}
	}
	b.say("%v\n%s", failed, output[max(0, len(output)-2000):])
	return nil, nil
}

// valuesOf returns what a benchmark reports, by unit: after its name and how often it
// ran come values with their units.
func valuesOf(fields []string) map[string]float64 {
	values := make(map[string]float64)
	for i := 2; i+1 < len(fields); i += 2 {
		values[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64) // go test prints numbers
	}
	return values
}

func millisOf(value float64) time.Duration { return time.Duration(value * float64(time.Millisecond)) }

// addLarge notes what one form of the cluster reports.
func (b *bench) addLarge(form string, fields []string) {
	values := valuesOf(fields)
	took := func(unit string) time.Duration { return millisOf(values[unit]) }
	add := func(what, unit string, bar time.Duration, others string) {
		l := line{what: form + ": " + what, command: "`go test -bench NewLeader ./fleet`", bar: "-", n: largeRounds, others: others, met: true}
		l.median, l.p99 = report.Duration(took(unit)), report.Duration(took(strings.Replace(unit, "-ms", "-max-ms", 1)))
		if bar > 0 {
			l.bar, l.met = "under "+report.Duration(bar), took(unit) < bar
		}
		b.results.of(largeSection).add(l)
	}
	add("until a write is answered", "working-ms", largeWorking, "")
	add("then until all 5,000 agents are back", "joined-ms", largeJoined, "Mesos 5.4 s for both with 20,000 agents, and knows no task before")
	for _, call := range []string{"read", "write"} {
		b.results.of(largeSection).add(line{
			what: form + ": a " + call + " meanwhile", command: "the API", bar: "-", median: report.Duration(took(call + "-p50-ms")),
			p99: report.Duration(took(call + "-p99-ms")), n: int(values[call+"s"]), met: true,
		})
	}
	b.results.of(largeSection).addFact(form+": memory (RSS) of the new leader", "`/proc/PID/statm`", fmt.Sprintf("%.0f MB", values["rss-MB"]), largeRounds)
}
