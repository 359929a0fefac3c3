package spec

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// durationRule returns a rule for a time span.
func durationRule(low, high time.Duration) rule[time.Duration] {
	return leaf[time.Duration]{
		want:  fmt.Sprintf("a duration from %s to %s such as 500ms, 2s, 5m, 1h or 1d", formatDuration(low), formatDuration(high)),
		shape: shape{form: textForm, pattern: `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h|d))+$`},
		parse: func(text string) (time.Duration, error) {
			d, err := parseDuration(text)
			if err != nil {
				return 0, err
			}
			if d < low || d > high {
				return 0, errForm
			}
			return d, nil
		},
		print: formatDuration,

		numbersToo: true,
	}.rule()
}

// parseDuration reads what time.ParseDuration reads, with days before the rest.
func parseDuration(text string) (time.Duration, error) {
	if isNumber(text) {
		return 0, errors.New("a number needs its unit")
	}
	days, rest, both := strings.Cut(text, "d")
	if !both {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, errForm
		}
		return d, nil
	}
	const daysMax = 100_000 // below what a time.Duration holds
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > daysMax {
		return 0, errForm
	}
	if rest == "" {
		return time.Duration(n) * day, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || d > day {
		return 0, errForm
	}
	return time.Duration(n)*day + d, nil
}

// formatDuration prints d so that parseDuration reads it back, in one unit
// where that is exact.
func formatDuration(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}}
	if d == 0 {
		return "0s"
	}
	for _, unit := range units {
		if d%unit.size == 0 {
			return strconv.FormatInt(int64(d/unit.size), 10) + unit.name
		}
	}
	return d.String()
}
