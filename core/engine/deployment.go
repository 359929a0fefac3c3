package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// Ended reports whether the deployment is over.
func (s DeploymentState) Ended() bool { return s >= Done }

// String returns the state's name, as in "rolled back".
func (s DeploymentState) String() string {
	names := [...]string{"unknown", "going", "paused", "done", "rolled back", "failed", "superseded", "aborted"}
	if int(s) < len(names) {
		return names[s]
	}
	return names[0]
}

// putDeployment replaces a deployment's record by a changed copy.
func (e *Engine) putDeployment(s *service, d *Deployment, change func(*Deployment)) *Deployment {
	next := *d
	change(&next)
	for i := range s.deployments {
		if s.deployments[i].ID == d.ID {
			s.deployments[i] = &next
		}
	}
	e.batch.put(next.Key(), &next)
	e.touch(s)
	return &next
}

// startDeployment begins the way to a revision, of which it is told the ends and
// the reasons; one that runs is superseded.
func (e *Engine) startDeployment(s *service, way Deployment) *Deployment {
	number := s.record.Deployments + 1
	d := &way
	d.ID, d.Service, d.State, d.StartedAt = deploymentID(s.record.Name, number), s.record.Name, Going, e.now
	if running := s.deployment(); running != nil {
		e.endDeployment(s, running, Superseded, fmt.Sprintf("deployment %s took its place", d.ID))
	}
	s.deployments = append(s.deployments, d)
	e.deployments[d.ID] = s
	e.batch.put(d.Key(), d)
	e.putService(s, func(r *Service) { r.Deployments, r.Deployment = number, d.ID })
	e.note(Note{Kind: DeploymentStarted, Service: s.record.Name, Deployment: d.ID, Text: fmt.Sprintf("from revision %d to %d", d.From, d.To)})
	e.trimDeployments(s)
	return d
}

// deploymentID returns the name of a service's deployment.
func deploymentID(service id.Service, number int) id.Deployment {
	return id.Deployment(fmt.Sprintf("%s-%d", service, number))
}

// retarget has a running deployment end at a revision that differs from its own
// only in settings. Without one, a revision that is as good as the last good
// one becomes it.
func (e *Engine) retarget(s *service, r *Revision) {
	if d := s.deployment(); d != nil {
		e.putDeployment(s, d, func(d *Deployment) { d.To = r.Number })
		return
	}
	if s.generation(s.record.LastGood) == r.Generation {
		e.putService(s, func(record *Service) { record.LastGood = r.Number })
	}
}

// endDeployment ends a running deployment.
func (e *Engine) endDeployment(s *service, d *Deployment, state DeploymentState, reason string) {
	d = e.putDeployment(s, d, func(d *Deployment) {
		d.State, d.Reason, d.EndedAt = state, reason, e.now
	})
	e.putService(s, func(r *Service) {
		r.Deployment = ""
		if state == Done {
			r.LastGood = d.To
		}
	})
	kinds := map[DeploymentState]NoteKind{
		Done: DeploymentDone, RolledBack: DeploymentRolledBack, DeployFailed: DeploymentFailed,
		Superseded: DeploymentSuperseded, Aborted: DeploymentAborted,
	}
	e.note(Note{Kind: kinds[state], Service: s.record.Name, Deployment: d.ID, Text: reason})
	e.trimDeployments(s)
}

// failDeployment ends a deployment that rollout judged to have failed, and goes
// back if its spec says so.
func (e *Engine) failDeployment(s *service, d *Deployment, reason string) {
	reason = withFailure(s.withRefusal(reason), d.Failure)
	if s.specTo(d).Deploy.OnFailure == spec.Pause {
		e.pause(s, d, reason)
		return
	}
	if !s.canGoBack(d) || s.waitsForRoom(d) {
		e.endDeployment(s, d, DeployFailed, reason)
		return
	}
	if err := e.mayReturn(s, d); err != nil {
		e.endDeployment(s, d, DeployFailed, fmt.Sprintf("%s; it cannot go back: %v", reason, err))
		return
	}
	e.goBack(s, d, RolledBack, reason)
}

// withRefusal adds to a reason why the oldest instance that has no place has none,
// or what is said of one that is not ready.
func (s *service) withRefusal(reason string) string {
	for _, t := range s.live {
		switch status := t.record.Status; {
		case t.blocked():
			return reason + ": " + t.group.reason()
		case status.State == task.Running && status.Reason != "":
			return fmt.Sprintf("%s; task %s: %s", reason, t.record.ID, status.Reason)
		}
	}
	return reason
}

// withFailure adds to a reason how the newest attempt ended and what it said.
func withFailure(reason string, failure *Failure) string {
	if failure == nil {
		return reason
	}
	reason += fmt.Sprintf("; task %s: %s", failure.Task, failure.Exit)
	if logs := failure.Exit.LastLogs; len(logs) > 0 {
		reason += ": " + strings.Join(logs[max(0, len(logs)-3):], " | ")
	}
	return reason
}

// specTo returns the spec that a deployment leads to.
func (s *service) specTo(d *Deployment) *spec.Spec { return s.revisions[d.To].Spec }

