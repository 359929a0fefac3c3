package main

import (
	"context"
	"errors"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// What the fair queue is held to.
const (
	roundBar = 50 * time.Millisecond
	burstBar = 10 * time.Millisecond
)

// errNothing is the error for a benchmark that printed no measurement.
var errNothing = errors.New("the benchmark printed no measurement")

// measureFairShares runs the benchmarks of the fair queue, without a master around it.
func (b *bench) measureFairShares(ctx context.Context) error {
	b.say("rounds of fair shares")
	rounds, err := b.measureParts(ctx, goBench{of: "./core/fairshare", name: "Round", times: 20, rounds: 5})
	if err != nil {
		return err
	}
	b.say("services are deployed behind 100,000 jobs")
	bursts, err := b.measureParts(ctx, goBench{of: "./core/engine", name: "Burst", times: 20, rounds: 3})
	if err != nil {
		return err
	}
	b.say("rounds in which nothing can be placed")
	declined, err := b.measureParts(ctx, goBench{of: "./core/engine", name: "Declined", times: 20, rounds: 5})
	if err != nil {
		return err
	}
	tree, naive := rounds.took("tree", "ns/op", time.Nanosecond), rounds.took("naive", "ns/op", time.Nanosecond)
	many, none := bursts.took("waiting=100000", "ns/op", time.Nanosecond), bursts.took("waiting=0", "ns/op", time.Nanosecond)
	refused := declined.took("users=50", "ns/op", time.Nanosecond)
	if len(tree) == 0 || len(many) == 0 || len(refused) == 0 {
		return errNothing
	}
	r := b.results.of(fairshareSection)
	r.addTimes(span{
		"a round of fair shares: what each of 10,000 agents has goes to the role of 50 whose turn it is",
		"`go test -bench Round ./core/fairshare`", tree, roundBar,
		"Mesos, on such a machine: 420 ms; in the same run, counting and sorting anew for each agent: " + report.Duration(report.Quantile(naive, 50)),
	})
	r.addTimes(span{
		"a round in which nothing can be placed: 50 users ask in vain, each for another amount, whether one of 5,000 agents has room",
		"`go test -bench Declined ./core/engine`", refused, roundBar,
		"Mesos, declined by 50 frameworks, on such a machine: 2.2 s",
	})
	r.addTimes(span{
		"a service is deployed on a full cluster where 100,000 jobs wait: until its 10 instances have the places of the next 10 tasks that end",
		"`go test -bench Burst ./core/engine`", many, burstBar,
		"in the same run, where none waits: " + report.Duration(report.Quantile(none, 50)),
	})
	return nil
}
