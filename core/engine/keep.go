package engine

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/task"
)

const (
	// patience is how long nothing of a shape may have got a place before room is kept
	// for the first that waits.
	patience = 30 * time.Second
	// seekEvery bounds how often a task is sought for which room is to be kept.
	seekEvery = time.Second
	// soughtMax bounds how many shapes and users are looked at, openingsMax on how many
	// agents, and provenMax how many of these are proven to be right.
	soughtMax, openingsMax, provenMax = 256, 1000, 8
)

// reservation is a Reservation with the task that it is for.
type reservation struct {
	*Reservation
	task *entry
}

// pool returns the pool that the task draws from, "" for none.
func (r *reservation) pool() id.Pool { return r.task.group.cell.key.account.Pool }

// opening is when an agent could take a task.
type opening struct {
	agent id.Agent
	ends  int       // tasks that have to end before
	start time.Time // when they will have, zero if that is not known
}

// compareOpenings orders openings: the earliest first, then, if that is not known,
// the one for which the fewest tasks have to end.
func compareOpenings(a, b opening) int {
	return cmp.Or(compareEnds(a.start, b.start), cmp.Compare(a.ends, b.ends), cmp.Compare(a.agent, b.agent))
}

// compareEnds orders times by which something ends: those that are not known, which
// are zero, come last.
func compareEnds(a, b time.Time) int {
	if a.IsZero() != b.IsZero() {
		return b.Compare(a)
	}
	return a.Compare(b)
}

// keep begins a reservation. The next leader goes on with it.
func (e *Engine) keep(r *reservation) {
	e.queue.kept = r
	e.putCluster(func(c *Cluster) { c.Kept = *r.Reservation })
}

// dropReservation ends the reservation: what it held back is tried again.
func (e *Engine) dropReservation() {
	e.queue.kept = nil
	e.putCluster(func(c *Cluster) { c.Kept = Reservation{} })
	e.roomGrew()
}

// recall takes over the reservation of the leader before, and finds out since when
// nothing of each shape that waits has got a place, as far as live tasks tell.
func (e *Engine) recall() {
	if e.cluster != nil && e.cluster.Kept.Task != "" {
		if t := e.tasks[e.cluster.Kept.Task]; t != nil && t.group != nil && t.group.cell != nil {
			kept := e.cluster.Kept
			e.queue.kept = &reservation{&kept, t}
		}
	}
	for _, s := range e.services {
		if len(e.queue.shapes) == 0 || !s.record.Kind.RunsToCompletion() {
			continue
		}
		var of id.Revision
		var waits *shape
		for _, t := range s.live {
			if t.record.Revision != of {
				of = t.record.Revision
				waits = e.queue.shapes[shapeKey(s.revisions[of].Spec)]
			}
			if since := t.record.Status.Since; waits != nil && t.state().HoldsClaim() && since.After(waits.placedAt) {
				waits.placedAt = since
			}
		}
	}
}

// tendReservation gives up a reservation that leads nowhere, or of which the task has
// gone.
func (e *Engine) tendReservation() {
	r := e.queue.kept
	if r == nil {
		if e.cluster != nil && e.cluster.Kept.Task != "" {
			e.dropReservation()
		}
		return
	}
	view, known := e.books.Agent(r.Agent)
	if known && !e.agents[r.Agent].awaited { // else it may be closed only until it has come to this leader
		_, known = e.openingOn(view, r.task)
	}
	if !known {
		e.dropReservation()
	}
}

// tryKept places the task for which room is kept, once in a pass, when those before
// it have had their turns. It reports whether it has a place now.
func (e *Engine) tryKept(next *group) bool {
	q, r := &e.queue, e.queue.kept
	if r == nil || q.keptTried == q.pass || q.spent.enough() {
		return false
	}
	if next != nil && (next.priority > r.task.group.priority || next.priority == r.task.group.priority && next.cell == nil) {
		return false
	}
	q.keptTried = q.pass
	if err := e.placeTask(r.task); err == nil {
		return true
	}
	view, _ := e.books.Agent(r.Agent)
	if open, known := e.openingOn(view, r.task); known && e.inVain(open, r.task) {
		e.dropReservation()
	}
	return false
}

