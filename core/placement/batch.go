package placement

import (
	"cmp"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// staleMost is of how many agents one may have changed for each to be put in its place
// by itself. Of more, all contests are held anew.
const staleMost = 8

// Batch finds places for copies of one request, one after the other, while what is
// chosen is claimed and other claims are made and given back. Each place is the one
// that Choose would find.
//
// It reads all agents once. After that a place takes logarithmic time in the number
// of agents, and time by how many have changed since the last.
type Batch struct {
	books    *ledger.Ledger
	request  Request
	names    []string // of the levels to spread over, the most important first
	wards    int      // levels that have wards: the host and the agent, if they come last, need none
	byHost   bool     // the host comes last but one
	pattern  *ledger.Pattern
	seats    []seat   // by the agents' slots
	ratings  []rating // of the seats
	root     ward
	crowds   []map[string]*crowd // of each level that has wards
	hosts    map[string]*crowd   // nil while every agent is a host of its own
	siblings int
	counted  []int32 // slots that have siblings, or had some
	ranked   int     // how often the books had ranked the agents anew
	read     int     // changes of the books
	ready    bool    // the contests are held
	upset    bool    // they are to be held anew
	stale    []int32
	away     map[id.Agent]int // siblings on agents that have no seat
}

// seat is an agent with what it is judged by.
type seat struct {
	view     ledger.AgentView
	host     *crowd
	place    int32 // in the ward
	cut      int32 // of the pattern
	eligible bool  // it satisfies the constraints
	fits     bool
	stale    bool // it is to be put in its place again
	changed  bool // it is to be weighed before
	counted  bool
}

// NewBatch returns a batch for copies of a request, which names no agent to avoid
// or to take. Changes of the siblings are told to Count.
func NewBatch(books *ledger.Ledger, request Request) *Batch {
	b := &Batch{books: books, request: request, names: levelNames(request.Spread)}
	b.wards, b.byHost = wardsOf(b.names)
	b.request.Siblings, b.away = nil, make(map[id.Agent]int)
	b.readAll()
	for on, n := range request.Siblings {
		b.Count(on, n)
	}
	return b
}

// wardsOf returns how many levels have wards, and whether the host and the agent come
// after them.
func wardsOf(names []string) (wards int, byHost bool) {
	n := len(names)
	switch {
	case names[n-1] != AgentAttribute:
		return n, false
	case names[n-2] != HostAttribute:
		return n - 1, false
	default:
		return n - 2, true
	}
}

// readAll reads all agents anew.
func (b *Batch) readAll() {
	b.seats, b.ratings = make([]seat, b.books.Slots()), make([]rating, b.books.Slots())
	b.root, b.ready, b.upset, b.counted = ward{}, false, false, nil
	b.crowds, b.hosts = make([]map[string]*crowd, b.wards), nil
	for i := range b.crowds {
		b.crowds[i] = make(map[string]*crowd)
	}
	b.read, b.stale, b.ranked = b.books.Changes(), b.stale[:0], b.books.Ranked()
	b.setDominant(dominant(b.books, b.request.Resources))
	for agent := range b.books.Agents() {
		slot := int32(agent.Slot())
		b.sit(slot, agent)
		b.weigh(slot)
		b.enter(slot)
	}
	b.ready = true
	b.holdAll(&b.root)
}

// Count counts copies, or other tasks that are spread together with them, that have
// come to an agent or left it.
func (b *Batch) Count(on id.Agent, n int) {
	b.siblings += n
	b.credit(on, n)
}

// credit counts siblings on an agent that may have a seat.
func (b *Batch) credit(on id.Agent, n int) {
	if agent, known := b.books.Agent(on); known && agent.Slot() < len(b.seats) {
		if slot := int32(agent.Slot()); b.ratings[slot].ward != nil && b.seats[slot].view.ID() == on {
			b.count(slot, int32(n))
			return
		}
	}
	if b.away[on] += n; b.away[on] == 0 {
		delete(b.away, on)
	}
}

// count counts siblings on an agent that has a seat.
func (b *Batch) count(slot, n int32) {
	s, r := &b.seats[slot], &b.ratings[slot]
	if !s.counted {
		s.counted, b.counted = true, append(b.counted, slot)
	}
	r.add(n)
	b.touch(slot)
	if s.host != nil {
		s.host.siblings += int(n)
		for _, other := range s.host.agents {
			b.touch(other)
		}
	}
	for _, of := range r.ward.crowds {
		of.siblings += int(n)
		for _, w := range of.wards {
			b.settle(w.parent, w.place, w.winner())
		}
	}
}

// touch has an agent put in its place again before the next choice.
func (b *Batch) touch(slot int32) {
	if s := &b.seats[slot]; !s.stale {
		s.stale = true
		b.stale = append(b.stale, slot)
	}
}

// Next finds the next place. The error is a *RefusedError.
func (b *Batch) Next() (found Choice, err error) {
	pool, gives := choosePool(b.books, &b.request)
	if !gives {
		return found, refuse(b.books, b.request)
	}
	b.catchUp()
	slot := b.root.winner()
	if slot == nobody {
		return found, refuse(b.books, b.request)
	}
	b.books.AgentAt(int(slot)) // whoever claims the place asks for the agent by its name
	s, r := &b.seats[slot], &b.ratings[slot]
	why := &found.Why
	why.agent, why.weight, why.leftover, why.dominant = s.view, r.weight(), r.left, b.pattern.Dominant()
	why.levels, why.siblings, why.pool, why.pools = b.names, b.siblings, pool, len(b.request.Pools)
	if b.siblings > 0 {
		b.crowdsOf(slot, &why.near)
	}
	if len(b.request.Ports) == 0 {
		cut, ok := b.pattern.List(s.cut)
		if !ok {
			cut, ok = b.pattern.Cut(s.view)
		}
		if ok {
			found.Agent, found.Pool, found.Slices = s.view.ID(), pool, cut
			return found, nil
		}
	}
	return choice(b.books, &b.request, *why), nil
}

// crowdsOf counts the siblings on each level.
func (b *Batch) crowdsOf(slot int32, near *nearby) {
	level := 0
	for _, of := range b.ratings[slot].ward.crowds {
		near.set(level, of.siblings)
		level++
	}
	if b.byHost {
		near.set(level, b.hosted(slot))
		level++
	}
	if level < len(b.names) {
		near.set(level, int(b.ratings[slot].own()))
	}
}

// hosted returns how many siblings are on the host of an agent.
func (b *Batch) hosted(slot int32) int {
	if s := &b.seats[slot]; s.host != nil {
		return s.host.siblings
	}
	return int(b.ratings[slot].own())
}

// before reports whether the agent of slot x is better than that of y. Both fit.
func (b *Batch) before(x, y int32) bool {
	p, q := &b.ratings[x], &b.ratings[y]
	switch {
	case p.weight() != q.weight():
		return p.weight() > q.weight()
	case p.ward != q.ward || b.hosts != nil:
		if order := b.compareCrowds(x, y); order != 0 {
			return order < 0
		}
	}
	switch {
	case p.merit != q.merit:
		return p.merit < q.merit
	case p.left != q.left:
		return p.left < q.left
	default:
		return p.rank < q.rank
	}
}

// compareCrowds compares how many siblings are near two agents, but on themselves.
func (b *Batch) compareCrowds(x, y int32) int {
	p, q := b.ratings[x].ward, b.ratings[y].ward
	if p != q {
		for i, of := range p.crowds {
			if order := cmp.Compare(of.siblings, q.crowds[i].siblings); order != 0 {
				return order
			}
		}
	}
	if b.byHost {
		return cmp.Compare(b.hosted(x), b.hosted(y))
	}
	return 0
}

// catchUp takes in what has changed in the books.
func (b *Batch) catchUp() {
	if now := b.books.Ranked(); now != b.ranked {
		for slot, rank := range b.books.Ranks()[:len(b.ratings)] {
			b.ratings[slot].rank = rank
		}
		b.ranked = now
	}
	for ; b.read < b.books.Changes(); b.read++ {
		slot, known := b.books.Changed(b.read)
		if !known {
			b.reread()
			return
		}
		b.notice(int32(slot))
	}
	all := b.upset || len(b.stale) > len(b.seats)/staleMost
	for _, slot := range b.stale {
		s, r := &b.seats[slot], &b.ratings[slot]
		if s.stale = false; r.ward == nil {
			continue
		}
		if s.changed {
			b.weigh(slot)
		}
		switch {
		case all:
			b.enter(slot)
		case s.fits:
			b.settle(r.ward, s.place, slot)
		default:
			b.settle(r.ward, s.place, nobody)
		}
	}
	if all {
		b.holdAll(&b.root)
	}
	b.stale, b.upset = b.stale[:0], false
}

// enter puts an agent in its place if it fits, for contests that are held later.
func (b *Batch) enter(slot int32) {
	s, w := &b.seats[slot], b.ratings[slot].ward
	if !s.fits {
		slot = nobody
	}
	w.enter(s.place, slot)
}

// reread reads all agents anew, after more has changed than the books remember.
func (b *Batch) reread() {
	for slot := range b.seats {
		if own := b.ratings[slot].own(); own != 0 {
			b.away[b.seats[slot].view.ID()] += int(own)
		}
	}
	b.readAll()
	for on, n := range b.away {
		if agent, known := b.books.Agent(on); known {
			b.count(int32(agent.Slot()), int32(n))
			delete(b.away, on)
		}
	}
	b.catchUp()
}

// notice takes in that an agent has changed: what is free of it, what it has, who
// it is, or whether it is there at all.
func (b *Batch) notice(slot int32) {
	if missing := b.books.Slots() - len(b.seats); missing > 0 {
		b.seats, b.ratings = append(b.seats, make([]seat, missing)...), append(b.ratings, make([]rating, missing)...)
	}
	now, there := b.books.AgentAt(int(slot))
	s := &b.seats[slot]
	b.touch(slot)
	s.changed = true
	switch known := b.ratings[slot].ward != nil; {
	case known && there && now == s.view:
		return
	case known && there && b.alike(s, now):
		s.view, s.eligible = now, broken(b.request.Where, now) == nil
	default:
		b.leave(slot)
		if there {
			b.sit(slot, now)
		}
	}
	if there && b.away[now.ID()] != 0 {
		b.count(slot, int32(b.away[now.ID()]))
		delete(b.away, now.ID())
	}
	if is := dominant(b.books, b.request.Resources); is != b.pattern.Dominant() {
		b.setDominant(is)
		for other := range b.seats {
			b.touch(int32(other))
			b.seats[other].changed = true
		}
	}
}

// alike reports whether an agent still has the values that it is counted by.
func (b *Batch) alike(s *seat, now ledger.AgentView) bool {
	if s.view.ID() != now.ID() {
		return false
	}
	for _, name := range b.names {
		before, had := attribute(s.view, name)
		if value, has := attribute(now, name); value != before || has != had {
			return false
		}
	}
	return true
}

// leave takes an agent out of its ward, with its siblings.
func (b *Batch) leave(slot int32) {
	s, r := &b.seats[slot], &b.ratings[slot]
	if r.ward == nil {
		return
	}
	name, own := s.view.ID(), r.own()
	b.count(slot, -own)
	if s.host != nil {
		s.host.agents = slices.DeleteFunc(s.host.agents, func(other int32) bool { return other == slot })
	}
	b.settle(r.ward, s.place, nobody)
	r.ward.spare = append(r.ward.spare, s.place)
	*s, *r = seat{stale: s.stale, changed: s.changed, counted: s.counted}, rating{}
	if own != 0 {
		b.credit(name, int(own)) // it may have come back in another slot
	}
}

func (b *Batch) setDominant(is resource.Type) {
	b.pattern = ledger.NewPattern(b.request.Resources, is)
}

// sit gives an agent a place in its ward, in which it does not take part yet.
func (b *Batch) sit(slot int32, agent ledger.AgentView) {
	s, r := &b.seats[slot], &b.ratings[slot]
	r.ward = b.wardOf(agent)
	s.place, r.rank = b.lodge(r.ward), b.books.Ranks()[slot]
	s.view, s.eligible = agent, broken(b.request.Where, agent) == nil
	if b.byHost {
		b.house(slot, agent)
	}
}

// house counts an agent with those of its host. As long as every agent is a host
// of its own there is nothing to count.
func (b *Batch) house(slot int32, agent ledger.AgentView) {
	host, named := agent.Attribute(HostAttribute)
	if b.hosts == nil && named && host != string(agent.ID()) {
		b.hosts = make(map[string]*crowd)
		for other := range b.seats {
			if s := &b.seats[other]; b.ratings[other].ward != nil && int32(other) != slot {
				name, _ := attribute(s.view, HostAttribute)
				b.join(int32(other), name)
			}
		}
	}
	if b.hosts != nil {
		name, _ := attribute(agent, HostAttribute)
		b.join(slot, name)
	}
}

// join counts an agent and its siblings with those of a host.
func (b *Batch) join(slot int32, host string) {
	of := b.hosts[host]
	if of == nil {
		of = new(crowd)
		b.hosts[host] = of
	}
	b.seats[slot].host = of
	of.agents = append(of.agents, slot)
	of.siblings += int(b.ratings[slot].own())
}

// weigh judges an agent by what is free of it.
func (b *Batch) weigh(slot int32) {
	s, r := &b.seats[slot], &b.ratings[slot]
	s.changed, s.fits = false, false
	if !s.eligible {
		return
	}
	fitting := b.pattern.Weigh(s.view, b.request.Ports)
	s.fits, s.cut = fitting.Fits, fitting.Cut
	r.setWeight(fitting.Weight)
	r.left = fitting.Left
}
