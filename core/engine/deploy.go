package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
)

func (v Deploy) fold(e *Engine) (Answer, error) {
	if err := e.admitAll(v); err != nil {
		return Answer{}, err
	}
	var answer Answer
	for _, submission := range v.Specs {
		deployed := e.deploy(submission, v.Reason)
		answer.Deployed = append(answer.Deployed, deployed)
		answer.Changed = answer.Changed || deployed.Changed
	}
	if len(answer.Deployed) == 1 {
		answer.Deployment = answer.Deployed[0].Deployment
		answer.Service = e.services[answer.Deployed[0].Service].record
	}
	return answer, nil
}

// admitAll returns all that speaks against a deployment.
func (e *Engine) admitAll(v Deploy) error {
	if len(v.Specs) == 0 {
		return invalid("no spec to deploy")
	}
	var problems []error
	seen := make(map[id.Service]*spec.Spec, len(v.Specs))
	for i, submission := range v.Specs {
		if submission.Spec == nil {
			problems = append(problems, invalid("submission %d has no spec", i+1))
			continue
		}
		name := submission.Spec.Name
		if seen[name] != nil {
			problems = append(problems, invalid("two specs are named %s", name))
			continue
		}
		if s := e.services[name]; s != nil {
			problems = append(problems, fresh("service", name, v.Versions[name], s.record.Version))
		} else if v.Versions[name] != 0 {
			problems = append(problems, fmt.Errorf("service %s %w: it has been removed", name, ErrStale))
		}
		problems = append(problems, e.admit(submission.Spec, seen))
		seen[name] = submission.Spec
	}
	return errors.Join(problems...)
}

// admit returns all in the cluster that speaks against a spec, and what does
// among the other specs that come with it.
func (e *Engine) admit(wanted *spec.Spec, beside map[id.Service]*spec.Spec) error {
	var problems []error
	if s := e.services[wanted.Name]; s != nil && s.record.Kind != wanted.Kind {
		problems = append(problems, conflict("%s is a %s; stop it with remove before the name can be that of a %s", wanted.Name, s.record.Kind, wanted.Kind))
	} else if s != nil && s.record.Removing {
		problems = append(problems, conflict("%s is being removed; deploy it when that is done", wanted.Name))
	}
	for _, pool := range wanted.Pools {
		if e.pools[pool] == nil {
			problems = append(problems, fmt.Errorf("%s: %w pool %s: there is %s", wanted.Name, ErrUnknown, pool, e.poolNames()))
		}
	}
	for _, r := range wanted.Routes {
		rule := ruleOf(r)
		if owner, taken := e.rules[rule]; taken && owner != wanted.Name {
			problems = append(problems, conflict("route %s of %s: service %s has it", rule, wanted.Name, owner))
		}
	}
	for _, other := range sortedSpecs(beside) {
		if rule, both := route.Conflict(rulesOf(wanted), rulesOf(other)); both {
			problems = append(problems, conflict("route %s is in both %s and %s", rule, other.Name, wanted.Name))
		}
	}
	return errors.Join(problems...)
}

func sortedSpecs(specs map[id.Service]*spec.Spec) []*spec.Spec {
	var list []*spec.Spec
	for _, s := range specs {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b *spec.Spec) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// deploy makes a spec that nothing speaks against the wanted one.
func (e *Engine) deploy(submission Submission, reason string) Deployed {
	s := e.services[submission.Spec.Name]
	if s == nil {
		s = e.newService(submission.Spec)
	}
	if r := s.wanted(); r != nil && len(spec.Compare(r.Spec, submission.Spec).Changes) == 0 {
		return e.deployAgain(s, r, reason)
	}
	return e.want(s, e.newRevision(s, submission, reason), reason)
}

// deployAgain deploys what is wanted already: that starts what is stopped, and
// a job whose run has ended.
func (e *Engine) deployAgain(s *service, r *Revision, reason string) Deployed {
	ended := s.record.Kind == spec.Job && s.record.Result != Underway
	if s.record.Stopped || ended {
		return e.want(s, r, reason)
	}
	return Deployed{Service: s.record.Name, Revision: r.Number, Run: s.record.Run}
}

func (e *Engine) newService(wanted *spec.Spec) *service {
	record := &Service{Name: wanted.Name, Kind: wanted.Kind, Tasks: e.retired(), CreatedAt: e.now}
	return e.addService(record)
}

// addService takes a service in.
func (e *Engine) addService(record *Service) *service {
	s := &service{record: record, revisions: make(map[id.Revision]*Revision), on: make(map[id.Agent]int)}
	e.services[record.Name] = s
	if record.Kind == spec.Daemon {
		e.daemons[record.Name] = s
	}
	return s
}

// newRevision records a spec under the next number.
func (e *Engine) newRevision(s *service, submission Submission, reason string) *Revision {
	r := &Revision{
		Service: s.record.Name, Number: s.record.Newest + 1, Spec: submission.Spec,
		Source: submission.Source, Reason: reason, CreatedAt: e.now, Before: s.record.LastGood,
	}
	if s.generation(s.record.Revision) == s.generation(s.record.LastGood) {
		r.Before = s.record.Revision
	}
	r.Generation = s.generationOf(r)
	s.revisions[r.Number] = r
	e.batch.put(r.Key(), r)
	e.putService(s, func(record *Service) { record.Newest = r.Number })
	return r
}

// generationOf finds the generation of a new revision: that of the newest other
// revision from which it differs in nothing that an instance is made of.
func (s *service) generationOf(r *Revision) id.Revision {
	for number := r.Number - 1; number > 0; number-- {
		other := s.revisions[number]
		if other != nil && !spec.Compare(other.Spec, r.Spec).Replaces {
			return other.Generation
		}
	}
	return r.Number
}

// want makes a revision the wanted one and starts what leads there.
func (e *Engine) want(s *service, r *Revision, reason string) Deployed {
	before, stopped, running := s.wanted(), s.record.Stopped, s.deployment()
	instances := s.instancesFor(r.Spec)
	e.edit(s, func(record *Service) {
		record.Revision, record.Instances, record.Stopped = r.Number, instances, false
	})
	e.note(Note{Kind: ServiceDeployed, Service: s.record.Name, Text: deployedText(r, reason)})
	deployed := Deployed{Service: s.record.Name, Revision: r.Number, Changed: true}
	switch s.record.Kind {
	case spec.Job:
		e.startRun(s)
		deployed.Run = s.record.Run
	case spec.Cron:
		e.schedule(s, e.now)
	default:
		if stopped || before == nil || before.Generation != r.Generation {
			way := Deployment{To: r.Number, Reason: reason, FromStopped: stopped || running != nil && running.FromStopped}
			if before != nil {
				way.From = before.Number
			}
			deployed.Deployment = e.startDeployment(s, way).ID
		} else {
			e.retarget(s, r)
		}
	}
	e.claimRules(s)
	e.trimRevisions(s)
	return deployed
}

// instancesFor returns how many instances are wanted of another spec: what it
// says, unless it says the same as the one before; then a scale since stays.
func (s *service) instancesFor(wanted *spec.Spec) int {
	if before := s.wanted(); before != nil && before.Spec.Instances == wanted.Instances && wanted.Kind == spec.Service {
		return s.record.Instances
	}
	return wanted.Instances
}

func deployedText(r *Revision, reason string) string {
	text := fmt.Sprintf("revision %d is wanted", r.Number)
	if reason != "" {
		text += ": " + reason
	}
	return text
}
