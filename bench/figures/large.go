package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// The large cluster, and how often its leader is killed in each of its forms.
const (
	largeBench  = "^BenchmarkNewLeader$"
	largeRounds = 3
	largeWithin = 5 * time.Minute

	largeWorking, largeJoined = 2 * time.Second, 4 * time.Second
)

// measureLarge runs the benchmark of the product's own module that makes a cluster
// of 20,000 simulated agents with 100,000 tasks, and takes over what it reports.
func (b *bench) measureLarge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, largeWithin)
	defer cancel()
	b.say("a new leader of 100,000 tasks on 20,000 agents, %d times alone and %d times of three", largeRounds, largeRounds)
	binary, err := filepath.Abs(b.opts.aloft)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", largeBench, "-benchtime", strconv.Itoa(largeRounds)+"x", "./fleet")
	command.Dir = b.opts.source
	command.Env = append(os.Environ(), "ALOFT_BINARY="+binary)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test -bench: %w\n%s", err, output)
	}
	for line := range strings.Lines(string(output)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[0], "BenchmarkNewLeader/") {
			b.addLarge(fields)
		}
	}
	if len(b.results.large.lines) == 0 {
		return fmt.Errorf("go test -bench told no figures:\n%s", output)
	}
	return nil
}

// addLarge notes what one form of the cluster reports: a name, how often it ran, and
// then values with their units.
func (b *bench) addLarge(fields []string) {
	values := make(map[string]float64)
	for i := 2; i+1 < len(fields); i += 2 {
		values[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64) // go test prints numbers
	}
	form := "the only master is killed and started again"
	if strings.Contains(fields[0], "masters=3") {
		form = "the leader of three is killed"
	}
	took := func(unit string) time.Duration { return time.Duration(values[unit] * float64(time.Millisecond)) }
	add := func(what, unit string, bar time.Duration, others string) {
		l := line{what: form + ": " + what, command: "`go test -bench NewLeader ./fleet`", bar: "-", n: largeRounds, others: others, met: true}
		l.median, l.p99 = report.Duration(took(unit)), report.Duration(took(strings.Replace(unit, "-ms", "-max-ms", 1)))
		if bar > 0 {
			l.bar, l.met = "under "+report.Duration(bar), took(unit) < bar
		}
		b.results.large.add(l)
	}
	add("until a write is answered", "working-ms", largeWorking, "")
	add("then until all agents are back", "joined-ms", largeJoined, "Mesos 5.4 s for both, and knows no task before")
	for _, call := range []string{"read", "write"} {
		b.results.large.add(line{
			what: form + ": a " + call + " meanwhile", command: "the API", bar: "-", median: report.Duration(took(call + "-p50-ms")),
			p99: report.Duration(took(call + "-p99-ms")), n: int(values[call+"s"]), met: true,
		})
	}
	b.results.large.addFact(form+": memory (RSS) of the new leader", "`/proc/PID/statm`", fmt.Sprintf("%.0f MB", values["rss-MB"]), largeRounds)
}
