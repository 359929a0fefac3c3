package engine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// PlanReport is what a deployment would do.
type PlanReport struct {
	Services []ServicePlan // in the order of the submissions
}

// ServicePlan is what deploying one spec would do.
type ServicePlan struct {
	Service       id.Service
	Kind          spec.Kind
	From          id.Revision // 0 when nothing is wanted of it now
	To            id.Revision // the wanted one when nothing changes
	Changed       bool
	Replaces      bool            // instances are replaced or started, or a run begins
	Changes       []spec.Change   // none for a new service
	Steps         []string        // what happens, for people
	PeakInstances int             // claims above those that it holds before, at the worst moment
	PeakExtra     resource.Vector // the same in scalar resources
	Pools         []id.Pool       // that the extra is taken from
	Shortages     []string        // what does not fit, and what then; empty when all does
}

// Plan returns what deploying the specs would do, as things stand, and changes
// nothing. Its errors are those of the Deploy event.
func (e *Engine) Plan(specs []Submission, now time.Time) (PlanReport, error) {
	if err := e.admitAll(Deploy{Specs: specs}); err != nil {
		return PlanReport{}, err
	}
	books := e.books.Clone()
	var report PlanReport
	for i, submission := range specs {
		report.Services = append(report.Services, e.forecast(books, submission.Spec, i, now))
	}
	return report, nil
}

// forecast plans one spec and books on the copy what it would take.
func (e *Engine) forecast(books *ledger.Ledger, wanted *spec.Spec, number int, now time.Time) ServicePlan {
	plan := ServicePlan{Service: wanted.Name, Kind: wanted.Kind, To: 1, Changed: true, Replaces: true}
	s := e.services[wanted.Name]
	if s == nil {
		s = &service{record: &Service{Name: wanted.Name, Kind: wanted.Kind}}
	}
	next := &Revision{Service: wanted.Name, Number: s.record.Newest + 1, Spec: wanted}
	next.Generation = s.generationOf(next)
	plan.To = next.Number
	if r := s.wanted(); r != nil {
		diff := spec.Compare(r.Spec, wanted)
		plan.From, plan.Changes, plan.Replaces = r.Number, diff.Changes, next.Generation != r.Generation
		if len(diff.Changes) == 0 {
			plan.To = r.Number
			plan.Changed = s.record.Stopped || s.record.Kind == spec.Job && s.record.Result != Underway
			next = r
		}
		plan.Replaces = plan.Changed && (plan.Replaces || s.record.Stopped || s.record.Kind == spec.Job)
	}
	if !plan.Changed {
		return plan
	}
	t := trial{number: number, books: books, service: s, next: next, plan: &plan}
	switch wanted.Kind {
	case spec.Service:
		t.roll(e.instances(s), now)
	case spec.Job:
		plan.Steps = append(plan.Steps, fmt.Sprintf("start run %d, copies: %d", s.record.Run+1, wanted.Instances))
		t.claim(wanted.Instances, false, 0)
	case spec.Cron:
		plan.Steps = append(plan.Steps, fmt.Sprintf("run by the schedule %q, copies: %d", wanted.Schedule.Line, wanted.Instances))
	case spec.Daemon:
		t.spread()
	}
	return plan
}

// trial plays a deployment on a copy of the books.
type trial struct {
	number  int // of the trial in its report
	books   *ledger.Ledger
	service *service
	next    *Revision
	plan    *ServicePlan
	started int
	more    resource.Vector // what the service holds now above what it held before
	claims  int             // the same, in claims
}

// roll plays the steps of a service's deployment.
func (t *trial) roll(seen []rollout.Instance, now time.Time) {
	goal := goalOf(t.next, t.service.instancesFor(t.next.Spec))
	if good := t.service.generation(t.service.record.LastGood); good != 0 {
		goal.Base = good
	}
	for i, step := range rollout.Forecast(goal, seen, now) {
		t.plan.Steps = append(t.plan.Steps, stepText(step))
		t.claim(step.Start, i > 0 || len(seen) > 0, goal.Unavailable)
		t.stop(step.Stop)
	}
}

