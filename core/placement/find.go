package placement

import (
	"cmp"
	"slices"

	"github.com/aloft-run/aloft/core/ledger"
)

// quest looks for the best agent on a shelf.
type quest struct {
	*search
	finder *finder
	shelf  *shelf
	ranks  []uint64
	wanted []int64 // of each scalar
	tight  int64   // of the dominant one
	bounds []bound // of the classes
}

// bound is the best that an agent of a class could be.
type bound struct {
	class  *class
	weight int64
	crowds []int
}

// find fills in the best agent, if the books have many and a shelf for the request. It
// is false if they are to be walked.
func (s *search) find(books *ledger.Ledger) bool {
	names := levelNames(s.request.Spread)
	_, byHost := wardsOf(names)
	f := finderOf(books)
	if f == nil || s.request.Only != "" || !byHost {
		return false
	}
	shelf := f.shelfOf(books, s.request, s.dominant)
	if shelf == nil {
		return false
	}
	q := &quest{search: s, finder: f, shelf: shelf, ranks: books.Ranks()}
	for i, t := range shelf.scalars {
		amount, _ := s.request.Resources.Get(t)
		q.wanted = append(q.wanted, amount.Amount())
		if t == s.dominant {
			q.tight = q.wanted[i]
		}
	}
	q.setApart(books)
	q.bind()
	q.lookAtClasses()
	q.lookApart(books)
	return true
}

// setApart marks the agents that are not like others: those on a host with siblings,
// and those to avoid.
func (q *quest) setApart(books *ledger.Ledger) {
	f := q.finder
	f.apart = f.apart[:0]
	if missing := books.Slots() - len(f.marks); missing > 0 {
		f.marks = append(f.marks, make([]int, missing)...)
	}
	mark := func(slot int32) {
		if f.marks[slot] != f.asked {
			f.marks[slot] = f.asked
			f.apart = append(f.apart, slot)
		}
	}
	if len(q.request.Siblings) > 0 {
		f.hosts.catchUp(books)
	}
	for on, n := range q.request.Siblings {
		if agent, known := books.Agent(on); known && n > 0 {
			host, _ := attribute(agent, HostAttribute)
			for _, slot := range f.hosts.agents[host] {
				mark(slot)
			}
		}
	}
	for _, name := range q.request.Avoid {
		if agent, known := books.Agent(name); known {
			mark(int32(agent.Slot()))
		}
	}
}

// bind finds the bounds of the classes that may have room, the best bound first.
func (q *quest) bind() {
	for _, c := range q.shelf.classes {
		if c.root == none || !q.within(c, c.most, c.root) {
			continue
		}
		b := bound{class: c, weight: q.weigh(c, c.most, c.root)}
		if len(q.request.Siblings) > 0 {
			for i, value := range c.values {
				b.crowds = append(b.crowds, q.levels[i].siblings[value])
			}
		}
		q.bounds = append(q.bounds, b)
		if last := len(q.bounds) - 1; last > 0 && q.bounds[last].compare(q.bounds[0].weight, q.bounds[0].crowds) < 0 {
			q.bounds[0], q.bounds[last] = q.bounds[last], q.bounds[0]
		}
	}
}

// compare compares a bound with an agent: it is below zero if the bound is better.
func (b *bound) compare(weight int64, crowds []int) int {
	return cmp.Or(cmp.Compare(weight, b.weight), slices.Compare(b.crowds, crowds[:min(len(crowds), len(b.crowds))]))
}

// lookAtClasses looks for the best of the agents that are like others.
func (q *quest) lookAtClasses() {
	for i := range q.bounds {
		b := &q.bounds[i]
		if q.fits > 0 && b.compare(q.best.weight, q.best.crowds) > 0 {
			continue
		}
		c := b.class
		weight := b.weight
		if len(c.mixed) > 0 {
			weight = -1
			q.heaviest(c, c.root, &weight)
		}
		n := q.first(c, c.root, weight)
		if n == none {
			continue
		}
		next := candidate{agent: q.shelf.entries[c.nodes[n].slot].view, weight: weight, leftover: c.nodes[n].key - q.tight, crowds: make([]int, len(q.levels))}
		copy(next.crowds, b.crowds)
		q.offer(&next)
	}
}

