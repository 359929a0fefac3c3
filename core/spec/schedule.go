package spec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	// The arithmetic of cron lines over months and changes of the clock is easy
	// to get wrong. This module has it, and is as pure as core: it parses a text
	// and computes from a time that it is given.
	"github.com/robfig/cron/v3"
)

// String returns what to do as a spec file names it.
func (o Overlap) String() string {
	names := []string{"skip", "allow", "replace"}
	if int(o) >= len(names) {
		return ""
	}
	return names[o]
}

// Next returns the first time of the schedule after the given one. The zone is
// that of s.Timezone, which the caller has looked up; nil is UTC. Where clocks
// are put forward, times that are left out do not come that day; where they are
// put back, times that come twice count twice.
func Next(s Schedule, zone *time.Location, after time.Time) (time.Time, error) {
	line, err := parseLine(s.Line)
	if err != nil {
		return time.Time{}, fmt.Errorf("schedule %q: %w", s.Line, err)
	}
	if zone == nil {
		zone = time.UTC
	}
	next := line.Next(after.In(zone))
	if next.IsZero() {
		return time.Time{}, fmt.Errorf("schedule %q: no such time comes within five years", s.Line)
	}
	return next, nil
}

func lineRule() rule[string] {
	l := textLeaf("five fields as in 30 3 * * *, or @hourly, @daily, @weekly, @monthly, @yearly or @every 10m", "", func(line string) error {
		_, err := parseLine(line)
		return err
	})
	return optional(l.quoting())
}

func parseLine(line string) (cron.Schedule, error) {
	if span, ok := strings.CutPrefix(line, "@every "); ok {
		d, err := parseDuration(strings.TrimSpace(span))
		if err != nil || d < time.Second {
			return nil, errors.New("@every wants a duration of at least 1s")
		}
		line = "@every " + d.String()
	}
	if !strings.HasPrefix(line, "@") {
		if err := checkFields(line); err != nil {
			return nil, err
		}
		line = withSundays(line)
	}
	schedule, err := cron.ParseStandard(line)
	if err != nil {
		return nil, fmt.Errorf("%v", err)
	}
	leapYear := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	if schedule.Next(leapYear).IsZero() {
		return nil, errors.New("there is no such day")
	}
	return schedule, nil
}

// The day of the week is the last of five fields; 0 is Sunday for the parser, and 7 too
// for whoever writes a line.
const (
	lineFields  = 5
	sundayAgain = 7
)

// withSundays writes the days of the week of a line without 7, as the parser wants
// them. What is wrong stays as it is, and the parser says so.
func withSundays(line string) string {
	fields := strings.Fields(line)
	if len(fields) != lineFields {
		return line
	}
	parts := strings.Split(fields[lineFields-1], ",")
	for i, part := range parts {
		parts[i] = withoutSeven(part)
	}
	fields[lineFields-1] = strings.Join(parts, ",")
	return strings.Join(fields, " ")
}

// withoutSeven writes a range of days that ends with 7, or 7 alone, as a list.
func withoutSeven(part string) string {
	days, stepText, stepped := strings.Cut(part, "/")
	first, last, ranged := strings.Cut(days, "-")
	if !ranged {
		last = first
	}
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
			return part
		}
	}
	begin, known := dayOf(first)
	if end, _ := dayOf(last); !known || end != sundayAgain {
		return part
	}
	var list []string
	for ; begin <= sundayAgain; begin += step {
		list = append(list, strconv.Itoa(begin%sundayAgain))
	}
	return strings.Join(list, ",")
}

// dayOf reads a day of the week, from 0 to 7 or by the first letters of its name.
func dayOf(text string) (day int, known bool) {
	for d := range time.Saturday + 1 {
		if strings.EqualFold(text, d.String()[:len("Sun")]) {
			return int(d), true
		}
	}
	day, err := strconv.Atoi(text)
	return day, err == nil && day >= 0 && day <= sundayAgain
}

// checkFields refuses what the parser takes without a word, or panics at.
func checkFields(line string) error {
	if strings.Contains(line, "=") {
		return errors.New("the zone stands in timezone")
	}
	for field := range strings.FieldsSeq(line) {
		for part := range strings.SplitSeq(field, ",") {
			if part == "" {
				return fmt.Errorf("%q has a comma too many", clip(field))
			}
		}
	}
	return nil
}

// zoneRule returns a rule for the name of a zone; UTC is kept as "".
func zoneRule() rule[string] {
	l := textLeaf("a time zone such as Europe/Berlin", "^[A-Za-z0-9_+/-]+$", func(zone string) error {
		if !isWord(zone, "_+-/") || zone == "Local" || strings.HasPrefix(zone, "/") {
			return errForm
		}
		return nil
	})
	parse := l.parse
	l.parse = func(text string) (string, error) {
		zone, err := parse(text)
		if zone == "UTC" {
			return "", nil
		}
		return zone, err
	}
	return optional(l.quoting())
}

// checkSchedule reports a cron without a schedule, and an unknown zone.
func (d *decoder) checkSchedule(s *Spec, document Node) {
	if s.Kind == Cron && !d.given("schedule") {
		d.report(document, "schedule", "is missing; a cron wants one, as in schedule: 30 3 * * *")
	}
	zone := s.Schedule.Timezone
	if zone != "" && (d.zones == nil || !d.zones(zone)) {
		d.problemAt("timezone", "unknown time zone %q; want an IANA name such as Europe/Berlin", clip(zone))
	}
}
