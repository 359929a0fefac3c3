package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// movesDefault and movesMax are how many moves a rebalance makes where nothing
// else is said, and at most.
const (
	movesDefault = 10
	movesMax     = 1000
)

// MovesPlan is what a rebalance would do.
type MovesPlan struct {
	Moves   []PlannedMove // in the order of their turns
	Skipped []SkippedService
	More    bool // more moves would help
}

// PlannedMove is one instance that is to move.
type PlannedMove struct {
	Service  id.Service
	Task     id.Task
	From, To id.Agent
	Why      string
	State    MoveState // 0 while it is only planned
	By       id.Task   // what takes its place; "" while there is nothing
}

// SkippedService is a service that a rebalance leaves as it is, and why.
type SkippedService struct {
	Service id.Service
	Why     string
}

// PlanMoves returns what a rebalance would do, and changes nothing.
func (e *Engine) PlanMoves(v Rebalance) (MovesPlan, error) {
	if v.Max < 0 || v.Max > movesMax {
		return MovesPlan{}, invalid("%d moves, want 1 to %d", v.Max, movesMax)
	}
	services, err := e.spreadServices(v.Services)
	if err != nil {
		return MovesPlan{}, err
	}
	p := &planner{books: e.books.Clone(), before: e.books.Clone(), most: cmp.Or(v.Max, movesDefault)}
	var crowds []*crowd
	for _, s := range services {
		if why := e.unmoved(s); why != "" {
			p.plan.Skipped = append(p.plan.Skipped, SkippedService{s.record.Name, why})
		} else if s.goal().Instances > 1 {
			crowds = append(crowds, newCrowd(s))
		}
	}
	for moved := true; moved && !p.plan.More; { // one move of each service after the other; each may make room for others
		moved = false
		for _, c := range crowds {
			moved = p.improve(c) || moved
		}
	}
	for _, l := range p.legs {
		l.By = "" // the name of a claim on the copy
		p.plan.Moves = append(p.plan.Moves, l.PlannedMove)
	}
	return p.plan, nil
}

// spreadServices returns the services that are named, or all.
func (e *Engine) spreadServices(names []id.Service) ([]*service, error) {
	if len(names) == 0 {
		for name, s := range e.services {
			if s.record.Kind == spec.Service {
				names = append(names, name)
			}
		}
	}
	var list []*service
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		s := e.services[name]
		switch {
		case s == nil:
			return nil, unknown("service", name)
		case s.record.Kind != spec.Service:
			return nil, invalid("%s is a %s: only the instances of a service can move", name, s.record.Kind)
		}
		list = append(list, s)
	}
	return list, nil
}

