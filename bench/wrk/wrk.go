// Package wrk runs the load generator wrk and reads its report.
//
// wrk is closed-loop: it tells how much a proxy can carry, not whether a
// deployment loses requests. Errors and answers other than 2xx and 3xx are an
// error of the run, because a proxy that refuses is fast.
package wrk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

var (
	// ErrReport is the error for a report that is not wrk's.
	ErrReport = errors.New("not a report of wrk")
	// ErrLost is the error for a run in which requests failed.
	ErrLost = errors.New("requests failed")
)

// Config says what a run is to do.
type Config struct {
	URL         string
	Host        string // of the requests
	Connections int
	Takes       time.Duration // whole seconds
}

// Report is what a run measured.
type Report struct {
	Requests  int
	PerSecond float64
	P50, P99  time.Duration
}

// Run measures what Config says with two threads, and returns its report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	command := exec.CommandContext(ctx, "wrk",
		"--threads", "2", "--latency",
		"--connections", strconv.Itoa(cfg.Connections),
		"--duration", strconv.Itoa(int(cfg.Takes.Seconds()))+"s",
		"--header", "Host: "+cfg.Host, cfg.URL)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return Report{}, fmt.Errorf("wrk against %s: %w\n%s", cfg.URL, err, output.Bytes())
	}
	report, err := Parse(output.String())
	if err != nil {
		return Report{}, fmt.Errorf("wrk against %s: %w", cfg.URL, err)
	}
	return report, nil
}

// Parse reads what wrk prints. The error wraps ErrLost where requests failed,
// else ErrReport.
func Parse(text string) (Report, error) {
	if problem := regexp.MustCompile(`(Socket errors|Non-2xx or 3xx responses):.*`).FindString(text); problem != "" {
		return Report{}, fmt.Errorf("%w: %s", ErrLost, problem)
	}
	var report Report
	var problems []error
	find := func(pattern string) string {
		found := regexp.MustCompile(pattern).FindStringSubmatch(text)
		if found == nil {
			problems = append(problems, fmt.Errorf("%w: no %s", ErrReport, pattern))
			return ""
		}
		return found[1]
	}
	note := func(err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%w: %v", ErrReport, err))
		}
	}
	requests, perSecond := find(`(\d+) requests in`), find(`Requests/sec:\s+([0-9.]+)`)
	p50, p99 := find(`(?m)^\s+50%\s+(\S+)`), find(`(?m)^\s+99%\s+(\S+)`)
	if len(problems) > 0 {
		return Report{}, errors.Join(problems...)
	}
	var err error
	report.Requests, err = strconv.Atoi(requests)
	note(err)
	report.PerSecond, err = strconv.ParseFloat(perSecond, 64)
	note(err)
	report.P50, err = time.ParseDuration(p50)
	note(err)
	report.P99, err = time.ParseDuration(p99)
	note(err)
	if len(problems) > 0 {
		return Report{}, errors.Join(problems...)
	}
	return report, nil
}
