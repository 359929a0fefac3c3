package placement

import (
	"cmp"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

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
	dominant resource.Type
	seats    []seat // by the agents' slots
	root     ward
	crowds   []map[string]*crowd // of each level that has wards
	hosts    map[string]*crowd   // nil while every agent is a host of its own
	siblings int
	ranks    []uint64
	read     int  // changes of the books
	ready    bool // the contests are held
	stale    []int32
	chosen   int32            // the slot of the last place
	away     map[id.Agent]int // siblings on agents that have no seat
	cut      []ledger.Slice   // of the last place: most are cut alike, and share one list
	room     []ledger.Slice
}

// seat is an agent with all that decides.
type seat struct {
	weight   int64 // thousandths
	leftover int64 // of the dominant resource
	ward     *ward // nil: no agent has the slot
	host     *crowd
	view     ledger.AgentView
	place    int32 // in the ward
	own      int32 // siblings on the agent
	eligible bool  // it satisfies the constraints
	fits     bool
	stale    bool
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
	b.seats, b.root, b.ready = make([]seat, b.books.Slots()), ward{}, false
	b.crowds, b.hosts = make([]map[string]*crowd, b.wards), nil
	for i := range b.crowds {
		b.crowds[i] = make(map[string]*crowd)
	}
	b.read, b.stale, b.ranks = b.books.Changes(), b.stale[:0], b.books.Ranks()
	b.dominant = dominant(b.books, b.request.Resources)
	for agent := range b.books.Agents() {
		slot := int32(agent.Slot())
		b.sit(slot, agent)
		s := &b.seats[slot]
		if b.weigh(s); s.fits {
			s.ward.enter(s.place, slot)
		}
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
	if last := &b.seats[b.chosen]; last.ward != nil && last.view.ID() == on {
		if now, there := b.books.AgentAt(int(b.chosen)); there && now == last.view {
			b.count(b.chosen, int32(n))
			return
		}
	}
	if agent, known := b.books.Agent(on); known && agent.Slot() < len(b.seats) {
		if slot := int32(agent.Slot()); b.seats[slot].ward != nil && b.seats[slot].view.ID() == on {
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
	s := &b.seats[slot]
	s.own += n
	b.touch(slot)
	if s.host != nil {
		s.host.siblings += int(n)
		for _, other := range s.host.agents {
			b.touch(other)
		}
	}
	for _, of := range s.ward.crowds {
		of.siblings += int(n)
		for _, w := range of.wards {
			b.settle(w.parent, w.place, w.winner())
		}
	}
}

// touch has an agent judged again before the next choice.
func (b *Batch) touch(slot int32) {
	if s := &b.seats[slot]; !s.stale {
		s.stale = true
		b.stale = append(b.stale, slot)
	}
}

// Next finds the next place. The error is a *RefusedError.
func (b *Batch) Next() (Choice, error) {
	pool, gives := choosePool(b.books, b.request)
	if !gives {
		return Choice{}, refuse(b.books, b.request)
	}
	b.catchUp()
	slot := b.root.winner()
	if slot == nobody {
		return Choice{}, refuse(b.books, b.request)
	}
	b.chosen = slot
	s := &b.seats[slot]
	why := Grounds{
		agent: s.view, weight: s.weight, levels: b.names, siblings: b.siblings, dominant: b.dominant, leftover: s.leftover,
		pool: pool, pools: len(b.request.Pools),
	}
	if b.siblings > 0 {
		b.crowdsOf(s, &why.near)
	}
	if len(b.request.Ports) == 0 {
		if room, ok := s.view.Cut(b.room[:0], b.request.Resources); ok {
			if b.room = room; !slices.Equal(room, b.cut) {
				b.cut = slices.Clone(room)
			}
			return Choice{Agent: s.view.ID(), Pool: pool, Slices: b.cut, Why: why}, nil
		}
	}
	return choice(b.books, &b.request, why), nil
}

// crowdsOf counts the siblings on each level.
func (b *Batch) crowdsOf(s *seat, near *nearby) {
	level := 0
	for _, of := range s.ward.crowds {
		near.set(level, of.siblings)
		level++
	}
	if b.byHost {
		near.set(level, s.hosted())
		level++
	}
	if level < len(b.names) {
		near.set(level, int(s.own))
	}
}

// hosted returns how many siblings are on the host.
func (s *seat) hosted() int {
	if s.host != nil {
		return s.host.siblings
	}
	return int(s.own)
}

// before reports whether the agent of slot x is better than that of y. Both fit.
func (b *Batch) before(x, y int32) bool {
	p, q := &b.seats[x], &b.seats[y]
	if p.weight != q.weight {
		return p.weight > q.weight
	}
	if p.ward != q.ward {
		for i, of := range p.ward.crowds {
			if other := q.ward.crowds[i]; of.siblings != other.siblings {
				return of.siblings < other.siblings
			}
		}
	}
	if b.byHost {
		if here, there := p.hosted(), q.hosted(); here != there {
			return here < there
		}
	}
	return cmp.Or(cmp.Compare(p.own, q.own), cmp.Compare(p.leftover, q.leftover), cmp.Compare(b.ranks[x], b.ranks[y])) < 0
}

// catchUp takes in what has changed in the books.
func (b *Batch) catchUp() {
	b.ranks = b.books.Ranks()
	for ; b.read < b.books.Changes(); b.read++ {
		slot, known := b.books.Changed(b.read)
		if !known {
			b.reread()
			return
		}
		b.notice(int32(slot))
	}
	for _, slot := range b.stale {
		s := &b.seats[slot]
		if s.stale = false; s.ward == nil {
			continue
		}
		b.weigh(s)
		entrant := slot
		if !s.fits {
			entrant = nobody
		}
		b.settle(s.ward, s.place, entrant)
	}
	b.stale = b.stale[:0]
}

// reread reads all agents anew, after more has changed than the books remember.
func (b *Batch) reread() {
	for slot := range b.seats {
		if s := &b.seats[slot]; s.own != 0 {
			b.away[s.view.ID()] += int(s.own)
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
		b.seats = append(b.seats, make([]seat, missing)...)
	}
	now, there := b.books.AgentAt(int(slot))
	s := &b.seats[slot]
	switch known := s.ward != nil; {
	case known && there && now == s.view:
		b.touch(slot)
		return
	case known && there && b.alike(s, now):
		s.view, s.eligible = now, broken(b.request.Where, now) == nil
		b.touch(slot)
	default:
		b.leave(slot)
		if there {
			b.sit(slot, now)
			b.touch(slot)
		}
	}
	if there && b.away[now.ID()] != 0 {
		b.count(slot, int32(b.away[now.ID()]))
		delete(b.away, now.ID())
	}
	if is := dominant(b.books, b.request.Resources); is != b.dominant {
		b.dominant = is
		for other := range b.seats {
			b.touch(int32(other))
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
	s := &b.seats[slot]
	if s.ward == nil {
		return
	}
	name, own := s.view.ID(), s.own
	b.count(slot, -own)
	if s.host != nil {
		s.host.agents = slices.DeleteFunc(s.host.agents, func(other int32) bool { return other == slot })
	}
	b.settle(s.ward, s.place, nobody)
	s.ward.spare = append(s.ward.spare, s.place)
	*s = seat{stale: s.stale}
	if own != 0 {
		b.credit(name, int(own)) // it may have come back in another slot
	}
}

// sit gives an agent a place in its ward, in which it does not take part yet.
func (b *Batch) sit(slot int32, agent ledger.AgentView) {
	s := &b.seats[slot]
	values := make([]string, b.wards)
	for i := range values {
		values[i], _ = attribute(agent, b.names[i])
	}
	s.ward = b.wardOf(values)
	s.place = b.lodge(s.ward)
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
			if s := &b.seats[other]; s.ward != nil && int32(other) != slot {
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
	s := &b.seats[slot]
	s.host = of
	of.agents = append(of.agents, slot)
	of.siblings += int(s.own)
}

// weigh judges an agent by what is free of it.
func (b *Batch) weigh(s *seat) {
	s.fits = false
	if !s.eligible {
		return
	}
	s.weight, s.fits = s.view.Weigh(b.request.Resources, b.request.Ports)
	s.leftover = leftover(s.view, b.request.Resources, b.dominant)
}
