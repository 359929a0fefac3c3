package engine

import (
	"fmt"
	"slices"
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
	Replaces      bool          // instances are replaced or started, or a run begins
	Changes       []spec.Change // none for a new service
	Steps         []string      // what happens, for people
	PeakInstances int           // claims above what is held now and what is wished for, at the worst moment
	PeakExtra     resource.Vector
	Pools         []id.Pool // that the extra is taken from
	Shortages     []string  // what does not fit, and what then; empty when all does
}

// Plan returns what deploying the specs would do, as things stand, and changes
// nothing. Its errors are those of the Deploy event.
func (e *Engine) Plan(specs []Submission, now time.Time) (PlanReport, error) {
	if err := e.admitAll(Deploy{Specs: specs}); err != nil {
		return PlanReport{}, err
	}
	books, err := e.copyBooks()
	if err != nil {
		return PlanReport{}, fmt.Errorf("copy the books: %w", err)
	}
	var report PlanReport
	for _, submission := range specs {
		report.Services = append(report.Services, e.forecast(books, submission.Spec, now))
	}
	return report, nil
}

// copyBooks returns books with the same agents, pools and claims, to try things
// on.
func (e *Engine) copyBooks() (*ledger.Ledger, error) {
	var books ledger.Ledger
	for agent := range e.books.Agents() {
		if err := books.SetAgent(agent.Agent()); err != nil {
			return nil, err
		}
	}
	for pool := range e.books.Pools() {
		if err := books.SetPool(pool.Pool()); err != nil {
			return nil, err
		}
	}
	for claim := range e.books.Claims() {
		if err := books.Restore(claim); err != nil {
			return nil, err
		}
	}
	return &books, nil
}

// forecast plans one spec and books on the copy what it would take.
func (e *Engine) forecast(books *ledger.Ledger, wanted *spec.Spec, now time.Time) ServicePlan {
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
	t := trial{engine: e, books: books, service: s, next: next, plan: &plan}
	switch wanted.Kind {
	case spec.Service:
		t.roll(now)
	case spec.Job:
		t.start(fmt.Sprintf("start run %d with %d copies", s.record.Run+1, wanted.Instances), wanted.Instances)
	case spec.Cron:
		plan.Steps = append(plan.Steps, fmt.Sprintf("run %d copies by the schedule %q", wanted.Instances, wanted.Schedule.Line))
	case spec.Daemon:
		t.spread()
	}
	return plan
}

// trial plays a deployment on a copy of the books.
type trial struct {
	engine  *Engine
	books   *ledger.Ledger
	service *service
	next    *Revision
	plan    *ServicePlan
	started int
}

// roll plays the steps of a service's deployment.
func (t *trial) roll(now time.Time) {
	goal := goalOf(t.next, t.service.instancesFor(t.next.Spec))
	if good := t.service.generation(t.service.record.LastGood); good != 0 {
		goal.Base = good
	}
	seen := t.engine.instances(t.service)
	steps := rollout.Forecast(goal, seen, now)
	for i, step := range steps {
		t.plan.Steps = append(t.plan.Steps, stepText(step))
		if len(t.plan.Shortages) > 0 {
			continue
		}
		if missing := t.claim(step.Start); missing != "" {
			t.shortage(missing, i > 0 || len(seen) > 0, goal.Unavailable)
		}
		for _, name := range step.Stop {
			t.books.Release(trialName(name))
		}
	}
	t.peak(rollout.Peak(steps))
}

func stepText(step rollout.Step) string {
	var parts []string
	if step.Start > 0 {
		parts = append(parts, fmt.Sprintf("start %d", step.Start))
	}
	if len(step.Stop) > 0 {
		parts = append(parts, fmt.Sprintf("stop %d", len(step.Stop)))
	}
	return fmt.Sprintf("%s: %d claims, %d ready", strings.Join(parts, ", "), step.Claims, step.Good)
}

// trialName returns the name under which the copy of the books knows a task of
// the forecast: those that it starts itself begin with "+".
func trialName(name id.Task) id.Task {
	if number, own := strings.CutPrefix(string(name), "+"); own {
		return id.Task("trial-" + number)
	}
	return name
}

// claim books n more instances on the copy. It returns why not when there is no
// place for all.
func (t *trial) claim(n int) string {
	for range n {
		t.started++
		choice, err := placement.Choose(t.books, t.request())
		if err == nil {
			err = t.books.Claim(choice.Claim(trialName(id.Task(fmt.Sprintf("+%d", t.started)))))
		}
		if err != nil {
			return err.Error()
		}
		if choice.Pool != "" && !slices.Contains(t.plan.Pools, choice.Pool) {
			t.plan.Pools = append(t.plan.Pools, choice.Pool)
		}
	}
	return ""
}

func (t *trial) request() placement.Request {
	s := &service{revisions: map[id.Revision]*Revision{t.next.Number: t.next}, on: t.service.on}
	return request(&entry{owner: s, record: &Task{Revision: t.next.Number}})
}

// shortage notes what does not fit and what becomes of the deployment then.
func (t *trial) shortage(missing string, replaces bool, unavailable int) {
	then := "it waits for room"
	if replaces && unavailable > 0 {
		then = fmt.Sprintf("it goes on with up to %d unavailable", unavailable)
	}
	t.plan.Shortages = append(t.plan.Shortages, fmt.Sprintf("no place for instance %d: %s; %s", t.started, missing, then))
}

// peak notes the extra that a deployment takes at its worst moment.
func (t *trial) peak(instances int) {
	t.plan.PeakInstances = instances
	for of, q := range t.next.Spec.Resources.All() {
		if q.Kind() == resource.KindScalar && instances > 0 {
			t.plan.PeakExtra = t.plan.PeakExtra.With(of, resource.Scalar(q.Amount()*int64(instances)))
		}
	}
	if instances == 0 {
		t.plan.Pools = nil
	}
}

// start plays the start of so many tasks that nothing makes room for.
func (t *trial) start(text string, n int) {
	t.plan.Steps = append(t.plan.Steps, text)
	if missing := t.claim(n); missing != "" {
		t.shortage(missing, false, 0)
	}
	t.peak(n)
}

// spread plays the deployment of a daemon. It replaces one instance after the
// other, each on its own agent, and so takes nothing extra.
func (t *trial) spread() {
	replaced := 0
	for _, at := range t.service.live {
		if at.state().Live() && at.state() != task.Pending {
			replaced++
		}
	}
	if replaced > 0 {
		t.plan.Steps = append(t.plan.Steps, fmt.Sprintf("replace %d instances, each on its agent, %d at a time", replaced,
			max(1, goalOf(t.next, replaced).Unavailable)))
		return
	}
	t.plan.Steps = append(t.plan.Steps, "start one instance on each agent that fits")
}