// unmoved says why a service is not to be moved now; "" if it may be. A service
// that is not as it should be is left alone.
func (e *Engine) unmoved(s *service) string {
	goal := s.goal()
	switch {
	case goal.Instances == 0:
		return ""
	case s.deployment() != nil:
		return fmt.Sprintf("deployment %s is under way", s.record.Deployment)
	case goal.Surge == 0:
		return "it has no surge: an instance would stop before another starts in its place"
	}
	for _, t := range s.live {
		_, suspect := e.suspect(t.record.Claim.Agent)
		if t.state() != task.Ready || t.record.Status.IsUnhealthy() || suspect || t.moves() || e.leavesAgent(t) || s.restarts(t) {
			return cmp.Or(prefixed("it waits for ", s.waiting), "it is not settled")
		}
	}
	if len(s.live) != goal.Instances {
		return cmp.Or(prefixed("it waits for ", s.waiting), "it is not settled")
	}
	return ""
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// planner gathers moves on a copy of the books.
type planner struct {
	books  *ledger.Ledger // with the moves
	before *ledger.Ledger // without them
	most   int
	made   int // claims that the moves have made on the copy
	legs   []leg
	plan   MovesPlan
}

// leg is a move with what it takes where it goes.
type leg struct {
	PlannedMove
	crowd *crowd
	pool  id.Pool
}

// claim books on a copy of the books what the move takes where it goes.
func (l *leg) claim(books *ledger.Ledger) error {
	fitted, err := books.Fit(l.To, l.crowd.request.Resources, l.crowd.request.Ports)
	if err != nil {
		return err
	}
	return books.Claim(ledger.Claim{Task: l.By, Agent: l.To, Pool: l.pool, Slices: fitted.Slices})
}

// crowd is a service whose instances are to be evened out.
type crowd struct {
	service   *service
	request   placement.Request
	instances []id.Task // those that may move, newest first; one that moves again has the name of its claim
}

func newCrowd(s *service) *crowd {
	wanted := s.wanted()
	c := &crowd{service: s, request: request(&entry{owner: s, record: &Task{Revision: wanted.Number}})}
	c.request.Siblings = maps.Clone(s.on)
	for _, t := range slices.Backward(s.live) {
		c.instances = append(c.instances, t.record.ID)
	}
	return c
}

// improve plans the best move of a crowd. It is false when there is none, or no
// more may be made.
func (p *planner) improve(c *crowd) bool {
	found, better := placement.Improve(p.books, c.request, c.instances)
	if !better {
		return false
	}
	next := leg{crowd: c, pool: found.Pool, PlannedMove: PlannedMove{
		Service: c.service.record.Name, Task: found.Task, From: found.From, To: found.To, Why: found.Why,
		By: id.Task(fmt.Sprintf("moves-%d-x", p.made+1)),
	}}
	again := slices.IndexFunc(p.legs, func(l leg) bool { return l.By == found.Task })
	if again >= 0 {
		next.Task, next.From = p.legs[again].Task, p.legs[again].From
	}
	legs, can := p.with(next, again)
	if !can {
		p.plan.More = true
		return false
	}
	if next.From == next.To {
		next.By = next.Task
	}
	if err := next.claim(p.books); err != nil {
		return false // it was weighed as fit
	}
	p.books.Release(found.Task)
	c.request.Siblings[found.From]--
	c.request.Siblings[found.To]++
	c.instances[slices.Index(c.instances, found.Task)] = next.By
	p.made++
	p.legs = legs
	return true
}

// with returns the moves with one more. What was to move already, as which of them,
// goes there at once, in the turn of the new move. It is false if that is one move too many, or if one that comes
// before would wait for ever for the room that the first stop would have left it.
func (p *planner) with(next leg, again int) ([]leg, bool) {
	if again < 0 {
		return append(p.legs, next), len(p.legs) < p.most
	}
	legs := slices.Delete(slices.Clone(p.legs), again, again+1)
	if next.From != next.To { // else it stays
		legs = append(legs, next)
	}
	return legs, p.inTurn(legs)
}

// inTurn reports whether each move finds room once those before it were made.
func (p *planner) inTurn(legs []leg) bool {
	var left []ledger.Claim
	can := true
	for _, l := range legs {
		if err := l.claim(p.before); err != nil {
			can = false
			break
		}
		claim, _ := p.before.Release(l.Task)
		left = append(left, claim)
	}
	for i, claim := range slices.Backward(left) { // as it was
		p.before.Release(legs[i].By)
		_ = p.before.Restore(claim) // it was there; only a partition that the agent has no more is not taken back
	}
	return can
}

func (v Rebalance) fold(e *Engine) (Answer, error) {
	plan, err := e.PlanMoves(v)
	if err != nil {
		return Answer{}, err
	}
	for i, m := range plan.Moves {
		t := e.tasks[m.Task]
		e.putTask(t, func(r *Task) { r.Moves = Move{To: m.To, Turn: i + 1} })
		e.note(Note{
			Kind: TaskMoves, Service: m.Service, Task: m.Task, Agent: m.From, Text: fmt.Sprintf("to agent %s: %s", m.To, m.Why),
		})
	}
	return Answer{Changed: len(plan.Moves) > 0, Moves: plan}, nil
}