// canGoBack reports whether there is something else to go back to. A service
// that was good in this revision already is left as it is, unless it was stopped,
// and so is one whose way back failed.
func (s *service) canGoBack(d *Deployment) bool {
	return !d.Automatic && (d.FromStopped || s.record.LastGood == 0 || s.generation(s.record.LastGood) != s.generation(d.To))
}

// waitsForRoom reports whether there is nothing to go back to and nothing wrong but
// that there is no room: then it stays as it is, and starts when room comes.
func (s *service) waitsForRoom(d *Deployment) bool {
	return d.Failure == nil && s.record.LastGood == 0 && !d.FromStopped && slices.ContainsFunc(s.live, (*entry).pending)
}

// mayReturn returns what speaks against the last good revision: meanwhile another
// service may have got its routes, or its pool may have gone.
func (e *Engine) mayReturn(s *service, d *Deployment) error {
	if good := s.revisions[s.record.LastGood]; good != nil && !d.FromStopped {
		return e.admit(good.Spec, nil)
	}
	return nil
}

// goBack ends a deployment and starts one to the last good revision. A service
// that was stopped before is stopped again, and when there was no good revision,
// nothing is wanted any more.
func (e *Engine) goBack(s *service, d *Deployment, state DeploymentState, reason string) id.Deployment {
	e.endDeployment(s, d, state, reason)
	e.roomGrew() // the other revision may allow more claims
	failed, good := s.revisions[d.To], s.revisions[s.record.LastGood]
	e.tableStale[s.record.Name] = struct{}{}
	e.putService(s, func(r *Service) {
		r.Revision, r.Stopped, r.ChangedAt = 0, d.FromStopped, e.now
		if good != nil {
			r.Revision, r.Instances = good.Number, s.instancesFor(good.Spec)
		}
		r.Version++
	})
	e.claimRules(s)
	if good == nil || d.FromStopped {
		return ""
	}
	return e.startDeployment(s, Deployment{
		From: failed.Number, To: good.Number, Automatic: true,
		Reason: fmt.Sprintf("back from revision %d: %s", failed.Number, reason),
	}).ID
}

func (e *Engine) pause(s *service, d *Deployment, reason string) {
	e.putDeployment(s, d, func(d *Deployment) { d.State, d.Reason, d.PausedAt = Paused, reason, e.now })
	e.note(Note{Kind: DeploymentPaused, Service: s.record.Name, Deployment: d.ID, Text: reason})
}

// noteFailure keeps the newest failed start of the revision that a deployment
// brings, to show with its end.
func (e *Engine) noteFailure(t *entry) {
	s := t.owner
	d, last := s.deployment(), t.record.Status.Last
	if d == nil || last == nil || s.generation(t.record.Revision) != s.generation(d.To) {
		return
	}
	if d.Failure == nil || d.Failure.Task != t.record.ID || !d.Failure.Exit.Equal(last) {
		e.putDeployment(s, d, func(d *Deployment) { d.Failure = &Failure{Task: t.record.ID, Exit: *last} })
	}
}

// running finds the deployment that an operator's event names.
func (e *Engine) running(name id.Deployment) (*service, *Deployment, error) {
	s := e.deployments[name]
	if s == nil {
		return nil, nil, unknown("deployment", name)
	}
	d := s.findDeployment(name)
	if d.State.Ended() {
		return nil, nil, conflict("deployment %s is over: %s", name, d.State)
	}
	return s, d, nil
}

func (v PauseDeployment) fold(e *Engine) (Answer, error) {
	s, d, err := e.running(v.Deployment)
	if err != nil || d.State == Paused {
		return Answer{}, err
	}
	e.pause(s, d, "paused by an operator")
	return Answer{Changed: true, Service: s.record, Deployment: d.ID}, nil
}

func (v ResumeDeployment) fold(e *Engine) (Answer, error) {
	s, d, err := e.running(v.Deployment)
	if err != nil || d.State != Paused {
		return Answer{}, err
	}
	e.putDeployment(s, d, func(d *Deployment) {
		d.State, d.Reason, d.PausedAt = Going, "", time.Time{}
		d.Progress.Paused = true // it was: the deadline begins anew
	})
	e.note(Note{Kind: DeploymentResumed, Service: s.record.Name, Deployment: d.ID, Text: "goes on"})
	return Answer{Changed: true, Service: s.record, Deployment: d.ID}, nil
}

func (v AbortDeployment) fold(e *Engine) (Answer, error) {
	s, d, err := e.running(v.Deployment)
	if err != nil {
		return Answer{}, err
	}
	if !d.FromStopped && s.record.LastGood != 0 && s.generation(s.record.LastGood) == s.generation(d.To) {
		e.endDeployment(s, d, Aborted, "ended by an operator")
		return Answer{Changed: true, Service: s.record}, nil
	}
	if err := e.mayReturn(s, d); err != nil {
		return Answer{}, err
	}
	back := e.goBack(s, d, Aborted, "ended by an operator")
	return Answer{Changed: true, Service: s.record, Deployment: back}, nil
}
