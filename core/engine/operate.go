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

// instancesMax is the highest number that a service may be scaled to; spec files
// have the same bound.
const instancesMax = 100_000

func (v Scale) fold(e *Engine) (Answer, error) {
	s, err := e.operated(v.Service, v.Version)
	switch {
	case err != nil:
		return Answer{}, err
	case s.record.Kind != spec.Service:
		return Answer{}, invalid("%s is a %s: only a service has a scale", v.Service, s.record.Kind)
	case v.Instances < 0 || v.Instances > instancesMax:
		return Answer{}, invalid("%d instances, want 0 to %d", v.Instances, instancesMax)
	case s.record.Removing:
		return Answer{}, conflict("service %s is being removed", v.Service)
	case s.record.Stopped || s.record.Revision == 0:
		return Answer{}, conflict("service %s is stopped; deploy it to start it", v.Service)
	case s.record.Instances == v.Instances:
		return Answer{Service: s.record}, nil
	}
	before := s.record.Instances
	e.edit(s, func(r *Service) { r.Instances = v.Instances })
	e.note(Note{Kind: ServiceScaled, Service: v.Service, Text: fmt.Sprintf("from %d to %s", before, resource.Count(v.Instances, "instance"))})
	return Answer{Changed: true, Service: s.record}, nil
}

func (v Restart) fold(e *Engine) (Answer, error) {
	s, err := e.operated(v.Service, v.Version)
	switch {
	case err != nil:
		return Answer{}, err
	case s.record.Kind != spec.Service && s.record.Kind != spec.Daemon:
		return Answer{}, invalid("%s is a %s: its tasks end by themselves; deploy it again to run it again", v.Service, s.record.Kind)
	case s.record.Stopped || s.record.Revision == 0:
		return Answer{}, conflict("service %s is stopped; deploy it to start it", v.Service)
	}
	if v.Task != "" {
		return e.restartTask(s, v.Task)
	}
	e.edit(s, func(r *Service) { r.RestartedAt = e.now })
	e.note(Note{Kind: ServiceRestarted, Service: v.Service, Text: "every instance is replaced"})
	return Answer{Changed: true, Service: s.record}, nil
}

func (e *Engine) restartTask(s *service, name id.Task) (Answer, error) {
	t := e.tasks[name]
	switch {
	case t == nil || t.owner != s:
		return Answer{}, unknown("task of service "+string(s.record.Name), name)
	case t.state().Ended():
		return Answer{}, conflict("task %s has ended", name)
	case t.record.Restart:
		return Answer{Service: s.record}, nil
	}
	e.putTask(t, func(r *Task) { r.Restart = true })
	e.edit(s, func(*Service) {})
	e.note(Note{Kind: ServiceRestarted, Service: s.record.Name, Task: name, Text: "the instance is replaced"})
	return Answer{Changed: true, Service: s.record}, nil
}

func (v StopService) fold(e *Engine) (Answer, error) {
	s, err := e.operated(v.Service, v.Version)
	if err != nil {
		return Answer{}, err
	}
	if s.record.Stopped && (s.record.Removing || !v.Remove) {
		return Answer{Service: s.record}, nil
	}
	if d := s.deployment(); d != nil {
		e.endDeployment(s, d, Aborted, "the service was stopped")
	}
	e.edit(s, func(r *Service) {
		r.Stopped, r.Removing, r.NextRun = true, v.Remove, time.Time{}
		if r.Result == Underway {
			r.Result = Unsuccessful
		}
	})
	e.note(Note{Kind: ServiceStopped, Service: v.Service, Text: "stopped by an operator"})
	return Answer{Changed: true, Service: s.record}, nil
}

func (v RollBack) fold(e *Engine) (Answer, error) {
	s, err := e.operated(v.Service, v.Version)
	if err != nil {
		return Answer{}, err
	}
	if s.record.Kind == spec.Job {
		return Answer{}, invalid("%s is a job: deploy its spec again to run it again", v.Service)
	}
	to := v.To
	if to == 0 {
		to = s.lastGoodBefore(s.record.Revision)
	}
	r := s.revisions[to]
	switch {
	case to == 0:
		return Answer{}, conflict("service %s has no good revision before %d", v.Service, s.record.Revision)
	case r == nil:
		return Answer{}, fmt.Errorf("%w revision %d of service %s", ErrUnknown, to, v.Service)
	case s.record.Removing:
		return Answer{}, conflict("service %s is being removed", v.Service)
	case to == s.record.Revision && !s.record.Stopped:
		return Answer{Service: s.record, Deployed: []Deployed{{Service: v.Service, Revision: to}}}, nil
	}
	if err := e.admit(r.Spec, nil); err != nil {
		return Answer{}, err
	}
	deployed := e.want(s, r, fmt.Sprintf("rolled back to revision %d", to))
	return Answer{Changed: true, Service: s.record, Deployment: deployed.Deployment, Deployed: []Deployed{deployed}}, nil
}

// lastGoodBefore returns the good revision that was wanted before that one was
// deployed, or else the newest good one before it; 0 if there is none.
func (s *service) lastGoodBefore(wanted id.Revision) id.Revision {
	if r := s.revisions[wanted]; r != nil && s.revisions[r.Before] != nil {
		return r.Before
	}
	good := map[id.Revision]bool{s.generation(s.record.LastGood): true}
	for _, d := range s.deployments {
		good[s.generation(d.To)] = good[s.generation(d.To)] || d.State == Done
	}
	for _, number := range slices.Backward(s.numbers()) {
		if number < wanted && good[s.generation(number)] {
			return number
		}
	}
	return 0
}

// stopTask begins the stop path of a task, or ends one that has no place.
func (e *Engine) stopTask(t *entry, reason string) {
	switch {
	case t.state() == task.Pending:
		e.move(t, task.Stop{At: e.now, Reason: reason})
	case t.state().Live():
		e.move(t, task.Drain{At: e.now, Reason: reason})
	}
}
