package engine

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/fairshare"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ordered"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// Bounds of what one Take does for the queue, so that neither a large deployment
// nor a long queue holds up the cluster: the rest is for the next Take, which is
// due at once.
const (
	placedMax  = 500   // tasks that are placed
	refusedMax = 100   // places that are looked for in vain
	movedMax   = 2_000 // cells of a shape that was refused already that are put aside
	cutMax     = 100   // Takes for which a pass goes on before those that were refused first are tried again
)

// queue is the tasks that wait for a place. At one priority, services and daemons
// come before jobs. Among themselves they are served by age; jobs by the shares of
// their pools, then of their users, then by age.
//
// A pass tries each group of a service and each shape of jobs until it is refused.
// What was refused stands aside until there may be more room; then the next pass
// begins, with all of them. All that an event costs is the logarithm of how many
// wait.
type queue struct {
	groups    map[groupKey]*group
	shapes    map[string]*shape
	cells     map[cellKey]*cell
	shares    *fairshare.Tree
	open      *hall
	aside     *hall
	pass      int
	refused   int          // shapes that were refused in this pass and still wait
	kept      *reservation // nil for none
	keptTried int          // the pass in which its task was tried
	seekAt    time.Time    // when a task for which room is to be kept may be sought again
	jobs      int          // tasks of jobs that wait
	pace      pace         // of jobs
	newcomers []*group     // since the last pass was over
	spent     spending     // by this Take
	cut       int          // Takes that this pass has not been enough for
	fresh     bool         // something may be there that was not tried
	grown     bool         // there may be room for what was refused
}

// hall is those who wait, in the order in which they are served.
type hall struct {
	services *ordered.Set[*group] // and daemons
	jobs     *fairshare.Line[*cell]
}

// spending is what was done in one Take.
type spending struct{ placed, refused, moved int }

func newQueue() queue {
	shares := fairshare.New()
	return queue{
		groups: make(map[groupKey]*group), shapes: make(map[string]*shape), cells: make(map[cellKey]*cell),
		shares: shares, open: newHall(shares), aside: newHall(shares), pass: 1,
	}
}

func newHall(shares *fairshare.Tree) *hall {
	return &hall{services: ordered.New(compareServices), jobs: fairshare.NewLine(shares, compareCells)}
}

func (q *queue) hall(aside bool) *hall {
	if aside {
		return q.aside
	}
	return q.open
}

// blocked reports whether a task waits and was refused a place.
func (t *entry) blocked() bool { return t.group != nil && t.group.refusal != nil }

// enqueue has a pending task wait for a place.
func (e *Engine) enqueue(t *entry) {
	q, key := &e.queue, groupKey{t.record.Service, t.record.Revision, t.record.Claim.Agent}
	g := q.groups[key]
	if g == nil {
		g = &group{key: key, owner: t.owner, spec: t.spec()}
		g.priority = e.priority(g.spec.Pools)
		q.groups[key] = g
		q.newcomers = append(q.newcomers, g)
	}
	t.group, q.fresh = g, true
	if g.ofJobs() {
		q.jobs++
	}
	first := len(g.waiting) == 0 || compareEntries(t, g.waiting[0]) < 0
	if first && len(g.waiting) > 0 {
		q.leave(g)
	}
	g.add(t)
	if first {
		e.stand(g)
	}
}

// dequeue takes a task out of the queue, if it is there.
func (e *Engine) dequeue(t *entry) {
	g := t.group
	if g == nil {
		return
	}
	t.group = nil
	if g.ofJobs() {
		e.queue.jobs--
	}
	if e.queue.kept != nil && e.queue.kept.task == t {
		e.dropReservation()
	}
	first := g.waiting[0] == t
	if !first || len(g.waiting) > 1 && g.waiting[1].record.CreatedAt.Equal(g.since) {
		g.remove(t)
	} else {
		e.queue.leave(g)
		g.remove(t)
		if len(g.waiting) > 0 {
			e.stand(g)
		}
	}
	switch {
	case len(g.waiting) == 0:
		delete(e.queue.groups, g.key)
	case first && g.refusal != nil:
		e.tellRefusal(g) // the next one is the first now
	}
}

// stand puts a group into the queue by the age of its first task.
func (e *Engine) stand(g *group) {
	q := &e.queue
	g.since = g.waiting[0].record.CreatedAt
	if !g.ofJobs() {
		q.hall(g.aside).services.Add(g)
		return
	}
	key := shapeKey(g.spec)
	s := q.shapes[key]
	if s == nil {
		s = &shape{key: key}
		q.shapes[key] = s
	}
	at := cellKey{s, account(e.highest(g.spec.Pools), g.spec)}
	c := q.cells[at]
	if c == nil {
		c = &cell{key: at, groups: ordered.New(compareAges)}
		q.cells[at] = c
		s.cells++
	}
	g.cell = c
	q.changeCell(c, func() { c.groups.Add(g) })
}

// leave takes a group out of the queue, to put it back elsewhere or for good.
func (q *queue) leave(g *group) {
	if g.cell == nil {
		q.hall(g.aside).services.Remove(g)
		return
	}
	c := g.cell
	g.cell = nil
	q.changeCell(c, func() { c.groups.Remove(g) })
	if c.groups.Len() > 0 {
		return
	}
	s := c.key.shape
	delete(q.cells, c.key)
	if s.cells--; s.cells == 0 {
		delete(q.shapes, s.key)
		if s.pass == q.pass {
			q.refused--
		}
	}
}

// changeCell changes the groups of a cell, and has it stand by the first of them.
func (q *queue) changeCell(c *cell, change func()) {
	jobs := q.hall(c.aside).jobs
	if c.first != nil {
		jobs.Remove(c.key.account, c)
	}
	change()
	if c.first, _ = c.groups.First(); c.first != nil {
		jobs.Add(c.key.account, c)
	}
}

