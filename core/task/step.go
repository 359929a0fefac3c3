package task

import (
	"fmt"
	"time"
)

// MoveError says that an event cannot happen in a state.
type MoveError struct {
	From  State
	Event Event
}

func (e *MoveError) Error() string {
	return fmt.Sprintf("a task that is %s has no move %q", e.From, e.Event)
}

// Step returns the status after e. It returns s unchanged and a *MoveError when
// e cannot happen in that state; nothing can happen to a task that has ended.
//
// Since never goes back, whatever the clock does, and a task that stops being
// ready does so strictly later than it became ready: so Observe can tell which
// of two reports is newer.
func Step(s Status, e Event) (Status, error) {
	if next, ok := e.step(s); ok {
		return next, nil
	}
	return s, &MoveError{From: s.State, Event: e}
}

func (e Assign) step(s Status) (Status, bool) {
	return s.enter(Assigned, e.At, ""), s.State == Pending
}

func (e Block) step(s Status) (Status, bool) {
	s.Reason = e.Reason
	return s, s.State == Pending
}

func (e Accept) step(s Status) (Status, bool) {
	legal := (s.State == Assigned || s.State == Backoff) && e.Attempt == s.Attempt+1
	s.Attempt, s.RetryAt = e.Attempt, time.Time{}
	return s.enter(Starting, e.At, ""), legal
}

func (e Start) step(s Status) (Status, bool) {
	return s.enter(Running, e.At, ""), s.State == Starting
}

func (e BecomeReady) step(s Status) (Status, bool) {
	next := s.enter(Ready, e.At, "")
	next.ReadySince = next.Since
	return next, s.State == Running
}

func (e BecomeUnready) step(s Status) (Status, bool) {
	if s.State != Ready {
		s.Reason = e.Reason
		return s, s.State == Running
	}
	next := s.forgive(e.At).enter(Running, later(e.At, s.Since.Add(1)), e.Reason)
	next.ReadySince = time.Time{}
	return next, true
}

func (e BecomeUnhealthy) step(s Status) (Status, bool) {
	legal := (s.State == Running || s.State == Ready) && !s.IsUnhealthy()
	s.Since = later(e.At, s.Since.Add(1))
	s.UnhealthySince, s.Unhealthy = s.Since, e.Reason
	return s, legal
}

func (e BecomeHealthy) step(s Status) (Status, bool) {
	legal := (s.State == Running || s.State == Ready) && s.IsUnhealthy()
	s.Since = later(e.At, s.Since.Add(1))
	return s.cure(), legal
}

func (e End) step(s Status) (Status, bool) {
	if !s.State.HoldsClaim() || s.State == Backoff {
		return s, false
	}
	s = s.forgive(e.At)
	reason := "no program was started"
	if e.Exit != nil {
		exit := *e.Exit
		s.Last, reason = &exit, exit.String()
	}
	s = s.clear()
	switch {
	case s.State == Stopping:
		return s.enter(Stopped, e.At, s.Reason), true
	case e.Completes && e.Exit != nil && e.Exit.Good():
		return s.cure().enter(Finished, e.At, ""), true
	case s.State == Draining:
		return s.enter(Stopped, e.At, s.Reason), true
	}
	s = s.cure() // it failed by itself, or was ended for it: its exit tells
	s.Failures++
	if !e.Again {
		return s.enter(Failed, e.At, reason), true
	}
	s.RetryAt = e.RetryAt
	if s.RetryAt.IsZero() {
		s.RetryAt = e.At.Add(RetryDelay(s.Failures))
	}
	return s.enter(Backoff, e.At, reason), true
}

func (e Drain) step(s Status) (Status, bool) {
	next := s.enter(Draining, e.At, e.Reason)
	next.RetryAt = time.Time{}
	return next, s.State.Live() && s.State.HoldsClaim()
}

func (e Stop) step(s Status) (Status, bool) {
	if s.State == Pending {
		return s.enter(Stopped, e.At, e.Reason), true
	}
	if e.Reason == "" && s.State == Draining {
		e.Reason = s.Reason
	}
	next := s.enter(Stopping, e.At, e.Reason)
	next.RetryAt = time.Time{}
	return next, s.State.HoldsClaim() && s.State != Stopping
}

func (e Lose) step(s Status) (Status, bool) {
	return s.enter(Lost, e.At, e.Reason).clear(), s.State.HoldsClaim()
}

// enter returns s in another state.
func (s Status) enter(state State, at time.Time, reason string) Status {
	s.State, s.Since, s.Reason = state, later(at, s.Since), reason
	return s
}

// clear takes away what is only said of a task whose program runs or will.
func (s Status) clear() Status {
	s.ReadySince, s.RetryAt = time.Time{}, time.Time{}
	return s
}

// cure takes away that its program is not alive.
func (s Status) cure() Status {
	s.UnhealthySince, s.Unhealthy = time.Time{}, ""
	return s
}

// forgive forgets the failures of a task that has been ready for long enough.
func (s Status) forgive(at time.Time) Status {
	if s.State == Ready && at.Sub(s.ReadySince) >= ResetAfter {
		s.Failures = 0
	}
	return s
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
