package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// toldMax is how many of each kind of failure are told.
const toldMax = 20

// tellFault prints the line of a fault that is over.
func (s *story) tellFault(f fault) {
	s.tell("%s", s.line(f))
}

// line tells a fault and what came of it.
func (s *story) line(f fault) string {
	name := f.part
	if f.leads {
		name += ", leader"
	}
	text := fmt.Sprintf("%7.1fs  %-11s %-26s %6.1fs  back after %-7s", f.from.Sub(s.began).Seconds(), name, f.name,
		f.to.Sub(f.from).Seconds(), report.Duration(f.back))
	if f.leads {
		text += "  API down " + report.Duration(f.apiDown)
	}
	if f.loses {
		text += "  full strength after " + report.Duration(f.whole)
	}
	if f.problems != nil {
		text += "\n          " + strings.ReplaceAll(f.problems.Error(), "\n", "\n          ")
	}
	return text
}

// sumUp prints the figures of the run and returns what was wrong with it.
func (s *story) sumUp(c counts, v verdict) error {
	faults := s.book.all()
	s.tell("\n%d faults", len(faults))
	s.spans("API down", faults, func(f fault) (time.Duration, bool) { return f.apiDown, f.leads })
	s.spans("full strength after", faults, func(f fault) (time.Duration, bool) { return f.whole, f.loses })
	s.tell("writes to the API by the probe: %d; the slowest that succeeded took %s", s.probe.writes, report.Duration(s.probe.slowest))
	for _, text := range slices.Sorted(maps.Keys(s.probe.refused)) {
		s.tell("    %d ended with: %s", s.probe.refused[text], text)
	}
	for _, what := range slices.Sorted(maps.Keys(s.tally.done)) {
		s.tell("operators: %-50s %d", what, s.tally.done[what])
	}
	for _, said := range s.tally.failed {
		s.tell("    %s", said)
	}
	slices.Sort(c.latencies)
	s.tell("requests: %d GETs, %d POSTs; p50 %s, p99 %s", c.gets, c.posts,
		report.Duration(report.Quantile(c.latencies, 50)), report.Duration(report.Quantile(c.latencies, 99)))
	for _, cause := range slices.Sorted(maps.Keys(c.again)) {
		s.tell("tries that clients repeated themselves, %s: %d", cause, c.again[cause])
	}
	s.some("POSTs in flight at what a fault took, counted apart", v.unsaved)
	s.some("lost though safe to save", v.lost)
	var problems []error
	if len(v.lost) > 0 {
		problems = append(problems, fmt.Errorf("%d requests were lost that were safe to save", len(v.lost)))
	}
	for _, law := range v.laws[:min(toldMax, len(v.laws))] {
		problems = append(problems, errors.New(law))
	}
	for _, wrong := range s.tally.wrong {
		problems = append(problems, errors.New(wrong))
	}
	for _, f := range faults {
		if f.problems != nil {
			problems = append(problems, fmt.Errorf("%s, %s: %w", f.part, f.name, f.problems))
		}
	}
	s.tell("%d failed of %d", len(v.lost), c.gets+c.posts-len(v.unsaved))
	return errors.Join(problems...)
}

// spans prints the spread of a duration over the faults that have it, for each kind.
func (s *story) spans(what string, faults []fault, of func(fault) (time.Duration, bool)) {
	all := make(map[string][]time.Duration)
	for _, f := range faults {
		if d, has := of(f); has {
			all[f.name] = append(all[f.name], d)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		list := all[kind]
		slices.Sort(list)
		s.tell("%-20s %-32s median %-7s most %-7s n %d", what, kind, report.Duration(report.Quantile(list, 50)), report.Duration(list[len(list)-1]), len(list))
	}
}

// some prints how many failures there are, and some of them.
func (s *story) some(what string, list []failure) {
	s.tell("%s: %d", what, len(list))
	for _, f := range list[:min(toldMax, len(list))] {
		s.tell("    %s", f)
	}
}
