package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
)

// service is what the engine knows of a service, job, daemon or cron.
type service struct {
	record      *Service
	revisions   map[id.Revision]*Revision
	deployments []*Deployment    // oldest first
	live        []*entry         // tasks that have not ended, oldest first
	ended       []*entry         // the newest that have, in the order of their ends
	claims      int              // tasks that hold one
	on          map[id.Agent]int // live tasks that are there and not about to leave
	rules       []route.Rule     // that no other service may have
	wakeAt      time.Time        // collected while it is planned
	tellAt      time.Time        // when the reasons for waiting are due to be written down anew
	stray       int              // lost tasks that a silent agent may still have
	turned      bool             // an instance turned unhealthy since its breaker was tended
	unjudged    bool             // loaded: the failures that rollout sees are already counted
	waiting     string           // what the newest plan waits for
	copies      copies
	stirred     bool // since that plan tasks have taken steps that it need not know of
	doubled     bool // a copy of a job may have two tasks that live: one came back
}

// wanted returns the revision that is wanted, nil if there is none.
func (s *service) wanted() *Revision { return s.revisions[s.record.Revision] }

// generation returns the first revision whose instances are the same as those
// of the given one; 0 for none.
func (s *service) generation(number id.Revision) id.Revision {
	if r := s.revisions[number]; r != nil {
		return r.Generation
	}
	return 0
}

// current reports whether a task's program is that of the wanted revision.
func (s *service) current(t *entry) bool {
	generation := s.generation(s.record.Revision)
	return generation != 0 && s.generation(t.record.Revision) == generation
}

// specOf returns the spec that a task lives by: settings of the wanted revision
// that need no new instances are already in effect for it.
func (s *service) specOf(t *entry) *spec.Spec {
	if s.current(t) {
		return s.wanted().Spec
	}
	return t.spec()
}

// deployment returns the one that runs, nil if there is none.
func (s *service) deployment() *Deployment {
	if s.record.Deployment == "" {
		return nil
	}
	return s.findDeployment(s.record.Deployment)
}

func (s *service) findDeployment(name id.Deployment) *Deployment {
	for _, d := range slices.Backward(s.deployments) {
		if d.ID == name {
			return d
		}
	}
	return nil
}

// count counts a task that came to an agent, or is about to leave it.
func (s *service) count(agent id.Agent, came bool) {
	by := 1
	if !came {
		by = -1
	}
	if s.copies.batch != nil {
		s.copies.batch.Count(agent, by)
	}
	if s.on[agent] += by; s.on[agent] == 0 {
		delete(s.on, agent)
	}
}

// snapshot returns the live tasks, for a walk that ends some of them.
func (s *service) snapshot() []*entry { return slices.Clone(s.live) }

// numbers returns the numbers of the revisions that are kept, ascending.
func (s *service) numbers() []id.Revision { return slices.Sorted(maps.Keys(s.revisions)) }

// wakeBy has the service planned again at that time, if not earlier.
func (s *service) wakeBy(at time.Time) { s.wakeAt = earliest(s.wakeAt, at) }

// earliest returns the earlier of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// putService replaces a service's record by a changed copy.
func (e *Engine) putService(s *service, change func(*Service)) {
	next := *s.record
	change(&next)
	s.record = &next
	e.batch.put(next.Key(), &next)
	e.touch(s)
}

// edit is putService for what an operator changes.
func (e *Engine) edit(s *service, change func(*Service)) {
	e.putService(s, func(r *Service) {
		change(r)
		r.Version++
		r.ChangedAt = e.now
	})
	e.tableStale[s.record.Name] = struct{}{}
	e.roomGrew() // it may have more claims now
}

// operated finds the service that an operator's event names.
func (e *Engine) operated(name id.Service, version int64) (*service, error) {
	s, found := e.services[name]
	if !found {
		return nil, unknown("service", name)
	}
	return s, fresh("service", name, version, s.record.Version)
}
