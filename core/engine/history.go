package engine

import (
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
)

// trimEnded forgets the oldest ended tasks of a service beyond those that are
// kept. The tasks of runs that are not over, and of the newest run, are kept
// all: they tell which copies are done. So are those that a silent agent may
// still run.
func (e *Engine) trimEnded(s *service) {
	excess, seen := len(s.ended)-e.config.EndedMax, 0
	var spared []*entry
	for excess > 0 && seen < len(s.ended) && !s.ofKeptRun(s.ended[seen]) {
		t := s.ended[seen]
		if seen++; e.mayRun(t) {
			spared = append(spared, t)
			continue
		}
		excess--
		delete(e.tasks, t.record.ID)
		e.batch.dropTask(t)
	}
	s.ended = slices.Replace(s.ended, 0, seen, spared...)
}

// mayRun reports whether a task was given up and its agent may still run it.
func (e *Engine) mayRun(t *entry) bool {
	m := e.agents[t.record.Claim.Agent]
	return m != nil && m.lost[t.record.ID] != nil
}

func (s *service) ofKeptRun(t *entry) bool {
	runs := s.record.Kind == spec.Job || s.record.Kind == spec.Cron
	return runs && (t.record.Run == s.record.Run || slices.Contains(s.record.Runs, t.record.Run))
}

// trimDeployments forgets the oldest ended deployments beyond those that are
// kept.
func (e *Engine) trimDeployments(s *service) {
	for len(s.deployments) > e.config.DeploymentsMax && s.deployments[0].State.Ended() {
		delete(e.deployments, s.deployments[0].ID)
		e.batch.put(s.deployments[0].Key(), nil)
		s.deployments = slices.Delete(s.deployments, 0, 1)
	}
}

// trimRevisions forgets the oldest revisions beyond those that are kept, but
// none that is wanted, good, on its way, or that a task still has.
func (e *Engine) trimRevisions(s *service) {
	excess := len(s.revisions) - e.config.RevisionsMax
	if excess <= 0 {
		return
	}
	used := map[id.Revision]bool{s.record.Revision: true, s.record.LastGood: true, s.record.Newest: true}
	if d := s.deployment(); d != nil {
		used[d.From], used[d.To] = true, true
	}
	for _, list := range [][]*entry{s.live, s.ended} {
		for _, t := range list {
			used[t.record.Revision] = true
		}
	}
	for _, number := range s.numbers() {
		if excess == 0 {
			return
		}
		if used[number] {
			continue
		}
		excess--
		delete(s.revisions, number)
		e.batch.put(RevisionKey(s.record.Name, number), nil)
	}
}
