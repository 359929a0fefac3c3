package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/task"
)

// movesAtOnce is how many instances of one service move at one time, where its
// surge allows so many.
const movesAtOnce = 3

// movePatience is how long what takes the place of an instance that moves may take
// to be ready, where its spec sets no deadline for deployments.
const movePatience = time.Minute

// moves reports whether a task is to move to another agent.
func (t *entry) moves() bool { return t.record.Moves.To != "" }

// moving returns the instances whose turn it is to move. They stay on their way
// until they have left, or the move is given up.
func (s *service) moving() []*entry {
	var list []*entry
	for _, t := range s.live {
		if t.moves() && t.state().Live() {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		return nil
	}
	slices.SortStableFunc(list, func(a, b *entry) int { return cmp.Compare(a.record.Moves.Turn, b.record.Moves.Turn) })
	return list[:min(len(list), movesAtOnce, max(1, s.goal().Surge))]
}

// follower returns what is to be known of the next task that is started: that it
// takes the place of an instance that moves and where, or nothing.
func (s *service) follower() Task {
	for _, t := range s.moving() {
		if s.followerOf(t) == nil {
			return Task{Claim: ledger.Claim{Agent: t.record.Moves.To}, Follows: t.record.ID}
		}
	}
	return Task{}
}

// followerOf returns the task that takes the place of one that moves; nil if there
// is none yet.
func (s *service) followerOf(t *entry) *entry {
	for _, other := range s.live {
		if other.record.Follows == t.record.ID && other.state().Live() {
			return other
		}
	}
	return nil
}

// heldBack reports whether an instance that moves must not be stopped yet, of so
// many that move: what takes its place is not ready, or not started and needed.
func (s *service) heldBack(t *entry, moving int) bool {
	if next := s.followerOf(t); next != nil {
		return next.state() != task.Ready
	}
	staying := 0
	for _, other := range s.live {
		if other.state().Live() {
			staying++
		}
	}
	return staying-moving < s.goal().Instances
}

// checkMoves gives up the moves of a service that lead nowhere, and lets go the
// tasks that wait for a place on a certain agent for nobody's sake.
func (e *Engine) checkMoves(s *service) {
	for _, t := range s.live {
		if !t.moves() || !t.state().Live() {
			continue
		}
		if why := e.movesInVain(s, t); why != "" {
			e.stay(t, why)
		}
	}
	for _, t := range s.snapshot() {
		if !t.pending() || t.record.Claim.Agent == "" {
			continue
		}
		if before := e.tasks[t.record.Follows]; before == nil || !before.moves() || !before.state().Live() {
			e.stopTask(t, "nothing moves any more to the place that it waits for")
		}
	}
}

// movesInVain says why the move of an instance is to be given up; "" if it goes on.
// When that may change with time, it is asked again then.
func (e *Engine) movesInVain(s *service, t *entry) string {
	to := e.agents[t.record.Moves.To]
	switch {
	case s.deployment() != nil:
		return fmt.Sprintf("deployment %s is under way", s.record.Deployment)
	case s.record.Stopped:
		return "the service is stopped"
	case to == nil:
		return fmt.Sprintf("agent %s is gone", t.record.Moves.To)
	case to.record.Draining:
		return fmt.Sprintf("agent %s is drained", t.record.Moves.To)
	case to.silent():
		return fmt.Sprintf("agent %s is silent", t.record.Moves.To)
	}
	next := s.followerOf(t)
	if next == nil || next.state() == task.Ready {
		return ""
	}
	if next.record.Status.Failures > 0 {
		return fmt.Sprintf("task %s: %s", next.record.ID, failureText(next.record.Status))
	}
	patience := cmp.Or(s.specOf(next).Deploy.Deadline, movePatience)
	if due := next.record.CreatedAt.Add(patience); e.now.Before(due) {
		s.wakeBy(due)
		return ""
	}
	return fmt.Sprintf("task %s is not ready after %v: %s", next.record.ID, patience, cmp.Or(next.record.Status.Reason, next.state().String()))
}

// stay ends the move of an instance that has not left.
func (e *Engine) stay(t *entry, why string) {
	to := t.record.Moves.To
	if next := t.owner.followerOf(t); next != nil {
		e.putTask(next, func(r *Task) { r.Follows = "" }) // it is an instance as any other now
	}
	e.putTask(t, func(r *Task) { r.Moves = Move{} })
	e.note(Note{
		Kind: TaskStays, Service: t.record.Service, Task: t.record.ID, Agent: t.record.Claim.Agent,
		Text: fmt.Sprintf("it does not move to agent %s: %s", to, why),
	})
}

func (v AbortMoves) fold(e *Engine) (Answer, error) {
	services, err := e.spreadServices(v.Services)
	if err != nil {
		return Answer{}, err
	}
	changed := false
	for _, s := range services {
		for _, t := range s.live {
			if t.moves() && t.state().Live() {
				e.stay(t, "taken back by an operator")
				changed = true
			}
		}
	}
	return Answer{Changed: changed}, nil
}

// MoveState tells how far the move of an instance is.
type MoveState uint8

// The states of a move; those from MoveDone on are ends.
const (
	MoveWaits   MoveState = iota + 1 // for its turn, or for room
	MoveStarts                       // what takes its place is not ready yet
	MoveSettles                      // it is, and not for long enough to count
	MoveLeaves                       // the instance drains and stops
	MoveDone                         // it has left
	MoveGivenUp                      // it stays where it is
	MoveLost                         // the instance ended otherwise
)

// String returns the state in a word or two.
func (s MoveState) String() string {
	names := [...]string{"unknown", "waits", "starts", "settles", "leaves", "done", "given up", "lost"}
	if int(s) < len(names) {
		return names[s]
	}
	return names[0]
}

// Moves returns how far the moves of some instances are, or of all that move.
func (e *Engine) Moves(names []id.Task) []PlannedMove {
	var list []PlannedMove
	for _, name := range names {
		if t := e.tasks[name]; t != nil {
			list = append(list, t.showMove())
		} else {
			list = append(list, PlannedMove{Task: name, State: MoveDone}) // it ended long ago
		}
	}
	if len(names) > 0 {
		return list
	}
	for s := range e.Services() {
		for _, t := range e.services[s.Name].live {
			if t.moves() {
				list = append(list, t.showMove())
			}
		}
	}
	return list
}

func (t *entry) showMove() PlannedMove {
	m := PlannedMove{Service: t.record.Service, Task: t.record.ID, From: t.record.Claim.Agent, To: t.record.Moves.To}
	next := t.owner.followerOf(t)
	if next != nil {
		m.By = next.record.ID
	}
	switch state := t.state(); {
	case state == task.Stopped:
		m.State = MoveDone
	case state.Ended():
		m.State = MoveLost
	case !state.Live():
		m.State = MoveLeaves
	case !t.moves():
		m.State = MoveGivenUp
	case next == nil || next.pending():
		m.State = MoveWaits
	case next.state() == task.Ready:
		m.State = MoveSettles
	default:
		m.State = MoveStarts
	}
	return m
}
