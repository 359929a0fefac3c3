package h2load_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/bench/h2load"
)

const report = `Application protocol: h2c
Stopped all clients for thread #0

finished in 1.00s, 55819.00 req/s, 4.53MB/s
requests: 55819 total, 55859 started, 55819 done, 55819 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 55819 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 4.53MB (4744811) total, 2.61MB (2735131) headers (space savings 50.51%), 981.19KB (1004742) data
                     min         max         mean         sd        +/- sd
time for request:       22us     28.54ms       668us      1.54ms    93.72%
time for connect:       47us       147us        90us        44us    75.00%
`

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want h2load.Report
		err  error
	}{
		"a run without errors":     {text: report, want: h2load.Report{Requests: 55819, PerSecond: 55819, Mean: 668 * time.Microsecond}},
		"requests that failed":     {text: strings.Replace(report, " 0 failed", " 3 failed", 1), err: h2load.ErrLost},
		"answers that are errors":  {text: strings.Replace(report, "55819 2xx, 0 3xx, 0 4xx, 0", "55818 2xx, 0 3xx, 0 4xx, 1", 1), err: h2load.ErrLost},
		"nothing":                  {text: "", err: h2load.ErrReport},
		"a mean that is no time":   {text: strings.Replace(report, "668us", "668", 1), err: h2load.ErrReport},
		"a report without a count": {text: strings.Replace(report, "requests:", "request:", 1), err: h2load.ErrReport},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			got, err := h2load.Parse(tc.text)

			if !errors.Is(err, tc.err) || got != tc.want {
				t.Errorf("Parse = %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(report)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := h2load.Parse(text)
		if err != nil && got != (h2load.Report{}) {
			t.Errorf("Parse = %+v with %v", got, err)
		}
	})
}
