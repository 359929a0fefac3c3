package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// How many places are found in each measurement, how many of these are made of which the
// middle one counts, and so many more of those with a bar; how long all of them may take,
// and what the table asks for.
const (
	placesEach   = 100_000
	placesRounds = 3
	placesMore   = 12
	placesWithin = 5 * time.Minute

	plainBar  = 1_000_000 // places in a second, on 10,000 agents
	spreadBar = 200_000
	growthBar = 3 // times the cost, from 1,000 to 50,000 agents
)

// placeScales are the sizes of the clusters that places are found in.
var placeScales = []int{1_000, 10_000, 50_000} //nolint:gochecknoglobals // a constant

// places are the nanoseconds of processor time for each place, by what was measured and
// by agents.
type places map[string]map[int]float64

// measurePlacement runs the benchmark of the product's own module that finds and claims
// places, without a master around it.
func (b *bench) measurePlacement(ctx context.Context) error {
	b.say("places for %d tasks each, on up to 50,000 agents, in one thread", placesEach)
	test, err := b.buildTest(ctx, "./core/placement")
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, placesWithin)
	defer cancel()
	var printed strings.Builder
	for _, part := range []struct {
		what  string
		count int
	}{{"^BenchmarkPlaces$", placesRounds}, {"^BenchmarkPlaces$/^(plain|spread)$/^batch$", placesMore}} {
		command := exec.CommandContext(within, test, "-test.run", "^$", "-test.bench", part.what,
			"-test.benchtime", strconv.Itoa(placesEach)+"x", "-test.count", strconv.Itoa(part.count))
		output, err := command.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", command, err, output)
		}
		printed.Write(output)
	}
	b.results.placePlaces(parsePlaces(printed.String()))
	return nil
}

// parsePlaces reads what the benchmark printed, and takes the middle of the rounds.
func parsePlaces(output string) places {
	found := make(places)
	rounds := make(map[string][]float64) // by the line's name
	for line := range strings.Lines(output) {
		name, rest, _ := strings.Cut(strings.TrimPrefix(line, "BenchmarkPlaces/"), " ")
		what, size, sized := strings.Cut(name, "/agents=")
		size, _, _ = strings.Cut(size, "-")
		agents, err := strconv.Atoi(strings.TrimSpace(size))
		fields := strings.Fields(rest)
		for i := 1; sized && err == nil && i < len(fields); i++ {
			if value, wrong := strconv.ParseFloat(fields[i-1], 64); wrong == nil && fields[i] == "cpu-ns/op" {
				if found[what] == nil {
					found[what] = make(map[int]float64)
				}
				rounds[name] = append(rounds[name], value)
				found[what][agents] = median(rounds[name])
			}
		}
	}
	return found
}

// placePlaces holds what was measured to its bars, and adds how each grows.
func (r *results) placePlaces(found places) {
	const how = "`go test -bench Places ./core/placement`, processor time"
	limit, slow := found["plain/tree"][10_000], found["plain/oracle"][1_000]
	others := fmt.Sprintf("in the same run: a tree over free cpus and mem alone %s; the obvious way on 1,000 agents %s", rate(limit), rate(slow))
	for _, bar := range []struct {
		what, of string
		least    float64
	}{
		{"places on 10,000 agents, found and claimed, copies of jobs of 10,000", "plain/batch", plainBar},
		{"the same with a spread and two constraints", "spread/batch", spreadBar},
	} {
		cost := found[bar.of][10_000]
		r.of(placementSection).add(line{
			what: bar.what, command: how, bar: fmt.Sprintf("%.0f/s", bar.least), median: rate(cost), p99: "-", n: placesEach, others: others,
			met: cost > 0 && 1e9/cost >= bar.least,
		})
		growth := found[bar.of][50_000] / found[bar.of][1_000]
		r.of(placementSection).add(line{
			what: bar.what + ": the cost on 50,000 agents by that on 1,000", command: how, bar: fmt.Sprintf("under %d", growthBar),
			median: fmt.Sprintf("%.1f", growth), p99: "-", n: placesEach, met: growth < growthBar,
		})
	}
	for _, fact := range []struct{ what, of string }{
		{"copies", "plain/batch"},
		{"copies, a spread and two constraints", "spread/batch"},
		{"copies with a port", "ports/batch"},
		{"tasks one by one", "plain/single"},
		{"one by one, a spread and two constraints", "spread/single"},
		{"one by one with a port", "ports/single"},
		{"a refusal", "plain/refused"},
		{"a refusal, explained", "plain/explained"},
		{"the limit: a tree over cpus and mem alone", "plain/tree"},
	} {
		r.of(placementSection).addFact(fact.what+", on 1,000 / 10,000 / 50,000 agents", how, growthText(found[fact.of]), placesEach)
	}
}

// rate returns how often a second something is done that takes so many nanoseconds.
func rate(cost float64) string {
	if cost <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f/s", 1e9/cost)
}

// growthText says what something costs at each scale, and the exponent with which that
// grows.
func growthText(costs map[int]float64) string {
	var parts []string
	var each []float64
	for _, agents := range placeScales {
		if costs[agents] <= 0 {
			return "-"
		}
		parts, each = append(parts, fmt.Sprintf("%.2f", costs[agents]/1000)), append(each, costs[agents])
	}
	return fmt.Sprintf("%s µs, exponent %.2f", strings.Join(parts, " / "), exponent(placeScales, each))
}
