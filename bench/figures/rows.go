package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// rows are the lines of a section in which each figure has its median, p99 and
// number of measurements beside what others do.
type rows struct {
	lines  []string
	missed bool
}

// span is how long something took, again and again.
type span struct {
	what, command string
	took          []time.Duration
	bar           time.Duration // 0: none
	others        string        // what others need, measured apart
}

// addTimes holds the median of measurements to its bar.
func (r *rows) addTimes(s span) {
	slices.Sort(s.took)
	median, p99 := report.Quantile(s.took, 50), report.Quantile(s.took, 99)
	r.add(line{
		what: s.what, command: s.command, bar: "under " + report.Duration(s.bar), median: report.Duration(median),
		p99: report.Duration(p99), n: len(s.took), others: s.others, met: median < s.bar,
	})
}

// addCount wants that something never happened.
func (r *rows) addCount(what, command string, count, n int, others string) {
	r.add(line{what: what, command: command, bar: "0", median: fmt.Sprint(count), p99: "-", n: n, others: others, met: count == 0})
}

// addFact notes what has no bar.
func (r *rows) addFact(what, command, value string, n int) {
	r.add(line{what: what, command: command, bar: "-", median: value, p99: "-", n: n, met: true})
}

// line is one figure in words.
type line struct {
	what, command, bar, median, p99 string
	n                               int
	others                          string
	met                             bool
}

func (r *rows) add(l line) {
	verdict := "met"
	switch {
	case l.bar == "-":
		verdict = ""
	case !l.met:
		verdict = "**missed**"
	}
	r.missed = r.missed || !l.met
	r.lines = append(r.lines, fmt.Sprintf("| %s | %s | %s | %s | %s | %d | %s | %s |", l.what, l.command, l.bar, l.median, l.p99, l.n, l.others, verdict))
}

// markdown returns the table.
func (r *rows) markdown() string {
	return "| what | how | bar | median | p99 | n | others, measured apart | |\n|---|---|---|---:|---:|---:|---|---|\n" +
		strings.Join(r.lines, "\n") + "\n"
}
