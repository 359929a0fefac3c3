package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

const (
	growthWithin = 150 * time.Second
	rollBar      = 5 * time.Second
	plannerBar   = time.Millisecond
)

// grownSizes are the tasks, or the agents, of the clusters that are compared.
var grownSizes = []int{1_000, 10_000, 100_000} //nolint:gochecknoglobals // a constant

// measureGrowth measures a large roll, and how costs grow with the cluster.
func (b *bench) measureGrowth(ctx context.Context) error {
	for _, measure := range []func(context.Context) error{b.measureRoll, b.measurePlanner, b.measureGrowingPlaces, b.measureGrowingClusters} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

// measureRoll replaces 1,000 instances.
func (b *bench) measureRoll(ctx context.Context) error {
	r := b.results.of(growthSection)
	b.say("1,000 instances are replaced")
	v, err := b.measureFleet(ctx, "Roll", growthWithin)
	if err != nil {
		return err
	}
	const how, roll = "`go test -bench Roll ./fleet`", "1,000 instances on 100 simulated agents, surge 10 %, settle 0"
	if v == nil {
		r.noEnd(roll, how, growthWithin)
		return nil
	}
	r.under(roll+": all are of the new revision", how, v.took("roll-ms"), rollBar, "")
	r.addFact(roll+": the first revision, and processor time of the master for the second", how,
		fmt.Sprintf("%s, %.2f s", report.Duration(v.took("first-ms")), v["master-cpu-s"]), 1)
	return nil
}

// measurePlanner measures one step of a roll.
func (b *bench) measurePlanner(ctx context.Context) error {
	steps, err := b.measureParts(ctx, goBench{of: "./core/rollout", name: "Next", times: 1000, rounds: 5})
	if err != nil {
		return err
	}
	took := steps.took("roll", "ns/op", time.Nanosecond)
	if len(took) == 0 {
		return errNothing
	}
	b.results.of(growthSection).addTimes(span{"the next step of a roll of 1,000 instances is planned", "`go test -bench Next ./core/rollout`", took, plannerBar, ""})
	return nil
}

// measureGrowingPlaces finds places on ever more agents.
func (b *bench) measureGrowingPlaces(ctx context.Context) error {
	b.say("places on 1,000, 10,000 and 100,000 agents")
	found, err := b.measureParts(ctx, goBench{of: "./core/placement", name: "Growth", times: placesEach, rounds: 1})
	if err != nil {
		return err
	}
	var costs []time.Duration
	for _, agents := range grownSizes {
		costs = append(costs, found.took(fmt.Sprintf("agents=%d", agents), "cpu-ns/op", time.Nanosecond)...)
	}
	if len(costs) != len(grownSizes) {
		return errNothing
	}
	b.results.of(growthSection).addGrowth("placement: processor time to find a place for a copy of a job and claim it; with 1,000 / 10,000 / 100,000 agents",
		"`go test -bench Growth ./core/placement`", costs)
	return nil
}

// measureGrowingClusters measures ever larger clusters.
func (b *bench) measureGrowingClusters(ctx context.Context) error {
	r := b.results.of(growthSection)
	b.say("clusters of 1,000, 10,000 and 100,000 tasks")
	v, err := b.measureFleet(ctx, "Growth", growthWithin)
	if err != nil {
		return err
	}
	const how = "`go test -bench Growth ./fleet`"
	if v == nil {
		r.noEnd("clusters of 1,000, 10,000 and 100,000 tasks", how, growthWithin)
		return nil
	}
	for _, grown := range []struct{ unit, what string }{
		{"load", "load: from the start of the master's process to its first answered write"},
		{"list", "list: all pages"},
		{"watch", "watch: the first answer of a watch of everything"},
		{"deploy", "deploy: a service of a tenth as many instances"},
	} {
		var costs []time.Duration
		for _, size := range grownSizes {
			costs = append(costs, v.took(fmt.Sprintf("%s-%d-ms", grown.unit, size)))
		}
		r.addGrowth(grown.what+"; with 1,000 / 10,000 / 100,000 tasks", how, costs)
	}
	return nil
}

// addGrowth notes what something costs at each of grownSizes, and the exponent with
// which that grows.
func (r *rows) addGrowth(what, how string, costs []time.Duration) {
	var parts []string
	var each []float64
	for _, cost := range costs {
		parts, each = append(parts, report.Duration(cost)), append(each, cost.Seconds())
	}
	r.addFact(what, how, fmt.Sprintf("%s; exponent %.2f", strings.Join(parts, " / "), exponent(grownSizes, each)), 1)
}

// exponent returns the one of the power of the size that fits the costs best, by least
// squares of the logarithms.
func exponent(sizes []int, costs []float64) float64 {
	var sumX, sumY, sumXY, sumXX float64
	for i, size := range sizes {
		x, y := math.Log(float64(size)), math.Log(costs[i])
		sumX, sumY, sumXY, sumXX = sumX+x, sumY+y, sumXY+x*y, sumXX+x*x
	}
	n := float64(len(sizes))
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}
