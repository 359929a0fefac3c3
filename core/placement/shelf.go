package placement

import (
	"slices"
	"strconv"

	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// shelf is the agents that may take tasks of one shape, sorted for finding the best.
// The shape of a request is all of it but the amounts of scalars, who asks, and
// which agents it prefers: what can be told of an agent without them is told once.
type shelf struct {
	request  Request // that the shelf was made for
	spread   []string
	dominant resource.Type
	scalars  []resource.Type // that are wanted, in order
	entries  []entry         // by the agents' slots
	classes  []*class
	named    map[string]*class
	read     int // changes of the books
	asked    int // when it was used last
	changed  []int32
	parts    []ledger.Part
	amounts  []int64
	key      []byte
}

// entry is an agent on a shelf.
type entry struct {
	view     ledger.AgentView
	class    *class // nil: it can take nothing now
	node     int32
	eligible bool // it satisfies the constraints
	changed  bool
}

// class is the agents that have the same values of the attributes to spread over and
// partitions of the same weights.
type class struct {
	tree
	values []string
	base   int64 // sum of the mean weights of the types whose weight is the same whatever is free
	types  int64 // all types that are wanted
	mixed  []mixture
}

// mixture is a type whose partitions have several weights: what a task would take is
// weighed by what is free of each.
type mixture struct {
	of      int     // the scalar
	first   int     // its first partition among the amounts
	weights []int64 // heavier first
}

func newShelf(books *ledger.Ledger, request *Request, dominant resource.Type) *shelf {
	s := &shelf{
		request:  Request{Resources: request.Resources, Ports: request.Ports, Where: request.Where},
		dominant: dominant,
		named:    make(map[string]*class),
	}
	for t, q := range request.Resources.All() {
		if q.Kind() == resource.KindScalar && q.Amount() > 0 {
			s.scalars = append(s.scalars, t)
		}
	}
	names := levelNames(request.Spread)
	wards, _ := wardsOf(names)
	s.spread = names[:wards]
	s.readAll(books)
	return s
}

func (s *shelf) readAll(books *ledger.Ledger) {
	s.entries, s.classes = make([]entry, books.Slots()), nil
	clear(s.named)
	s.read = books.Changes()
	for agent := range books.Agents() {
		s.put(books, int32(agent.Slot()))
	}
}

// catchUp takes in what has changed in the books. All that has changed is taken out
// first, for the order of the others to hold, and then put in again.
func (s *shelf) catchUp(books *ledger.Ledger) {
	if missing := books.Slots() - len(s.entries); missing > 0 {
		s.entries = append(s.entries, make([]entry, missing)...)
	}
	for ; s.read < books.Changes(); s.read++ {
		slot, known := books.Changed(s.read)
		if !known {
			s.changed = s.changed[:0]
			s.readAll(books)
			return
		}
		if e := &s.entries[slot]; !e.changed {
			e.changed = true
			s.changed = append(s.changed, int32(slot))
			if e.class != nil {
				e.class.drop(e.node)
				e.class = nil
			}
		}
	}
	for _, slot := range s.changed {
		s.entries[slot].changed = false
		s.put(books, slot)
	}
	s.changed = s.changed[:0]
}

// put puts an agent on the shelf, if it has anything to give.
func (s *shelf) put(books *ledger.Ledger, slot int32) {
	e := &s.entries[slot]
	view, there := books.AgentAt(int(slot))
	if !there {
		e.view = view
		return
	}
	if view != e.view {
		e.view, e.eligible = view, broken(s.request.Where, view) == nil
	}
	if !e.eligible {
		return
	}
	base, types, fits := view.WeighOthers(s.request.Resources, s.request.Ports)
	if !fits {
		return
	}
	of := class{base: base, types: types + int64(len(s.scalars))}
	if !s.measure(view, &of) {
		return
	}
	var key int64
	if s.dominant != "" {
		key = view.Balance(s.dominant).Available
	}
	e.class = s.classOf(view, &of)
	e.node = e.class.add(slot, key, s.amounts, books.Ranks())
}

// measure lists the amounts that an agent has: of each scalar, then of each partition
// where they have several weights. It is false if there is nothing of one.
func (s *shelf) measure(view ledger.AgentView, of *class) bool {
	s.amounts = s.amounts[:0]
	for _, t := range s.scalars {
		s.amounts = append(s.amounts, view.Balance(t).Available)
	}
	for i, t := range s.scalars {
		parts, ok := view.Parts(s.parts[:0], t)
		if s.parts = parts; !ok || s.amounts[i] <= 0 {
			return false
		}
		if parts[0].Weight == parts[len(parts)-1].Weight {
			of.base += parts[0].Weight
			continue
		}
		m := mixture{of: i, first: len(s.amounts)}
		for _, part := range parts {
			s.amounts = append(s.amounts, part.Free)
			m.weights = append(m.weights, part.Weight)
		}
		of.mixed = append(of.mixed, m)
	}
	return true
}

// appendText appends a text so that no two lists of texts are the same bytes.
func appendText(key []byte, text string) []byte {
	return append(append(strconv.AppendInt(key, int64(len(text)), 10), ':'), text...)
}

// classOf returns the class of an agent, which it makes if there is none.
func (s *shelf) classOf(view ledger.AgentView, of *class) *class {
	key := s.key[:0]
	for _, name := range s.spread {
		value, _ := attribute(view, name)
		key = appendText(key, value)
	}
	key = strconv.AppendInt(key, of.base, 10)
	for i := range of.mixed {
		key = strconv.AppendInt(append(key, ';'), int64(of.mixed[i].of), 10)
		for _, weight := range of.mixed[i].weights {
			key = strconv.AppendInt(append(key, ','), weight, 10)
		}
	}
	s.key = key
	if known := s.named[string(key)]; known != nil {
		return known
	}
	made := &class{base: of.base, types: of.types, mixed: slices.Clone(of.mixed)}
	made.root = none
	for _, name := range s.spread {
		value, _ := attribute(view, name)
		made.values = append(made.values, value)
	}
	s.named[string(key)] = made
	s.classes = append(s.classes, made)
	return made
}
