// Package report prints what a bench measured so that people can compare it at a
// glance: three digits and the unit that fits, and of many measurements a few.
//
// It rounds, and so its words are for reading; whoever decides on a figure uses
// the measured value.
package report

import (
	"strconv"
	"time"
)

// Duration prints a duration with three digits in the largest unit that fits, as
// in 1.25s, 42.0ms or 310µs.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-d)
	}
	switch {
	case d < time.Microsecond:
		return strconv.FormatInt(d.Nanoseconds(), 10) + "ns"
	case d < time.Millisecond:
		return digits(float64(d)/float64(time.Microsecond)) + "µs"
	case d < time.Second:
		return digits(float64(d)/float64(time.Millisecond)) + "ms"
	default:
		return digits(d.Seconds()) + "s"
	}
}

// Quantile returns the value that percent of the sorted ones do not exceed.
func Quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1]
}

// digits prints a number of at least 1 with three digits, or with all that stand
// before its point.
func digits(n float64) string {
	decimals := 2
	switch {
	case n >= 99.95:
		decimals = 0
	case n >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(n, 'f', decimals, 64)
}
