package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/load"
	"github.com/aloft-run/aloft/bench/report"
)

// table prints one line for each phase.
type table struct {
	out     io.Writer
	started bool
	notes   []string // for below the next line
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
	for _, note := range t.notes {
		fmt.Fprintf(t.out, "    %s\n", strings.ReplaceAll(note, "\n", "\n    "))
	}
	t.notes = nil
}

// note keeps what happened in a phase for below its line.
func (t *table) note(format string, arguments ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, arguments...))
}
