package master

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// failedShown is how many ended tasks that failed a service shows.
const failedShown = 3

// look is a service as people see it.
type look struct {
	parts

	service *engine.Service
	live    []*engine.Task // newest first
	ready   int
	claims  int
	waiting string // what the engine says that it waits for; "" when it was not asked
}

// look gathers what there is of a service.
func (v *view) look(service *engine.Service, waiting string) *look {
	l := &look{parts: v.parts(service.Name), service: service, waiting: waiting}
	l.live = live(l.tasks)
	for _, t := range l.live {
		if t.Status.State == task.Ready {
			l.ready++
		}
		if t.Status.State.HoldsClaim() {
			l.claims++
		}
	}
	return l
}

// wanted is how many instances there should be.
func (l *look) wanted() int {
	if l.service.Kind == spec.Daemon {
		return len(l.live) // as many as agents fit
	}
	return l.service.Instances
}

// message returns all but the tasks.
func (l *look) message() *pb.ServiceView {
	state, reason := l.state()
	m := &pb.ServiceView{
		Service: wire.FromService(l.service), Ready: int32(l.ready), Claims: int32(l.claims), Wanted: int32(l.wanted()),
		State: state, Reason: reason,
	}
	for _, rev := range l.revisions {
		if rev.Number == l.service.Revision {
			m.Revision = wire.FromRevision(rev)
		}
	}
	if d := l.deployment(); d != nil {
		m.Deployment = wire.FromDeployment(d)
	}
	return m
}

// deployment returns the running one, or else the newest; nil if there is none.
func (l *look) deployment() *engine.Deployment {
	for _, d := range l.deployments {
		if d.ID == l.service.Deployment {
			return d
		}
	}
	if len(l.deployments) > 0 {
		return l.deployments[0]
	}
	return nil
}

// state sums a service up in one word, and a line when there is something to
// say.
func (l *look) state() (state, reason string) {
	s := l.service
	switch {
	case s.Removing:
		return "stopping", "it is forgotten once its last task has ended"
	case s.Stopped && len(l.live) > 0:
		return "stopping", ""
	case s.Stopped:
		return "stopped", ""
	case s.Kind == spec.Job || s.Kind == spec.Cron:
		return l.stateOfRun()
	case s.Deployment != "":
		return "deploying", l.whyDeploying()
	case s.Revision == 0:
		return "failed", l.deploymentReason()
	case l.ready >= l.wanted():
		return "running", l.ailing()
	case l.ready == 0:
		return "pending", cmp.Or(l.trouble(), l.waitingFor())
	default:
		return "degraded", cmp.Or(l.trouble(), l.waitingFor(), fmt.Sprintf("%d of %d ready", l.ready, l.wanted()))
	}
}

// ailing says that instances are not alive; "" if none is known to be so.
func (l *look) ailing() string {
	var sick []*engine.Task
	for _, t := range l.live {
		if t.Status.IsUnhealthy() {
			sick = append(sick, t)
		}
	}
	switch {
	case len(sick) == 0:
		return ""
	case l.service.Breaker.Open():
		return fmt.Sprintf("%d of %d not alive: the breaker is open, none is replaced", len(sick), len(l.live))
	default:
		return fmt.Sprintf("%s is %s", sick[0].ID, sick[0].Status.Unhealthy)
	}
}

// stateOfRun is state for a job, or the newest run of a cron.
func (l *look) stateOfRun() (state, reason string) {
	switch {
	case l.service.Result == engine.Underway && l.claims == 0:
		return "pending", l.trouble()
	case l.service.Result == engine.Underway:
		return "running", l.trouble()
	case l.service.Kind == spec.Cron && l.service.Result == engine.Unsuccessful:
		return "scheduled", "the newest run failed: " + l.failure()
	case l.service.Kind == spec.Cron:
		return "scheduled", ""
	case l.service.Result == engine.Unsuccessful:
		return "failed", l.failure()
	default:
		return "succeeded", ""
	}
}

// whyDeploying says what a deployment waits for, and why that does not happen.
func (l *look) whyDeploying() string {
	var words []string
	for _, text := range []string{l.waitingFor(), l.trouble()} {
		if text != "" {
			words = append(words, text)
		}
	}
	return cmp.Or(l.deploymentReason(), strings.Join(words, ": "))
}

func (l *look) waitingFor() string {
	if l.waiting == "" {
		return ""
	}
	return "waiting for " + l.waiting
}

func (l *look) deploymentReason() string {
	if d := l.deployment(); d != nil {
		return d.Reason
	}
	return ""
}

// trouble returns what keeps the newest instance that is kept from being ready.
func (l *look) trouble() string {
	for _, t := range l.live {
		switch status := t.Status; status.State {
		case task.Pending, task.Running:
			if status.Reason != "" {
				return status.Reason
			}
		case task.Backoff:
			return failureOf(status)
		default:
		}
	}
	return ""
}

// failure says how the newest task that failed did so.
func (l *look) failure() string {
	if failed := newestFailed(l.tasks); len(failed) > 0 {
		return failureOf(failed[0].Status)
	}
	return "a copy failed"
}

// failureOf says in words how the newest attempt of a task failed.
func failureOf(status task.Status) string {
	if status.Reason == "" && status.Last != nil {
		return status.Last.String()
	}
	return status.Reason
}

// newestFailed returns the tasks that ended last and not well.
func newestFailed(tasks []*engine.Task) []*engine.Task {
	failed := slices.DeleteFunc(slices.Clone(tasks), func(t *engine.Task) bool {
		return t.Status.State != task.Failed && t.Status.State != task.Lost
	})
	slices.SortStableFunc(failed, func(a, b *engine.Task) int { return b.Status.Since.Compare(a.Status.Since) })
	return failed[:min(failedShown, len(failed))]
}