// inVain reports whether nothing is left that could end and so bring a place to a
// task that has none: neither on the agent nor among the jobs that draw from its pool.
func (e *Engine) inVain(o opening, t *entry) bool {
	return o.ends == 0 && e.queue.shares.PoolShare(t.group.cell.key.account.Pool) == 0
}

// seekKept finds a task that has waited for too long, and keeps room for it.
func (e *Engine) seekKept() {
	q := &e.queue
	next := time.Time{}
	defer func() { e.timers.set(timerKey{queueTimer, ""}, next) }()
	switch {
	case q.kept != nil || len(q.cells) == 0:
		return
	case q.seekAt.IsZero(): // when the leader before sought is not known, so it may have done so just now
		q.seekAt = e.now.Add(seekEvery)
	}
	if e.now.Before(q.seekAt) {
		next = q.seekAt
		return
	}
	for _, c := range q.firstCells() {
		t := c.first.waiting[0]
		since := t.record.CreatedAt
		if at := c.key.shape.placedAt; at.After(since) {
			since = at // its kind gets on
		}
		if due := since.Add(patience); e.now.Before(due) {
			next = earliest(next, due)
			continue
		}
		q.seekAt = e.now.Add(seekEvery)
		if r := e.keepFor(t); r != nil { // else there is no hope before something changes
			e.keep(r)
			next = time.Time{}
			return
		}
	}
}

// firstCells returns the cells that stand first, in order.
func (q *queue) firstCells() []*cell {
	var cells []*cell
	for _, h := range []*hall{q.open, q.aside} {
		n := 0
		for _, c := range h.jobs.All() {
			if n++; n > soughtMax {
				break
			}
			cells = append(cells, c)
		}
	}
	slices.SortFunc(cells, q.compareTurns)
	return cells
}

// keepFor returns the reservation for a task on the agent where it could start
// soonest; nil if there is none.
func (e *Engine) keepFor(t *entry) *reservation {
	pool := t.group.cell.key.account.Pool
	if view, known := e.books.Pool(pool); known && !mayGive(view, t) {
		return nil
	}
	var open []opening
	skip, seen := int(sum(string(t.record.ID))%uint64(max(1, e.books.AgentCount()))), 0
	for range 2 { // from somewhere in the middle to the end, then the rest
		for view := range e.books.Agents() {
			if seen++; seen <= skip || seen > skip+e.books.AgentCount() || len(open) == openingsMax {
				continue
			}
			if o, ok := e.openingOn(view, t); ok && !e.inVain(o, t) {
				open = append(open, o)
			}
		}
	}
	slices.SortFunc(open, compareOpenings)
	for _, o := range open[:min(len(open), provenMax)] {
		if e.provesRight(o.agent, t) {
			return &reservation{&Reservation{Task: t.record.ID, Agent: o.agent, Since: e.now, Start: o.start}, t}
		}
	}
	return nil
}

// mayGive reports whether a pool is large enough for a task.
func mayGive(pool ledger.PoolView, t *entry) bool {
	for of, limit := range pool.Pool().Quantity.All() {
		wanted, _ := t.group.spec.Resources.Get(of)
		if of == resource.Ports && wanted.Amount()+int64(len(t.group.spec.Ports)) > limit.Amount() || wanted.Amount() > limit.Amount() {
			return false
		}
	}
	return true
}

// openingOn returns when an agent could take a task, by what it lacks of scalars. It
// is false if it never could, as things stand.
func (e *Engine) openingOn(view ledger.AgentView, t *entry) (opening, bool) {
	s := t.group.spec
	if view.Closed() || !placement.Suits(view, s.Placement.Where) {
		return opening{}, false
	}
	lacks, lacking := make([]int64, 0, s.Resources.Len()), 0
	for of, q := range s.Resources.All() {
		b := view.Balance(of)
		if q.Amount() > b.Quantity {
			return opening{}, false
		}
		if lacks = append(lacks, q.Amount()-b.Available); q.Amount() > b.Available {
			lacking++
		}
	}
	o := opening{agent: view.ID(), start: e.now}
	if lacking == 0 {
		return o, true
	}
	for _, end := range e.ends(view.ID()) {
		i, held := 0, end.task.spec().Resources
		for of := range s.Resources.Types() {
			amount, _ := held.Get(of)
			if lacks[i] > 0 && lacks[i] <= amount.Amount() {
				lacking--
			}
			lacks[i] -= amount.Amount()
			i++
		}
		if o.ends, o.start = o.ends+1, end.at; lacking == 0 {
			return o, true
		}
	}
	return opening{}, false
}