func stepText(step rollout.Step) string {
	var parts []string
	if step.Start > 0 {
		parts = append(parts, fmt.Sprintf("start %d", step.Start))
	}
	if len(step.Stop) > 0 {
		parts = append(parts, fmt.Sprintf("stop %d", len(step.Stop)))
	}
	return fmt.Sprintf("%s: %s, %d ready", strings.Join(parts, ", "), resource.Count(step.Claims, "claim"), step.Good)
}

// claim books n more instances on the copy, and notes the first that has no
// place, and what becomes of the deployment then.
func (t *trial) claim(n int, replaces bool, unavailable int) {
	for range n {
		t.started++
		t.grow()
		if len(t.plan.Shortages) > 0 {
			continue
		}
		choice, err := placement.Choose(t.books, t.request())
		if err == nil {
			err = t.books.Claim(choice.Claim(t.name(t.started)))
		}
		if err != nil {
			t.plan.Shortages = append(t.plan.Shortages, fmt.Sprintf("no place for instance %d: %v; %s", t.started, err, shortfall(replaces, unavailable)))
			continue
		}
		if choice.Pool != "" && !slices.Contains(t.plan.Pools, choice.Pool) {
			t.plan.Pools = append(t.plan.Pools, choice.Pool)
		}
	}
}

// shortfall says what becomes of a deployment without room.
func shortfall(replaces bool, unavailable int) string {
	if replaces && unavailable > 0 {
		return fmt.Sprintf("it goes on with up to %d unavailable", unavailable)
	}
	return "it waits for room"
}

// name returns the name under which the copy of the books knows the n-th
// instance that the trial starts. No task of a service has a name with this end.
func (t *trial) name(n int) id.Task { return id.Task(fmt.Sprintf("trial-%d-%d-x", t.number, n)) }

func (t *trial) request() placement.Request {
	s := &service{revisions: map[id.Revision]*Revision{t.next.Number: t.next}, on: t.service.on}
	return request(&entry{owner: s, record: &Task{Revision: t.next.Number}})
}

// grow counts one more instance, and keeps what that is at the worst moment.
func (t *trial) grow() {
	t.claims++
	t.plan.PeakInstances = max(t.plan.PeakInstances, t.claims)
	for of, q := range t.next.Spec.Resources.All() {
		if q.Kind() != resource.KindScalar {
			continue
		}
		held, _ := t.more.Get(of)
		peak, _ := t.plan.PeakExtra.Get(of)
		t.more = t.more.With(of, resource.Scalar(held.Amount()+q.Amount()))
		if held.Amount()+q.Amount() > peak.Amount() {
			t.plan.PeakExtra = t.plan.PeakExtra.With(of, resource.Scalar(held.Amount()+q.Amount()))
		}
	}
}

// stop gives back what instances hold: ones of the forecast, whose names begin
// with "+", and ones that are there now.
func (t *trial) stop(names []id.Task) {
	for _, name := range names {
		resources := t.next.Spec.Resources
		if number, err := strconv.Atoi(strings.TrimPrefix(string(name), "+")); err == nil {
			t.books.Release(t.name(number))
		} else if _, held := t.books.Release(name); held {
			resources = t.service.resourcesOf(name)
		} else {
			continue // it waited for a place
		}
		t.claims--
		for of, q := range resources.All() {
			if q.Kind() == resource.KindScalar {
				held, _ := t.more.Get(of)
				t.more = t.more.With(of, resource.Scalar(held.Amount()-q.Amount()))
			}
		}
	}
}

// resourcesOf returns what a live task of the service takes.
func (s *service) resourcesOf(name id.Task) resource.Vector {
	for _, t := range s.live {
		if t.record.ID == name {
			return t.spec().Resources
		}
	}
	return resource.Vector{}
}

// spread plays the deployment of a daemon. It replaces one instance after the
// other, each on its own agent, and so takes nothing extra where it runs.
func (t *trial) spread() {
	replaced := 0
	for _, at := range t.service.live {
		if at.state().Live() && at.state() != task.Pending {
			replaced++
		}
	}
	if replaced == 0 {
		t.plan.Steps = append(t.plan.Steps, "start one instance on each agent that fits")
		return
	}
	t.plan.Steps = append(t.plan.Steps, fmt.Sprintf("replace %s, each on its agent, %d at a time", resource.Count(replaced, "instance"),
		max(1, goalOf(t.next, replaced).Unavailable)))
}
