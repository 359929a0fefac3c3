package main

import (
	"context"
	"fmt"
	"time"
)

// What the sessions of many agents may take.
const (
	sessionsWithin = 100 * time.Second // each of the benchmarks

	steadyPercent = 15 // of one core
	returnBar     = 20 * time.Second
	returnCallBar = 500 * time.Millisecond
	joinBar       = 2 * time.Second
)

// measureSessions measures what a large cluster's agents cost their master: at rest,
// when all come back, and when all are new.
func (b *bench) measureSessions(ctx context.Context) error {
	agents := 10_000
	if b.opts.agents > 0 {
		agents = b.opts.agents
	}
	r := b.results.of(sessionsSection)
	if err := b.measureSteady(ctx, agents); err != nil {
		return err
	}
	if err := b.measureReturns(ctx, agents); err != nil {
		return err
	}
	b.say("%d agents join an empty cluster", agents)
	v, err := b.measureFleet(ctx, "Join", sessionsWithin)
	if err != nil {
		return err
	}
	const joinHow = "`go test -bench Join ./fleet`"
	join := fmt.Sprintf("%d agents join an empty cluster: the partitions of all are durable", agents)
	if v == nil {
		r.noEnd(join, joinHow, sessionsWithin)
		return nil
	}
	r.under(join, joinHow, v.took("joined-ms"), joinBar, "Mesos 0.63 s, not durable; Nomad 5.6 s (1,800/s)")
	r.addFact(fmt.Sprintf("%d agents join an empty cluster: processor time of the master", agents), joinHow, fmt.Sprintf("%.2f s", v["master-cpu-s"]), 1)
	return nil
}

// measureReturns measures how long it takes until all agents are back: when their sessions
// broke, and when their master was killed.
func (b *bench) measureReturns(ctx context.Context, agents int) error {
	r := b.results.of(sessionsSection)
	for _, form := range []struct{ benchmark, what, until string }{
		{"Reconnect", fmt.Sprintf("%d agents lose their sessions at once", agents), ": all are back"},
		{
			"Restart", fmt.Sprintf("the master of %d agents is killed and started again", agents),
			": from its first answer until all are back",
		},
	} {
		b.say("%s", form.what)
		v, err := b.measureFleet(ctx, form.benchmark, sessionsWithin)
		if err != nil {
			return err
		}
		how := "`go test -bench " + form.benchmark + " ./fleet`"
		if v == nil {
			r.noEnd(form.what+form.until, how, sessionsWithin)
			continue
		}
		r.under(form.what+form.until, how, v.took("joined-ms"), returnBar, "")
		r.calls(form.what, how, "", v, 0, returnCallBar, "")
	}
	return nil
}

// measureSteady measures a cluster at rest: with agents that share connections, as those
// of a fleet do, and with a connection for each, as on machines of their own.
func (b *bench) measureSteady(ctx context.Context, agents int) error {
	r := b.results.of(sessionsSection)
	for _, form := range []struct{ what, perClient string }{{"200 on one connection", "0"}, {"each on a connection of its own", "1"}} {
		b.say("%d agents at rest, %s", agents, form.what)
		v, err := b.measureFleet(ctx, "Steady", sessionsWithin, "-per-client", form.perClient)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d agents, 200,000 tasks, nothing changes, %s", agents, form.what)
		how := "`go test -bench Steady ./fleet -per-client " + form.perClient + "`"
		if v == nil {
			r.noEnd(what, how, sessionsWithin)
			continue
		}
		r.add(line{
			what: what + ": the master, of one core", command: how, bar: fmt.Sprintf("under %d %%", steadyPercent),
			median: fmt.Sprintf("%.1f %%", v["master-cpu-%"]), p99: "-", n: 1, met: v["master-cpu-%"] < steadyPercent,
		})
		r.addFact(what+": all agents, of one core", how, fmt.Sprintf("%.1f %%", v["fleet-cpu-%"]), 1)
		r.addFact(what+": a session in the master's memory", how, fmt.Sprintf("%.1f KB", v["session-KB"]), 1)
		r.addCount(what+": sessions that broke", how, int(v["broken"]), agents, "")
	}
	return nil
}
