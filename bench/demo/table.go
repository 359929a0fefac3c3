package main

import (
	"fmt"
	"io"
	"time"

	"github.com/aloft-run/aloft/bench/load"
	"github.com/aloft-run/aloft/bench/report"
)

// table prints one line for each phase.
type table struct {
	out     io.Writer
	started bool
}

// line is what is told of a phase.
type line struct {
	tally load.Tally
	took  time.Duration
	above int // the most claims above the wished number
}

func (t *table) print(l line) {
	const format = "%-40s %9v %7v %9v %9v %8v %6v\n"
	if !t.started {
		t.started = true
		fmt.Fprintf(t.out, format, "phase", "requests", "failed", "p50", "p99", "seconds", "above")
	}
	fmt.Fprintf(t.out, format, l.tally.Phase, l.tally.Requests, len(l.tally.Failures),
		report.Duration(l.tally.P50), report.Duration(l.tally.P99), fmt.Sprintf("%.1f", l.took.Seconds()), fmt.Sprintf("+%d", l.above))
}
