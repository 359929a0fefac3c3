package wrk_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/wrk"
)

const report = `Running 2s test @ http://127.0.0.1:18181/
  2 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   315.05us  498.00us  11.40ms   97.19%
    Req/Sec    34.28k     2.58k   39.16k    82.50%
  Latency Distribution
     50%  245.00us
     75%  335.00us
     90%  406.00us
     99%    2.95ms
  136461 requests in 2.01s, 19.52MB read
Requests/sec:  68021.37
Transfer/sec:      9.73MB
`

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want wrk.Report
		err  error
	}{
		"a run without errors": {
			text: report,
			want: wrk.Report{Requests: 136461, PerSecond: 68021.37, P50: 245 * time.Microsecond, P99: 2950 * time.Microsecond},
		},
		"answers that are errors":    {text: report + "  Non-2xx or 3xx responses: 7\n", err: wrk.ErrLost},
		"connections that broke":     {text: report + "  Socket errors: connect 0, read 3, write 0, timeout 0\n", err: wrk.ErrLost},
		"nothing":                    {text: "", err: wrk.ErrReport},
		"a report without latencies": {text: "  12 requests in 2.01s, 1MB read\nRequests/sec: 6\n", err: wrk.ErrReport},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := wrk.Parse(tc.text)

			if !errors.Is(err, tc.err) || got != tc.want {
				t.Errorf("Parse = %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(report)
	f.Add("Socket errors:")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := wrk.Parse(text)
		if err != nil && got != (wrk.Report{}) {
			t.Errorf("Parse = %+v with %v", got, err)
		}
	})
}
