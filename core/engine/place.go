package engine

import (
	"fmt"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// tellEvery is how often the reason why a task waits is written down anew: in a
// busy cluster it changes all the time.
const tellEvery = 10 * time.Second

// whyMax is how many tasks of a service may live at most for it to be kept in memory
// why each is where it is.
const whyMax = 1_000

// place finds places for the tasks that wait. Each group goes on until it is
// refused; one that is refused does not hold up those behind it, which may fit
// elsewhere.
func (e *Engine) place() {
	q := &e.queue
	e.tendReservation()
	if !q.fresh {
		return
	}
	q.fresh = false
	if q.grown && (q.cut == 0 || q.cut >= cutMax) {
		q.reopen()
	}
	for {
		for g := q.next(); g != nil || q.kept != nil; g = q.next() {
			if kept := e.tryKept(g); g == nil && !kept {
				break
			} else if !kept {
				e.placeFirst(g)
			}
		}
		if q.spent.enough() {
			q.fresh = true
			return
		}
		if q.cut = 0; !q.grown {
			break
		}
		q.reopen()
	}
	q.fresh = false
	e.tellNewcomers()
	e.seekKept()
}

// placeFirst finds a place for the first task of a group, or notes why not.
func (e *Engine) placeFirst(g *group) {
	t := g.waiting[0]
	err := g.owner.full()
	if err == nil {
		err = e.placeTask(t)
	}
	if err == nil {
		return
	}
	if g.refusal == nil {
		e.touch(g.owner) // its plan may go on without
	}
	e.queue.refuse(g, err)
	e.tellRefusal(g)
}

// tellNewcomers writes down why groups have no place that came since the last pass
// was over and were not tried themselves: others of their shape were.
func (e *Engine) tellNewcomers() {
	for _, g := range e.queue.newcomers {
		if g.cell == nil || g.refusal != nil || g.cell.key.shape.pass != e.queue.pass {
			continue
		}
		g.refusal = g.cell.key.shape.refusal
		e.touch(g.owner)
		e.tellRefusal(g)
	}
	e.queue.newcomers = nil
}

// full returns an error if a service has all the claims that it may have. Its
// plans start no more, but tasks may still wait that were planned when it was
// allowed more.
func (s *service) full() error {
	if s.record.Kind != spec.Service {
		return nil
	}
	if goal := s.goal(); s.claims >= goal.Instances+goal.Surge {
		return fmt.Errorf("%s may have no more than %s for %s", s.record.Name, resource.Count(s.claims, "claim"), resource.Count(goal.Instances, "instance"))
	}
	return nil
}

// placeTask finds a place for a task and has it take it.
func (e *Engine) placeTask(t *entry) error {
	choice, err := e.choose(t)
	if err == nil {
		choice, err = e.chooseBeside(t, choice)
	}
	if err != nil {
		return err
	}
	t.group.refusal = nil
	return e.hold(t, choice)
}

// tellRefusal writes down why a group waits, with its first task. Those behind
// it ask for the same.
func (e *Engine) tellRefusal(g *group) {
	first := g.waiting[0]
	due := g.toldAt.Add(tellEvery)
	if first.record.Status.Reason != "" && e.now.Before(due) {
		if at := earliest(g.owner.tellAt, due); !at.Equal(g.owner.tellAt) {
			g.owner.tellAt = at
			e.touch(g.owner)
		}
		return
	}
	g.toldAt = e.now
	if why := g.refusal.Error(); why != first.record.Status.Reason {
		e.move(first, task.Block{At: e.now, Reason: why})
	}
}

// tellRefusals writes down the reasons that were held back, once that is due.
func (e *Engine) tellRefusals(s *service) {
	due := s.tellAt
	if due.IsZero() {
		return
	}
	if e.now.Before(due) {
		s.wakeBy(due)
		return
	}
	s.tellAt = time.Time{}
	for _, t := range s.live {
		if t.blocked() && t.group.waiting[0] == t {
			e.tellRefusal(t.group)
		}
	}
}

// request returns what a task asks for, by the spec that it was created with.
func request(t *entry) placement.Request {
	wanted := t.spec()
	ports := make([]ledger.PortWish, len(wanted.Ports))
	for i, p := range wanted.Ports {
		ports[i] = ledger.PortWish{Name: p.Name, Number: int64(p.Number)}
	}
	return placement.Request{
		Service: wanted.Name, Resources: wanted.Resources, Ports: ports, Where: wanted.Placement.Where,
		Spread: wanted.Placement.Spread, Pools: wanted.Pools, Siblings: t.owner.on, Avoid: t.owner.failedOn(t),
		Only: t.record.Claim.Agent,
	}
}

// failedOn returns the agents on which a copy of a job has failed before.
func (s *service) failedOn(t *entry) []id.Agent {
	if t.record.Retry == 0 {
		return nil
	}
	var agents []id.Agent
	for _, before := range s.ended {
		same := before.record.Run == t.record.Run && before.record.Copy == t.record.Copy
		if same && before.state() == task.Failed {
			agents = append(agents, before.record.Claim.Agent)
		}
	}
	return agents
}

// hold books the claim of a place, and has the task take it.
func (e *Engine) hold(t *entry, choice placement.Choice) error {
	claim := choice.Claim(t.record.ID)
	if err := e.books.Claim(claim); err != nil {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	var ports Ports
	for _, p := range choice.Ports {
		ports = ports.With(p.Name, int(p.Number))
	}
	if c := t.group.cell; c != nil {
		c.key.shape.placedAt = e.now
		e.queue.pace.add(e.now)
	}
	e.dequeue(t)
	e.queue.spent.placed++
	t.owner.claims++
	e.agents[claim.Agent].tasks[t] = struct{}{}
	why := choice.Why.String()
	if t.why = ""; len(t.owner.live) <= whyMax {
		t.why = why
	}
	r := e.own(t) // that it moves puts it
	r.Claim, r.Ports = claim, ports
	t.charge(e.queue.shares.Charge)
	e.move(t, task.Assign{At: e.now})
	e.note(Note{
		Kind: TaskPlaced, Service: t.record.Service, Task: t.record.ID, Agent: claim.Agent, Pool: claim.Pool, Text: why,
	})
	return nil
}