// ending is a task that will end by itself, or soon.
type ending struct {
	task *entry
	at   time.Time // at the latest; zero if that is not known
}

// ends returns the tasks on an agent that will end, in the order in which they do as
// far as that is known.
func (e *Engine) ends(agent id.Agent) []ending {
	var list []ending
	for t := range e.agents[agent].tasks {
		if at, ends := e.endOf(t); ends {
			list = append(list, ending{t, at})
		}
	}
	slices.SortFunc(list, func(a, b ending) int {
		return cmp.Or(compareEnds(a.at, b.at), a.task.record.CreatedAt.Compare(b.task.record.CreatedAt), cmp.Compare(a.task.record.ID, b.task.record.ID))
	})
	return list
}

// endOf returns when a task that has a place will have ended at the latest, zero if
// that is not known. It is false for what is to run on.
func (e *Engine) endOf(t *entry) (time.Time, bool) {
	s := t.spec()
	switch state := t.state(); {
	case !state.Live():
		return t.record.Status.Since.Add(s.Deploy.Drain + s.Deploy.Grace), true
	case !s.RunsToCompletion():
		return time.Time{}, false
	case s.Timeout == 0:
		return time.Time{}, true
	case state == task.Assigned:
		return e.now.Add(s.Timeout + s.Deploy.Grace), true
	default:
		return t.record.Status.Since.Add(s.Timeout + s.Deploy.Grace), true
	}
}

// provesRight reports whether a task fits on an agent from which all has gone that
// will end.
func (e *Engine) provesRight(agent id.Agent, t *entry) bool {
	var books ledger.Ledger
	view, _ := e.books.Agent(agent)
	if err := books.SetAgent(view.Agent()); err != nil {
		return false
	}
	for claim := range view.Claims() {
		if _, ends := e.endOf(e.tasks[claim.Task]); ends {
			continue
		}
		claim.Pool = ""
		if err := books.Restore(claim); err != nil {
			return false
		}
	}
	wanted := request(t)
	wanted.Pools = nil
	_, err := placement.Choose(&books, wanted)
	return err == nil
}

// bars reports whether a place is kept from a task: on the agent, in the pool.
func (e *Engine) bars(t *entry, choice placement.Choice) (agent, pool bool) {
	r := e.queue.kept
	if r == nil || r.task == t || t.group.cell == nil || t.group.priority > r.task.group.priority {
		return false, false
	}
	s := t.group.spec
	before := !r.Start.IsZero() && s.Timeout > 0 && !e.now.Add(s.Timeout+s.Deploy.Grace).After(r.Start)
	if choice.Pool == "" || choice.Pool != r.pool() || before {
		return choice.Agent == r.Agent && !before, false
	}
	view, _ := e.books.Pool(r.pool())
	both, err := s.Resources.Add(r.task.group.spec.Resources)
	return choice.Agent == r.Agent, err != nil || view.Shortage(both, len(s.Ports)+len(r.task.group.spec.Ports)) != nil
}

// chooseBeside finds a place for a task beside what is kept for another one, if the
// place that it would have is.
func (e *Engine) chooseBeside(t *entry, choice placement.Choice) (placement.Choice, error) {
	agent, pool := e.bars(t, choice)
	if !agent && !pool {
		return choice, nil
	}
	r, wanted := e.queue.kept, request(t)
	if pool {
		if wanted.Pools = slices.DeleteFunc(slices.Clone(wanted.Pools), func(p id.Pool) bool { return p == r.pool() }); len(wanted.Pools) == 0 {
			return choice, fmt.Errorf("what is left in pool %s is kept for task %s", r.pool(), r.Task)
		}
	}
	if err := e.books.CloseAgent(r.Agent); err != nil {
		panic(fmt.Sprintf("engine: agent %s is not in the books: %v", r.Agent, err))
	}
	choice, err := placement.Choose(&e.books, wanted)
	if err := e.books.OpenAgent(r.Agent); err != nil {
		panic(fmt.Sprintf("engine: agent %s is not in the books: %v", r.Agent, err))
	}
	if err != nil {
		return choice, fmt.Errorf("no other agent has room, and agent %s is kept for task %s", r.Agent, r.Task)
	}
	return choice, nil
}
