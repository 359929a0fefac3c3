package rollout

import (
	"cmp"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// Batch is what a job shall come to: each of its copies runs once to a good end.
type Batch struct {
	Copies  int
	Retries int  // new tasks for a copy after its first that failed
	Stopped bool // an operator stopped it: end what runs, start nothing
}

// Copy is one task of a job as it was last seen.
type Copy struct {
	Task    id.Task
	Number  int // which of the copies it is, from 0
	State   task.State
	Since   time.Time // when it entered State
	Leaving bool      // to be stopped and started elsewhere
	Blocked bool      // Pending, and no place was found for it
}

// BatchPlan is what to do now for a job, and where it stands before that.
type BatchPlan struct {
	Start  []int     // numbers of the copies that need a new task, ascending
	Stop   []id.Task // to begin the stop path with
	Cancel []id.Task // Pending, without a claim: simply forget

	Live     int // copies with a task that has not ended
	Finished int // copies that are done
	Failed   int // copies that used up their tries

	Verdict  Verdict   // Going until every copy has ended
	AskAgain time.Time // zero: only when something changes
	Waiting  string    // what it waits for; "" when it is over
}

// NextCopies returns the plan that brings a job one step closer to its end.
//
// A copy runs on one task at a time. When that Failed, the copy gets another
// after task.RetryDelay, at most want.Retries times. A task that was Lost or
// Stopped says nothing about the program: it is replaced at once and does not
// count; when a lost one comes back, the task of the copy that has come furthest
// goes on, and the others end. A copy that failed for good does not stop the others. The caller shows
// every task of the job, ended ones too, until the job is over.
func NextCopies(want Batch, seen []Copy, now time.Time) BatchPlan {
	var plan BatchPlan
	copies := make([]tries, max(0, want.Copies))
	for i := range seen {
		c := &seen[i]
		unwanted := want.Stopped || c.Number < 0 || c.Number >= len(copies)
		if c.State.Live() && (unwanted || c.Leaving) {
			plan.end(c)
		}
		if c.Number >= 0 && c.Number < len(copies) {
			copies[c.Number].add(c)
		} else if !c.State.Ended() {
			plan.Live++
		}
	}
	for number := range copies {
		plan.next(want, number, &copies[number], now)
	}
	slices.SortFunc(plan.Stop, byTask)
	slices.SortFunc(plan.Cancel, byTask)
	plan.Waiting = plan.waiting(copies)
	plan.judge(want)
	return plan
}

// tries is what became of the tasks of one copy.
type tries struct {
	live     *Copy   // the one that goes on
	doubles  []*Copy // the others that have not ended
	finished bool
	failed   lapses
}

func (t *tries) add(c *Copy) {
	switch {
	case !c.State.Ended() && t.live == nil:
		t.live = c
	case !c.State.Ended() && further(c, t.live) < 0:
		t.doubles = append(t.doubles, t.live)
		t.live = c
	case !c.State.Ended():
		t.doubles = append(t.doubles, c)
	case c.State == task.Finished:
		t.finished = true
	case c.State == task.Failed:
		t.failed.add(c.Since)
	}
}

// further orders the tasks of one copy by who shall go on: one that is to stay, and
// of those the one that has come the furthest.
func further(a, b *Copy) int {
	return cmp.Or(
		yesFirst(a.State.Live() && !a.Leaving, b.State.Live() && !b.Leaving),
		cmp.Compare(phase(b.State), phase(a.State)),
		a.Since.Compare(b.Since),
		byTask(a.Task, b.Task),
	)
}

// phase orders states by how far a program has come; whether a job's is ready says
// nothing.
func phase(s task.State) task.State { return min(s, task.Running) }

// end takes a task out of the job.
func (p *BatchPlan) end(c *Copy) {
	if c.State == task.Pending {
		p.Cancel = append(p.Cancel, c.Task)
	} else {
		p.Stop = append(p.Stop, c.Task)
	}
}

// next decides about one copy.
func (p *BatchPlan) next(want Batch, number int, t *tries, now time.Time) {
	switch {
	case t.live != nil:
		p.Live++
		p.endSpare(want, t)
	case t.finished:
		p.Finished++
	case t.failed.count > want.Retries:
		p.Failed++
	case want.Stopped:
	case now.Before(t.failed.until()):
		p.AskAgain = earliest(p.AskAgain, t.failed.until())
	default:
		p.Start = append(p.Start, number)
	}
}

// endSpare ends what is of no more use to a copy: all but one of its tasks, and that
// one too when the copy has finished. Only a task that was lost and came back is
// ever spare.
func (p *BatchPlan) endSpare(want Batch, t *tries) {
	spare := t.doubles
	if t.finished {
		spare = append(spare, t.live)
	}
	for _, c := range spare {
		if c.State.Live() && !want.Stopped && !c.Leaving { // else it was ended already
			p.end(c)
		}
	}
}

// waiting says in words what keeps the job from its end.
func (p *BatchPlan) waiting(copies []tries) string {
	var blocked, live []id.Task
	for _, t := range copies {
		switch {
		case t.live == nil:
		case t.live.Blocked:
			blocked = append(blocked, t.live.Task)
		default:
			live = append(live, t.live.Task)
		}
	}
	switch {
	case len(blocked) > 0:
		return "room for " + names(blocked)
	case len(live) > 0:
		return names(live) + " to end"
	case p.Live > 0:
		return "tasks of copies too many to end"
	case !p.AskAgain.IsZero():
		return "a while, because a copy failed"
	}
	return ""
}

// judge tells what has become of the job.
func (p *BatchPlan) judge(want Batch) {
	open := max(0, want.Copies) - p.Finished - p.Failed
	switch {
	case p.Live > 0 || open > 0 && !want.Stopped:
	case open > 0:
		p.Verdict = failed("stopped before %d of %d copies ended", open, want.Copies)
	case p.Failed > 0:
		p.Verdict = failed("%d of %d copies failed", p.Failed, want.Copies)
	default:
		p.Verdict.Outcome = Done
	}
}
