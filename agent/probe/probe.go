// Package probe asks a task, again and again, how it is, and tells when the
// answer changes.
//
// Until the first good answer it asks often, from 25 ms growing to the wished
// pace, so that a fast program is in service fast. One question is asked at a
// time: a slow answer delays the next question and never adds to it. Questions
// leave no connection behind, so that a draining task waits for clients only.
//
// Whoever calls Run owns the probe; it ends with the context.
package probe

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Checker asks once. The error says what was wrong, in words for an operator.
type Checker interface {
	Check(ctx context.Context) error
}

// Config is the pace of a probe. Zero fields get their defaults.
type Config struct {
	Every       time.Duration // between questions; default 1s
	Timeout     time.Duration // of one question; default 1s
	First       time.Duration // to the second question; grows by half until Every; default 25ms, at most Every
	FailuresMax int           // this many bad answers in a row turn good into bad; default 3
	// Patience is for how long a program that was never good is not called bad.
	// Zero is for ever: whoever waits for it has a deadline of their own.
	Patience time.Duration
}

func (c Config) withDefaults() Config {
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = time.Second
	}
	if c.First == 0 {
		c.First = min(25*time.Millisecond, c.Every)
	}
	if c.FailuresMax == 0 {
		c.FailuresMax = 3
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	for name, d := range map[string]time.Duration{"Every": c.Every, "Timeout": c.Timeout, "First": c.First} {
		if d <= 0 {
			problems = append(problems, fmt.Errorf("%s is %v; it must be positive", name, d))
		}
	}
	if c.FailuresMax < 0 || c.Patience < 0 {
		problems = append(problems, errors.New("FailuresMax and Patience must not be negative"))
	}
	return errors.Join(problems...)
}

// Verdict is what a probe thinks of its task.
type Verdict uint8

// The verdicts.
const (
	Unknown Verdict = iota // no good answer yet, and still patient
	Good                   // the last answers were good, or too few in a row were bad
	Bad                    // FailuresMax answers in a row were bad
)

func (v Verdict) String() string {
	switch v {
	case Good:
		return "good"
	case Bad:
		return "bad"
	default:
		return "unknown"
	}
}

// Result is a change of what is known.
type Result struct {
	Verdict  Verdict
	Error    string    // the last bad answer since the last good one, or ""
	Failures int       // bad answers in a row
	At       time.Time // when the answer came
}

// Run asks until ctx is done, and then returns its cause. It calls report, from
// its own goroutine, when the verdict changes, and, not more often than every
// cfg.Every, when a bad answer reads differently from the one before.
func Run(ctx context.Context, cfg Config, checker Checker, report func(Result)) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return fmt.Errorf("probe config: %w", err)
	}
	judge := judge{cfg: cfg, began: time.Now()}
	pause := cfg.First
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-due.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		asked := time.Now()
		err := ask(ctx, cfg.Timeout, checker)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if result, changed := judge.hear(err, time.Now()); changed {
			report(result)
		}
		if judge.told.Verdict == Good {
			pause = cfg.Every
		}
		due.Reset(max(0, pause-time.Since(asked)))
		pause = min(pause+pause/2, cfg.Every)
	}
}

// ask puts the question, and waits for the answer until the timeout and not a
// moment longer if the checker minds its context.
func ask(ctx context.Context, timeout time.Duration, checker Checker) error {
	late := fmt.Errorf("no answer in %v", timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, late)
	defer cancel()
	err := checker.Check(ctx)
	if err != nil && errors.Is(context.Cause(ctx), late) {
		return late
	}
	return err
}

// judge turns answers into verdicts. Its zero value knows nothing.
type judge struct {
	cfg      Config
	began    time.Time
	failures int
	told     Result
}

// hear takes one answer in, and returns what is known when that is news.
func (j *judge) hear(err error, now time.Time) (Result, bool) {
	known := Result{Verdict: j.told.Verdict, At: now}
	if err == nil {
		j.failures = 0
		known.Verdict = Good
	} else {
		j.failures++
		known.Error = err.Error()
		known.Failures = j.failures
		if j.failures >= j.cfg.FailuresMax && j.impatient(now) {
			known.Verdict = Bad
		}
	}
	turned := known.Verdict != j.told.Verdict
	reworded := known.Error != "" && known.Error != j.told.Error && now.Sub(j.told.At) >= j.cfg.Every
	if !turned && !reworded {
		return Result{}, false
	}
	j.told = known
	return known, true
}

// impatient reports whether a program that fails now may be called bad.
func (j *judge) impatient(now time.Time) bool {
	if j.told.Verdict != Unknown {
		return true
	}
	return j.cfg.Patience > 0 && now.Sub(j.began) >= j.cfg.Patience
}
