package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// partsWithin is how long the benchmarks of one package may take.
const partsWithin = 90 * time.Second

// parts are what each part of a benchmark reported, once for each round.
type parts map[string][]values

// goBench is a benchmark of a package of the product that needs nothing around it.
type goBench struct {
	of, name      string
	times, rounds int // in each of so many rounds it is run so many times
}

// measureParts runs a benchmark.
func (b *bench) measureParts(ctx context.Context, g goBench) (parts, error) {
	test, err := b.buildTest(ctx, g.of)
	if err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, partsWithin)
	defer cancel()
	command := exec.CommandContext(within, test, "-test.run", "^$", "-test.bench", "^Benchmark"+g.name+"$",
		"-test.benchtime", strconv.Itoa(g.times)+"x", "-test.count", strconv.Itoa(g.rounds))
	output, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", command, err, output)
	}
	return parseParts(string(output), g.name), nil
}

// parseParts reads what a benchmark printed.
func parseParts(output, name string) parts {
	found := make(parts)
	for line := range strings.Lines(output) {
		rest, ok := strings.CutPrefix(line, "Benchmark"+name+"/")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) < 4 {
			continue
		}
		part, each := fields[0], make(values)
		if at := strings.LastIndex(part, "-"); at > 0 {
			part = part[:at] // the processors
		}
		for i := 2; i+1 < len(fields); i += 2 {
			each[fields[i+1]], _ = strconv.ParseFloat(fields[i], 64) // go test prints numbers
		}
		found[part] = append(found[part], each)
	}
	return found
}

// took returns how long a part took in each round, sorted: by a unit that is so long.
func (p parts) took(part, unit string, long time.Duration) []time.Duration {
	var list []time.Duration
	for _, v := range p[part] {
		list = append(list, time.Duration(v[unit]*float64(long)))
	}
	slices.Sort(list)
	return list
}
