package report_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	tests := map[string]time.Duration{
		"0ns":    0,
		"999ns":  999,
		"1.00µs": time.Microsecond,
		"310µs":  310 * time.Microsecond,
		"42.0ms": 42 * time.Millisecond,
		"9.99ms": 9990 * time.Microsecond,
		"10.0ms": 9996 * time.Microsecond,
		"100ms":  99960 * time.Microsecond,
		"1.25s":  1254 * time.Millisecond,
		"3600s":  time.Hour,
		"-1.50s": -1500 * time.Millisecond,
	}
	for want, d := range tests {
		if got := report.Duration(d); got != want {
			t.Errorf("Duration(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		n, percent, want int
	}{{0, 50, 0}, {1, 0, 1}, {1, 99, 1}, {3, 50, 2}, {4, 50, 2}, {100, 99, 99}, {101, 99, 100}} {
		var sorted []time.Duration
		for i := range tc.n {
			sorted = append(sorted, time.Duration(i+1))
		}
		if got := report.Quantile(sorted, tc.percent); got != time.Duration(tc.want) {
			t.Errorf("Quantile(1 to %d, %d) = %d, want %d", tc.n, tc.percent, got, tc.want)
		}
	}
}
