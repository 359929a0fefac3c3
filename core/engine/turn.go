package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/fairshare"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

const (
	// turnsMax bounds how many turns are played to find the place of a task.
	turnsMax = 1000
	// paceMax is of how many places that jobs got lately the times are kept, and paceMin
	// how many there must be to tell when a task may start.
	paceMax, paceMin = 64, 8
)

// Turn is where a task stands in the queue, and when it may start.
type Turn struct {
	Task     id.Task
	Before   int       // tasks whose turn comes earlier
	First    id.Task   // of those before; "" if there is none
	More     bool      // at least so many: no more were counted
	Waiting  int       // tasks that wait, it among them: those of jobs for one of a job, of services for one of a service
	Pool     id.Pool   // by whose share a job waits
	Users    []string  // of a job: whose tasks come earlier, in order
	Expected time.Time // when it may start; zero if that is not known
	Why      string    // what that is taken from
}

// pace is when jobs got the newest places.
type pace struct {
	times []time.Time
	next  int // the oldest, once there are paceMax
}

func (p *pace) add(at time.Time) {
	if len(p.times) < paceMax {
		p.times = append(p.times, at)
		return
	}
	p.times[p.next] = at
	p.next = (p.next + 1) % paceMax
}

// Turn returns where a task stands in the queue. It is false if it does not wait.
func (e *Engine) Turn(name id.Task) (Turn, bool) {
	t := e.tasks[name]
	if t == nil || t.group == nil {
		return Turn{}, false
	}
	turn := e.turnOfService(t)
	if t.group.cell != nil {
		turn = e.turnOfJob(t)
	}
	turn.Task = name
	if r := e.queue.kept; r != nil && r.task == t {
		turn.Expected = r.Start
		turn.Why = fmt.Sprintf("agent %s is kept for it since %s", r.Agent, r.Since.Format(clock))
		if r.Start.IsZero() {
			turn.Why += ", and when the tasks there end is not known"
		}
		return turn, true
	}
	if t.group.cell == nil || turn.More || len(e.queue.pace.times) < paceMin {
		return turn, true
	}
	first := slices.MinFunc(e.queue.pace.times, time.Time.Compare)
	if t.group.cell.key.shape.placedAt.Before(first) {
		turn.Why = "nothing that asks for the same got a place lately"
		return turn, true
	}
	span := max(e.now.Sub(first), time.Second)
	turn.Expected = e.now.Add(span / time.Duration(len(e.queue.pace.times)) * time.Duration(turn.Before+1))
	turn.Why = fmt.Sprintf("if jobs go on to get places as the newest %d did, in %v", len(e.queue.pace.times), span.Round(time.Second))
	return turn, true
}

// FirstTurn returns where a task stands in the queue, or the first one of a service that
// waits. It is false if it does not, or none does.
func (e *Engine) FirstTurn(name string) (Turn, bool) {
	s := e.services[id.Service(name)]
	if s == nil || e.tasks[id.Task(name)] != nil {
		return e.Turn(id.Task(name))
	}
	for _, t := range s.live {
		if t.group != nil {
			return e.Turn(t.group.waiting[0].record.ID)
		}
	}
	return Turn{}, false
}

// turnOfService returns where a task of a service or daemon stands. Those that wait are
// not many.
func (e *Engine) turnOfService(t *entry) Turn {
	var turn Turn
	first := t.group
	for _, h := range []*hall{e.queue.open, e.queue.aside} {
		for g := range h.services.All() {
			turn.Waiting += len(g.waiting)
			if compareServices(g, first) < 0 {
				first = g
			}
			if g != t.group && compareServices(g, t.group) < 0 {
				turn.Before += len(g.waiting)
			}
		}
	}
	at, _ := slices.BinarySearchFunc(t.group.waiting, t, compareEntries)
	if turn.Before += at; turn.Before > 0 {
		turn.First = first.waiting[0].record.ID
	}
	return turn
}

// step is how far the tasks of a cell have had their turns.
type step struct {
	cell  *cell
	group *group
	at    int
}

// next moves to the next task. It is false if there is none.
func (s *step) next() bool {
	if s.at++; s.at < len(s.group.waiting) {
		return true
	}
	next, found := s.cell.groups.After(s.group)
	s.group, s.at = next, 0
	return found
}

// turnOfJob plays the turns of jobs on a copy of the shares, as if there was a place
// for each of them, until it comes to a task.
func (e *Engine) turnOfJob(t *entry) Turn {
	turn := Turn{Pool: t.group.cell.key.account.Pool, Waiting: e.queue.jobs}
	shares := e.queue.shares.Clone()
	line := fairshare.NewLine(shares, func(a, b *step) int { return compareAges(a.group, b.group) })
	for _, c := range e.queue.firstCells() {
		line.Add(c.key.account, &step{c, c.first, 0})
	}
	for s, _, ok := line.First(); ok; s, _, ok = line.First() {
		now := s.group.waiting[s.at]
		if now == t {
			return turn
		}
		if turn.First == "" {
			turn.First = now.record.ID
		}
		if turn.Before == turnsMax {
			break
		}
		turn.Before++
		account := s.cell.key.account
		if !slices.Contains(turn.Users, account.User) {
			turn.Users = append(turn.Users, account.User)
		}
		shares.Charge(account, s.group.spec.Resources)
		line.Remove(account, s)
		if s.next() {
			line.Add(account, s)
		}
	}
	turn.More = true
	return turn
}

// usersShown is how many users an explanation names.
const usersShown = 3

// String says where the task stands, and when it may start.
func (t Turn) String() string {
	var parts []string
	if t.Before == 0 {
		parts = append(parts, fmt.Sprintf("it is first of %s in line", resource.Count(t.Waiting, "task")))
	} else {
		more := ""
		if t.More {
			more = "at least "
		}
		parts = append(parts, fmt.Sprintf("in line behind %s%s of %d, the first is %s", more, resource.Count(t.Before, "task"), t.Waiting, t.First))
	}
	if users := slices.DeleteFunc(slices.Clone(t.Users), func(u string) bool { return u == "" }); len(users) > 0 {
		shown := users[:min(len(users), usersShown)]
		if more := len(users) - len(shown); more > 0 {
			shown = append(slices.Clone(shown), fmt.Sprintf("%d more", more))
		}
		parts = append(parts, "some of "+strings.Join(shown, ", "))
	}
	when := "when it starts is not known"
	if !t.Expected.IsZero() {
		when = "it may start at " + t.Expected.Format(clock)
	}
	if t.Why != "" {
		when += ": " + t.Why
	}
	return strings.Join(append(parts, when), "; ")
}
