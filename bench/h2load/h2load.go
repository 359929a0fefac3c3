// Package h2load runs nghttp2's load generator h2load over HTTP/2 in cleartext, and
// reads its report.
//
// It is closed-loop, as wrk is: it tells how much a proxy can carry. Requests that
// fail, and answers other than 2xx, are an error of the run.
package h2load

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

var (
	// ErrReport is the error for a report that is not h2load's.
	ErrReport = errors.New("not a report of h2load")
	// ErrLost is the error for a run in which requests failed.
	ErrLost = errors.New("requests failed")
)

// Config says what a run is to do.
type Config struct {
	Address     string // host and port
	Host        string // of the requests
	Connections int
	Streams     int           // at the same time, on each
	Takes       time.Duration // whole seconds
}

// Report is what a run measured.
type Report struct {
	Requests  int
	PerSecond float64
	Mean      time.Duration
}

// Run measures what Config says with two threads, and returns its report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	command := exec.CommandContext(ctx, "h2load", "--threads=2", "--no-tls-proto=h2c",
		"--clients="+strconv.Itoa(cfg.Connections), "--max-concurrent-streams="+strconv.Itoa(cfg.Streams),
		"--duration="+strconv.Itoa(int(cfg.Takes.Seconds())), "--connect-to="+cfg.Address, "http://"+cfg.Host+"/")
	output, err := command.CombinedOutput()
	if err != nil {
		return Report{}, fmt.Errorf("h2load against %s: %w\n%s", cfg.Address, err, output)
	}
	report, err := Parse(string(output))
	if err != nil {
		return Report{}, fmt.Errorf("h2load against %s: %w", cfg.Address, err)
	}
	return report, nil
}

// Parse reads what h2load prints. The error wraps ErrLost where requests failed, else
// ErrReport.
func Parse(text string) (Report, error) {
	var report Report
	rate := regexp.MustCompile(`(?m)^finished in \S+, ([0-9.]+) req/s`).FindStringSubmatch(text)
	counts := regexp.MustCompile(`(?m)^requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout`).FindStringSubmatch(text)
	codes := regexp.MustCompile(`(?m)^status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx`).FindStringSubmatch(text)
	mean := regexp.MustCompile(`(?m)^time for request:\s+\S+\s+\S+\s+(\S+)`).FindStringSubmatch(text)
	if rate == nil || counts == nil || mean == nil {
		return report, fmt.Errorf("%w: no rate, counts or mean in %q", ErrReport, text)
	}
	if codes == nil || counts[2] != counts[1] || counts[3] != "0" || counts[4] != "0" || counts[5] != "0" {
		return report, fmt.Errorf("%w: %s", ErrLost, text)
	}
	requests, wrongCount := strconv.Atoi(counts[1])
	perSecond, wrongRate := strconv.ParseFloat(rate[1], 64)
	took, wrongMean := time.ParseDuration(mean[1])
	if err := errors.Join(wrongCount, wrongRate, wrongMean); err != nil {
		return report, fmt.Errorf("%w: %v", ErrReport, err)
	}
	return Report{Requests: requests, PerSecond: perSecond, Mean: took}, nil
}
