package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// ServiceBreaker is the breaker of one service. It opens when too many of its
// instances turn unhealthy together: what they ask, or who asks them, is rather
// at fault than each of them. While it is open none is replaced or stopped for it.
type ServiceBreaker struct {
	OpenSince time.Time // zero while it is closed
	From      time.Time // while it is open: instances that were unhealthy before do not count
	Released  time.Time // an operator ended it then: instances that were unhealthy already do not count any more
}

// Open reports whether the breaker is open.
func (b ServiceBreaker) Open() bool { return !b.OpenSince.IsZero() }

// spares reports whether instances of a service that are unhealthy are left alone.
func (e *Engine) spares(s *service) bool { return e.frozen() || s.record.Breaker.Open() }

// noteHealth tells of a task that turned unhealthy, or healthy again.
func (e *Engine) noteHealth(t *entry, before task.Status) {
	after := t.record.Status
	note := Note{Service: t.record.Service, Task: t.record.ID, Agent: t.record.Claim.Agent}
	switch {
	case after.IsUnhealthy() && !before.IsUnhealthy():
		t.owner.turned = true
		note.Kind, note.Text = TaskUnhealthy, after.Unhealthy
	case before.IsUnhealthy() && !after.IsUnhealthy() && after.Attempt == before.Attempt && after.State.Live() && after.State != task.Backoff:
		note.Kind, note.Text = TaskHealthy, "alive again"
	default:
		return
	}
	e.note(note)
}

// tendService opens and closes the breaker of a service, as tendBreaker does that
// of the cluster, over its instances whose programs run.
func (e *Engine) tendService(s *service) {
	turned, b := s.turned, s.record.Breaker
	s.turned = false
	if s.record.Kind != spec.Service {
		return
	}
	switch {
	case b.Open():
		if sick, all := s.sick(b.From); !e.breaker().trips(len(sick), all) {
			e.putService(s, func(r *Service) { r.Breaker.OpenSince, r.Breaker.From = time.Time{}, time.Time{} })
			e.note(Note{Kind: BreakerClosed, Service: s.record.Name, Text: fmt.Sprintf("%d of %s unhealthy", len(sick), resource.Count(all, "instance"))})
		}
	case turned:
		from := s.newestSickness().Add(-window(e.breaker()))
		if sick, all := s.sick(from); e.breaker().trips(len(sick), all) {
			e.putService(s, func(r *Service) { r.Breaker.OpenSince, r.Breaker.From = e.now, from })
			e.note(Note{Kind: BreakerOpened, Service: s.record.Name, Text: fmt.Sprintf("%d of %s turned unhealthy within %v; none is replaced or stopped for it",
				len(sick), resource.Count(all, "instance"), window(e.breaker()))})
		}
	}
}

// sick returns the instances that turned unhealthy since then, and the number of
// all whose programs run.
func (s *service) sick(from time.Time) (sick []*Task, all int) {
	for _, t := range s.live {
		if t.state() != task.Running && t.state() != task.Ready {
			continue
		}
		all++
		since := t.record.Status.UnhealthySince
		if t.record.Status.IsUnhealthy() && !since.Before(from) && since.After(s.record.Breaker.Released) {
			sick = append(sick, t.record)
		}
	}
	return sick, all
}

func (s *service) newestSickness() time.Time {
	var newest time.Time
	for _, t := range s.live {
		if since := t.record.Status.UnhealthySince; since.After(newest) {
			newest = since
		}
	}
	return newest
}

// releaseService closes the breaker of a service. It reports whether it was open.
func (e *Engine) releaseService(s *service) bool {
	if !s.record.Breaker.Open() {
		return false
	}
	sick, all := s.sick(s.record.Breaker.From)
	e.putService(s, func(r *Service) { r.Breaker = ServiceBreaker{Released: e.now} })
	e.note(Note{Kind: BreakerReleased, Service: s.record.Name, Text: fmt.Sprintf("by an operator, with %d of %s unhealthy", len(sick), resource.Count(all, "instance"))})
	return true
}

// touchUnhealthy has every service planned that has an unhealthy instance.
func (e *Engine) touchUnhealthy() {
	for _, s := range e.services {
		if slices.ContainsFunc(s.live, func(t *entry) bool { return t.record.Status.IsUnhealthy() }) {
			e.touch(s)
		}
	}
}

// SickService is a service whose breaker is open.
type SickService struct {
	ServiceBreaker
	Service   id.Service
	Unhealthy []*Task // oldest first
	Instances int     // whose programs run
}

// explainHealth says since when a task is not alive, and what follows.
func (e *Engine) explainHealth(t *entry) []string {
	status := t.record.Status
	if !status.IsUnhealthy() || !status.State.Live() {
		return nil
	}
	line := fmt.Sprintf("since %s it is %s", status.UnhealthySince.Format(clock), status.Unhealthy)
	if e.spares(t.owner) {
		return []string{line, "the breaker is open: it is left alone; see 'aloft breaker'"}
	}
	return []string{line + "; it is stopped when another one takes its place"}
}
