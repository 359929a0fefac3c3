package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// entry is a task with what only this leader needs to know of it.
type entry struct {
	record *Task
	owner  *service
	number int64  // the last part of its id: tasks of a service are ordered by it
	leave  *leave // nil unless it drains, or rests
	group  *group // it waits for a place with it; nil if it does not wait
	why    string // why it is where it is, for people; "" if an earlier leader chose, or if there are too many
	round  uint64 // of the batch that its record was made in: until that is taken nobody else has it
	at     int32  // where that batch has it, -1: not yet
	told   bool   // its record was handed out, or is about to be
	routed bool   // it is, or may have been, in a table
}

// leave is how far a task is on its way out of the routing table.
type leave struct {
	left   route.Version // the first table without it; zero: there is none yet
	toldAt time.Time     // when it was told that it drains; zero: not yet, or by an earlier leader
	untold uint64        // the batch by which it began to drain, until that is told
}

// leaving returns how far a task is on its way out of the table.
func (t *entry) leaving() leave {
	if t.leave == nil {
		return leave{}
	}
	return *t.leave
}

func (t *entry) state() task.State { return t.record.Status.State }

// spec returns the spec that the task was created with. What it lives by is specOf.
func (t *entry) spec() *spec.Spec { return t.owner.revisions[t.record.Revision].Spec }

func (t *entry) pending() bool { return t.state() == task.Pending }

func compareEntries(a, b *entry) int { return cmp.Compare(a.number, b.number) }

// taskID returns the name of a service's task. A long service name is cut and
// marked with a sum of the whole, so that tasks of two services never share a
// name.
func taskID(service id.Service, revision id.Revision, number int64) id.Task {
	tail := "-" + strconv.FormatInt(int64(revision), 10) + "-" + strconv.FormatInt(number, 10)
	name := string(service)
	if len(name)+len(tail) > id.LengthMax {
		mark := "-" + strconv.FormatUint(sum(name), 36)
		name = strings.TrimRight(name[:id.LengthMax-len(tail)-len(mark)], "-") + mark
	}
	return id.Task(name + tail)
}

// sum is the FNV-1a hash of a text.
func sum(text string) uint64 {
	hash := uint64(14695981039346656037)
	for i := range len(text) {
		hash = (hash ^ uint64(text[i])) * 1099511628211
	}
	return hash
}

