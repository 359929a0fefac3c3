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
