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
)

// grownSizes are the tasks of the clusters that are compared.
var grownSizes = []int{1_000, 10_000, 100_000} //nolint:gochecknoglobals // a constant

// measureGrowth measures a large roll, and how costs grow with the cluster.
func (b *bench) measureGrowth(ctx context.Context) error {
	r := b.results.of(growthSection)
	b.say("1,000 instances are replaced")
	v, err := b.measureFleet(ctx, "Roll", growthWithin)
	if err != nil {
		return err
	}
	const rollHow, roll = "`go test -bench Roll ./fleet`", "1,000 instances on 100 simulated agents, surge 10 %, settle 0"
	if v == nil {
		r.noEnd(roll, rollHow, growthWithin)
	} else {
		r.under(roll+": all are of the new revision", rollHow, v.took("roll-ms"), rollBar, "")
		r.addFact(roll+": the first revision, and processor time of the master for the second", rollHow,
			fmt.Sprintf("%s, %.2f s", report.Duration(v.took("first-ms")), v["master-cpu-s"]), 1)
	}
	b.say("clusters of 1,000, 10,000 and 100,000 tasks")
	v, err = b.measureFleet(ctx, "Growth", growthWithin)
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
		var parts []string
		var each []float64
		for _, size := range grownSizes {
			took := v.took(fmt.Sprintf("%s-%d-ms", grown.unit, size))
			parts, each = append(parts, report.Duration(took)), append(each, took.Seconds())
		}
		r.addFact(grown.what+"; with 1,000 / 10,000 / 100,000 tasks", how, fmt.Sprintf("%s; exponent %.2f", strings.Join(parts, " / "), exponent(grownSizes, each)), 1)
	}
	return nil
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
