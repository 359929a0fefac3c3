package main

import (
	"context"
	"fmt"
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
// of 20,000 simulated agents with 100,000 tasks, and takes over what it reports; then the
// same for the load of a million tasks.
func (b *bench) measureLarge(ctx context.Context) error {
	for _, form := range []struct{ name, what string }{
		{"masters=1", "the only master is killed and started again"},
		{"masters=3", "the leader of three is killed"},
	} {
		b.say("a new leader of 100,000 tasks on 20,000 agents, %s, %d times", form.name, largeRounds)
		if err := b.measureForm(ctx, form.name, form.what); err != nil {
			return err
		}
	}
	return b.measureMillion(ctx)
}

// measureForm measures one form of the cluster.
func (b *bench) measureForm(ctx context.Context, name, what string) error {
	const how = "`go test -bench NewLeader ./fleet`"
	v, err := b.runFleet(ctx, fleetRun{name: "NewLeader/" + name, times: largeRounds, within: largeWithin})
	switch {
	case err != nil:
		return err
	case v == nil:
		b.results.of(largeSection).noEnd(what, how, largeWithin)
	default:
		b.addLarge(what, how, v)
	}
	return nil
}

// measureMillion measures the load of a million tasks.
func (b *bench) measureMillion(ctx context.Context) error {
	const what, how = "load of 1,000,000 tasks by a new leader", "`go test -bench LoadOfAMillion ./fleet`"
	r := b.results.of(largeSection)
	b.say("%s, %d times", what, largeRounds)
	v, err := b.runFleet(ctx, fleetRun{name: "LoadOfAMillion", times: largeRounds, within: largeWithin})
	switch {
	case err != nil:
		return err
	case v == nil:
		r.noEnd(what, how, largeWithin)
		return nil
	}
	took := v.took("working-ms")
	r.add(line{
		what: what, command: how, bar: "under " + report.Duration(millionWorking), median: report.Duration(took),
		p99: report.Duration(v.took("working-max-ms")), n: largeRounds, met: took < millionWorking,
	})
	r.addFact(what+": memory (RSS)", "`/proc/PID/statm`", fmt.Sprintf("%.0f MB", v["rss-MB"]), largeRounds)
	return nil
}

// addLarge notes what one form of the cluster reports.
func (b *bench) addLarge(form, how string, v values) {
	r := b.results.of(largeSection)
	for _, f := range []struct {
		what, unit string
		bar        time.Duration
		others     string
	}{
		{"until a write is answered", "working", largeWorking, ""},
		{"then until all 20,000 agents are back", "joined", largeJoined, "Mesos 5.4 s for both, and knows no task before"},
	} {
		took := v.took(f.unit + "-ms")
		r.add(line{
			what: form + ": " + f.what, command: how, bar: "under " + report.Duration(f.bar), median: report.Duration(took),
			p99: report.Duration(v.took(f.unit + "-max-ms")), n: largeRounds, others: f.others, met: took < f.bar,
		})
	}
	r.calls(form, "the API", "", v, 0, 0, "")
	r.addFact(form+": processor time for the agents' return", "`/proc/PID/stat`; getrusage(2)",
		fmt.Sprintf("%.1f s of the leader, %.1f s of all agents", v["join-cpu-s"], v["fleet-cpu-s"]), 1)
	r.addFact(form+": memory (RSS) of the new leader", "`/proc/PID/statm`", fmt.Sprintf("%.0f MB", v["rss-MB"]), largeRounds)
}