// highest returns the pool of the highest priority of several, the first of
// equals; "" if there are none.
func (e *Engine) highest(pools []id.Pool) id.Pool {
	var best *Pool
	for _, name := range pools {
		if p := e.pools[name]; p != nil && (best == nil || p.Priority > best.Priority) {
			best = p
		}
	}
	if best == nil {
		return ""
	}
	return best.ID
}

// priority returns that of the highest pool of several.
func (e *Engine) priority(pools []id.Pool) int {
	if p := e.pools[e.highest(pools)]; p != nil {
		return p.Priority
	}
	return 0
}

// account returns what a job is charged to that draws from that pool.
func account(pool id.Pool, s *spec.Spec) fairshare.Account {
	return fairshare.Account{Pool: pool, User: s.User}
}

// charge counts what a task of a job holds, by that function of the shares.
func (t *entry) charge(book func(fairshare.Account, resource.Vector)) {
	if s := t.spec(); s.RunsToCompletion() {
		book(account(t.record.Claim.Pool, s), s.Resources)
	}
}

// roomGrew has every task in the queue tried again: something was given back,
// or a pool or agent changed.
func (e *Engine) roomGrew() { e.queue.grown, e.queue.fresh = true, true }

// rank has those stand anew who may draw from a pool that has changed.
func (e *Engine) rank(p *Pool) {
	e.queue.shares.SetPool(p.ID, p.Priority, p.weight())
	for _, g := range e.queue.groups { // in any order: those who stand have one of their own
		if slices.Contains(g.spec.Pools, p.ID) {
			e.queue.leave(g)
			g.priority = e.priority(g.spec.Pools)
			e.stand(g)
		}
	}
}

// countTotals counts anew what the cluster has, after an agent has changed.
func (e *Engine) countTotals() {
	for _, t := range e.books.Types() {
		e.queue.shares.SetTotal(t, e.books.Total(t))
	}
}

// reopen begins a pass, with all that was refused in the one before. It costs no
// more than it did to put that aside.
func (q *queue) reopen() {
	q.pass++
	q.refused, q.cut, q.grown = 0, 0, false
	for {
		g, found := q.aside.services.First()
		if !found {
			break
		}
		q.aside.services.Remove(g)
		g.aside = false
		q.open.services.Add(g)
	}
	for {
		c, _, found := q.aside.jobs.First()
		if !found {
			break
		}
		q.aside.jobs.Remove(c.key.account, c)
		c.aside = false
		q.open.jobs.Add(c.key.account, c)
	}
}

// next returns the group whose turn it is of those that may have a place; nil if
// there is none, or if this Take has done enough.
func (q *queue) next() *group {
	for !q.spent.enough() {
		g, service := q.open.services.First()
		c, priority, job := q.open.jobs.First()
		job = job && q.refused < len(q.shapes)
		switch {
		case service && (!job || g.priority >= priority):
			return g
		case !job:
			return nil
		case c.key.shape.pass != q.pass:
			return c.first
		}
		q.open.jobs.Remove(c.key.account, c)
		c.aside = true
		q.aside.jobs.Add(c.key.account, c)
		q.spent.moved++
	}
	return nil
}

// refuse puts aside a group that was refused a place, or its shape.
func (q *queue) refuse(g *group, why error) {
	g.refusal = why
	q.spent.refused++
	if g.cell == nil {
		q.open.services.Remove(g)
		g.aside = true
		q.aside.services.Add(g)
		return
	}
	s := g.cell.key.shape
	s.refusal = why
	if s.pass != q.pass {
		s.pass = q.pass
		q.refused++
	}
}

// begin has a Take begin.
func (q *queue) begin() {
	if q.spent.refused >= refusedMax || q.spent.moved >= movedMax {
		q.cut++
	}
	q.spent = spending{}
}

// enough reports whether a Take has done what it may.
func (s spending) enough() bool {
	return s.placed >= placedMax || s.refused >= refusedMax || s.moved >= movedMax
}

// party is who stands at one place of the queue: a group of a service or daemon, or
// the groups of a cell.
type party struct {
	group *group
	cell  *cell
}

// first returns the group by which the party stands.
func (p party) first() *group {
	if p.cell != nil {
		return p.cell.first
	}
	return p.group
}

// groups iterates over the groups of the party, in order.
func (p party) groups() iter.Seq[*group] {
	if p.cell != nil {
		return p.cell.groups.All()
	}
	return func(yield func(*group) bool) { yield(p.group) }
}

// inOrder returns all who wait as they stand: in the order in which they would be
// served if none before them got a place.
func (q *queue) inOrder() []party {
	var all []party
	for _, h := range []*hall{q.open, q.aside} {
		for g := range h.services.All() {
			all = append(all, party{group: g})
		}
		for _, c := range h.jobs.All() {
			all = append(all, party{cell: c})
		}
	}
	slices.SortFunc(all, func(a, b party) int {
		switch {
		case a.first().priority != b.first().priority:
			return cmp.Compare(b.first().priority, a.first().priority)
		case a.cell == nil || b.cell == nil:
			return cmp.Or(placeOf(a)-placeOf(b), compareAges(a.first(), b.first()))
		}
		return q.compareTurns(a.cell, b.cell)
	})
	return all
}

// compareTurns orders cells by their turns, whichever halls they stand in.
func (q *queue) compareTurns(a, b *cell) int {
	return cmp.Or(q.shares.Compare(a.key.account, b.key.account), compareCells(a, b))
}

// placeOf returns 0 for what is not a job, and 1 for jobs.
func placeOf(p party) int {
	if p.cell == nil {
		return 0
	}
	return 1
}