// offer takes an agent that fits if it is the best so far.
func (q *quest) offer(next *candidate) {
	q.fits++
	if q.fits > 1 && !next.before(&q.best) {
		if q.best.before(next) || q.ranks[q.best.agent.Slot()] < q.ranks[next.agent.Slot()] {
			return
		}
	}
	q.best = *next
}

// lookApart looks at the agents that are not like others one by one, unless the best of
// the others is better than any of them can be.
func (q *quest) lookApart(books *ledger.Ledger) {
	if q.fits > 0 && !slices.ContainsFunc(q.bounds, func(b bound) bool { return b.compare(q.best.weight, q.best.crowds) < 0 }) {
		return
	}
	for _, slot := range q.finder.apart {
		agent, _ := books.AgentAt(int(slot))
		if broken(q.request.Where, agent) != nil {
			continue
		}
		weight, fits := agent.Weigh(q.request.Resources, q.request.Ports)
		if !fits {
			continue
		}
		next := candidate{agent: agent, weight: weight, crowds: make([]int, len(q.levels))}
		q.judge(&next)
		q.offer(&next)
	}
}

// within reports whether the amounts of a node are enough.
func (q *quest) within(c *class, amounts []int64, n int32) bool {
	have := amounts[int(n)*c.amounts:]
	for i, wanted := range q.wanted {
		if have[i] < wanted {
			return false
		}
	}
	return true
}

// weigh returns the mean weight of what would be taken of the amounts of a node.
func (q *quest) weigh(c *class, amounts []int64, n int32) int64 {
	sum := c.base
	have := amounts[int(n)*c.amounts:]
	for i := range c.mixed {
		m := &c.mixed[i]
		left := q.wanted[m.of]
		var mean ledger.Mean
		for j, weight := range m.weights {
			if part := min(left, have[m.first+j]); part > 0 {
				mean.Add(weight, part)
				left -= part
			}
		}
		sum += mean.Weight()
	}
	return sum / max(1, c.types)
}

// free reports whether the agent of a node fits and is like others.
func (q *quest) free(c *class, n int32) bool {
	return q.within(c, c.own, n) && q.finder.marks[c.nodes[n].slot] != q.finder.asked
}

// first returns the first node with room, of a class of mixed weights the first with
// that weight.
func (q *quest) first(c *class, at int32, weight int64) int32 {
	for at != none && q.within(c, c.most, at) {
		mixed := len(c.mixed) > 0
		if mixed && q.weigh(c, c.most, at) < weight {
			return none
		}
		if c.nodes[at].key >= q.tight {
			if found := q.first(c, c.nodes[at].left, weight); found != none {
				return found
			}
			if q.free(c, at) && (!mixed || q.weigh(c, c.own, at) == weight) {
				return at
			}
		}
		at = c.nodes[at].right
	}
	return none
}

// heaviest finds the highest weight of the nodes with room. The most of each partition
// below a node bounds what is taken of it: more of a heavier one is never worse.
func (q *quest) heaviest(c *class, at int32, best *int64) {
	if at == none || !q.within(c, c.most, at) || q.weigh(c, c.most, at) <= *best {
		return
	}
	if q.free(c, at) {
		*best = max(*best, q.weigh(c, c.own, at))
	}
	near, far := c.nodes[at].left, c.nodes[at].right
	if near != none && far != none && q.within(c, c.most, near) && q.within(c, c.most, far) &&
		q.weigh(c, c.most, near) < q.weigh(c, c.most, far) {
		near, far = far, near
	}
	q.heaviest(c, near, best)
	q.heaviest(c, far, best)
}