// taskNumber returns the number at the end of a task's name.
func taskNumber(name id.Task) int64 {
	text := string(name)
	number, err := strconv.ParseInt(text[strings.LastIndexByte(text, '-')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return number
}

// restoreLeap parts the numbers of tasks before and after a restore. What the
// cluster did after the backup nobody knows any more, but agents run tasks of
// then, and take an order to run one of the same name for the same.
const restoreLeap = 1_000_000_000

// number gives out so many numbers for tasks of a service, and returns the first.
func (e *Engine) number(s *service, tasks int) int64 {
	last := max(s.record.Tasks, e.config.Restores*restoreLeap)
	e.putService(s, func(r *Service) { r.Tasks = last + int64(tasks) })
	return last + 1
}

// newTask adds a pending task to a service, with a number that was given out for it.
// Its record is handed out with its place, or when it was refused one: see tellNew.
func (e *Engine) newTask(s *service, number int64, fields Task) {
	fields.ID = taskID(s.record.Name, fields.Revision, number)
	fields.Service = s.record.Name
	if fields.CreatedAt = e.now; e.now.Before(s.record.RestartedAt) { // by the clock of a leader before
		fields.CreatedAt = s.record.RestartedAt
	}
	fields.Status = task.Status{State: task.Pending, Since: e.now}
	t := &entry{record: &fields, owner: s, number: number, round: e.batch.round, at: -1}
	e.tasks[fields.ID] = t
	s.live = append(s.live, t)
	e.newTasks = append(e.newTasks, t)
	e.enqueue(t)
	e.touch(s)
}

// untoldMax is how long a new task may wait for the queue before its record is handed
// out without a place, and lateMax how many of these one Take hands out: hundreds of
// thousands may be due at once.
const (
	untoldMax = 30 * time.Second
	lateMax   = 50
)

// tellNew hands out the records of new tasks, but of those for which the queue had no
// time yet: it has in a moment, and a record of each would be written twice. When the
// leader ends meanwhile, nobody has heard of them, and the next one makes others.
func (e *Engine) tellNew() {
	for late := 0; len(e.newTasks) > 0; {
		t := e.newTasks[0]
		if !t.told && t.pending() && e.queue.fresh {
			if e.now.Before(t.record.CreatedAt.Add(untoldMax)) || late == lateMax {
				return
			}
			late++
		}
		if !t.told && e.tasks[t.record.ID] == t {
			e.batch.putTask(t)
		}
		e.newTasks[0] = nil
		e.newTasks = e.newTasks[1:]
	}
	e.newTasks = nil
}

// putTask replaces a task's record by a changed copy.
func (e *Engine) putTask(t *entry, change func(*Task)) {
	change(e.own(t))
	e.batch.putTask(t)
	e.touch(t.owner)
}

// own returns a task's record to be changed: a copy, unless nobody else has it yet.
func (e *Engine) own(t *entry) *Task {
	if t.round != e.batch.round {
		if t.told {
			next := *t.record
			t.record = &next
		}
		t.round, t.at = e.batch.round, -1
	}
	return t.record
}

// move takes a task a step on. That the step is legal is for the caller to know.
func (e *Engine) move(t *entry, event task.Event) {
	next, err := task.Step(t.record.Status, event)
	if err != nil {
		panic(fmt.Sprintf("engine: task %s: %v", t.record.ID, err))
	}
	e.become(t, next)
}

// become gives a task its next status, with all that follows from it.
func (e *Engine) become(t *entry, next task.Status) {
	before := t.record.Status
	e.own(t).Status = next
	e.batch.putTask(t)
	if s := t.owner; s.unconcerned(t, before.State) {
		s.stirred = true
	} else {
		e.touch(s)
	}
	if before.State.Serving() || next.State.Serving() {
		e.tableStale[t.owner.record.Name] = struct{}{}
	}
	if next.State == before.State {
		return
	}
	e.tell(t, before)
	if agent := t.record.Claim.Agent; staying(before.State) != staying(next.State) {
		t.owner.count(agent, staying(next.State))
	}
	switch {
	case next.State.Ended():
		e.end(t, before.State)
	case next.State == task.Assigned || next.State == task.Stopping:
		e.batch.order(t.record.Claim.Agent)
	case next.State == task.Draining:
		e.draining[t] = struct{}{}
		t.leave = &leave{untold: e.batch.round}
		e.leaving = append(e.leaving, t)
		e.untold = append(e.untold, t)
	}
	if before.State == task.Draining {
		delete(e.draining, t)
	}
}

// staying reports whether a task in that state is somewhere and not about to
// leave.
func staying(s task.State) bool { return s.Live() && s.HoldsClaim() }

// end takes a task that has ended off the books and into the history.
func (e *Engine) end(t *entry, before task.State) {
	e.dequeue(t)
	if before.HoldsClaim() {
		e.books.Release(t.record.ID)
		e.rest(t)
		t.charge(e.queue.shares.Refund)
		t.owner.claims--
		e.roomGrew()
		if m := e.agents[t.record.Claim.Agent]; m != nil {
			delete(m.tasks, t)
			e.batch.order(m.record.ID)
			e.settleAgent(m)
		}
	}
	s := t.owner
	if i, found := slices.BinarySearchFunc(s.live, t, compareEntries); found {
		s.live = slices.Delete(s.live, i, i+1)
	}
	s.ended = append(s.ended, t)
	if !s.record.Kind.RunsToCompletion() { // these have no routes
		e.tableStale[s.record.Name] = struct{}{}
	}
	e.trimEnded(s)
}

// giveBack is the way back of end: a task that was given up is on the books again.
// It is an error, and nothing changes, if its claim does not fit any more.
func (e *Engine) giveBack(t *entry, next task.Status) error {
	e.endRest(t.record.ID)
	if err := e.books.Claim(t.record.Claim); err != nil {
		e.rest(t)
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	s, m := t.owner, e.agents[t.record.Claim.Agent]
	s.ended = slices.DeleteFunc(s.ended, func(other *entry) bool { return other == t })
	at, _ := slices.BinarySearchFunc(s.live, t, compareEntries)
	s.live = slices.Insert(s.live, at, t)
	s.claims++
	s.count(m.record.ID, true)
	m.tasks[t] = struct{}{}
	t.leave, s.doubled = nil, true
	e.tableStale[s.record.Name] = struct{}{}
	e.putTask(t, func(r *Task) { r.Status = next })
	t.charge(e.queue.shares.Charge)
	return nil
}

// tell adds a note for a change of state that people care about.
func (e *Engine) tell(t *entry, before task.Status) {
	r := t.record
	note := Note{Service: r.Service, Task: r.ID, Agent: r.Claim.Agent, Text: r.Status.Reason}
	switch r.Status.State {
	case task.Ready:
		note.Kind = TaskReady
	case task.Backoff, task.Failed:
		note.Kind, note.Text = TaskFailed, failureText(r.Status)
	case task.Lost:
		note.Kind = TaskLost
	case task.Stopped, task.Finished:
		if before.State == task.Pending {
			return // it never was anywhere
		}
		note.Kind, note.Text = TaskEnded, r.Status.State.String()
		if r.Status.Reason != "" {
			note.Text += ": " + r.Status.Reason
		}
	default:
		return
	}
	e.note(note)
}

// failureText says in words how a task's newest attempt failed.
func failureText(status task.Status) string {
	if status.Last == nil || status.Reason != "" && status.Reason != status.Last.String() {
		return status.Reason
	}
	if n := len(status.Last.LastLogs); n > 0 {
		return status.Last.String() + ": " + status.Last.LastLogs[n-1]
	}
	return status.Last.String()
}
