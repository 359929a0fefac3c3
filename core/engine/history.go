package engine

import (
	"slices"

	"github.com/aloft-run/aloft/core/id"
)

// trimEnded forgets the oldest ended tasks of a service beyond those that are kept,
// and those that ended too long ago. The tasks of runs that are not over are kept
// all: they tell which copies are done; and so are those of the newest run, until they
// are too old. So are those that a silent agent may still run.
func (e *Engine) trimEnded(s *service) {
	excess, seen := len(s.ended)-e.config.EndedMax, 0
	var spared []*entry
	for seen < len(s.ended) && (e.isOld(s.ended[seen]) || excess > 0 && !s.ofKeptRun(s.ended[seen])) {
		t := s.ended[seen]
		if seen++; e.mayRun(t) {
			spared = append(spared, t)
			continue
		}
		excess--
		delete(e.tasks, t.record.ID)
		e.batch.dropTask(t)
	}
	if seen > 0 {
		s.ended = slices.Replace(s.ended, 0, seen, spared...)
	}
}

// trimOld forgets what has become too old of a service, and has it planned again when
// more has.
func (e *Engine) trimOld(s *service) {
	if e.config.EndedFor == 0 || len(s.ended) == 0 {
		return
	}
	e.trimEnded(s)
	if len(s.ended) > 0 && !e.isOld(s.ended[0]) && !s.ofOpenRun(s.ended[0]) { // else something else has it planned
		s.wakeBy(s.ended[0].record.Status.Since.Add(e.config.EndedFor))
	}
}

// isOld reports whether a task ended too long ago to be kept.
func (e *Engine) isOld(t *entry) bool {
	due := t.record.Status.Since.Add(e.config.EndedFor)
	return e.config.EndedFor > 0 && !e.now.Before(due) && !t.owner.ofOpenRun(t)
}

// mayRun reports whether a task was given up and its agent may still run it.
func (e *Engine) mayRun(t *entry) bool {
	m := e.agents[t.record.Claim.Agent]
	return m != nil && m.lost[t.record.ID] != nil
}

// ofKeptRun reports whether a task is of the newest run of a job or cron, or of one
// that is not over.
func (s *service) ofKeptRun(t *entry) bool {
	return s.ofOpenRun(t) || t.record.Run != 0 && t.record.Run == s.record.Run
}

// ofOpenRun reports whether a task is of a run that is not over.
func (s *service) ofOpenRun(t *entry) bool {
	return t.record.Run != 0 && slices.Contains(s.record.Runs, t.record.Run)
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
