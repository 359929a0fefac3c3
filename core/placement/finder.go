package placement

import (
	"slices"
	"strconv"

	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

const (
	// walkMax is how many agents are walked rather than sorted.
	walkMax = 32
	// walksMin is how often a shape is looked for by a walk before it gets a shelf, which
	// takes about as long to make.
	walksMin = 2
	// walksMax bounds how many shapes are remembered that have no shelf.
	walksMax = 1_000
	// placesMax bounds the memory for shelves, in agents, each of which takes about 150
	// bytes on each shelf.
	placesMax = 1_000_000
	// idleMax is after how many requests, for each shelf that there is, one that was not
	// used may make room for another.
	idleMax = 100
)

// finder finds agents for single requests. It goes with the books.
type finder struct {
	shelves map[string]*shelf
	walks   map[string]int // of shapes without a shelf
	asked   int
	eager   bool // small books and new shapes are not walked
	hosts   hosts
	marks   []int // by slot: the request that marked it
	apart   []int32
	key     []byte
}

// finderOf returns the finder of the books, or nil if they are so small that they
// need none.
func finderOf(books *ledger.Ledger) *finder {
	made := func() any {
		if books.AgentCount() <= walkMax {
			return nil
		}
		return newFinder()
	}
	f, _ := books.Finder(made).(*finder)
	return f
}

func newFinder() *finder {
	return &finder{shelves: make(map[string]*shelf), walks: make(map[string]int)}
}

// shelfOf returns the shelf for a request, or nil if a walk is as good.
func (f *finder) shelfOf(books *ledger.Ledger, request *Request, dominant resource.Type) *shelf {
	f.asked++
	f.key = appendShape(f.key[:0], request, dominant)
	s := f.shelves[string(f.key)]
	if s == nil {
		if s = f.makeShelf(books, request, dominant); s == nil {
			return nil
		}
	}
	s.asked = f.asked
	s.catchUp(books)
	return s
}

// makeShelf makes a shelf for a shape that is asked for often enough, if there is
// memory for it.
func (f *finder) makeShelf(books *ledger.Ledger, request *Request, dominant resource.Type) *shelf {
	if len(f.walks) >= walksMax {
		clear(f.walks)
	}
	if f.walks[string(f.key)]++; f.walks[string(f.key)] <= walksMin && !f.eager {
		return nil
	}
	if n := len(f.shelves); n > 0 && (n+1)*books.Slots() > placesMax && !f.dropIdlest() {
		return nil
	}
	delete(f.walks, string(f.key))
	s := newShelf(books, request, dominant)
	f.shelves[string(f.key)] = s
	return s
}

// dropIdlest drops the shelf that was not used for the longest time, if that is long.
func (f *finder) dropIdlest() bool {
	idlest, since := "", f.asked
	for key, s := range f.shelves {
		if s.asked < since {
			idlest, since = key, s.asked
		}
	}
	if f.asked-since < idleMax*len(f.shelves) {
		return false
	}
	delete(f.shelves, idlest)
	return true
}

// appendShape appends what is told of agents without knowing the amounts of scalars
// that are wanted.
func appendShape(key []byte, request *Request, dominant resource.Type) []byte {
	key = appendText(key, string(dominant))
	for t, q := range request.Resources.All() {
		if q.Amount() <= 0 {
			continue
		}
		key = appendText(append(key, byte(q.Kind())), string(t))
		for _, r := range q.Ranges() {
			key = strconv.AppendInt(append(strconv.AppendInt(key, r.First, 10), '-'), r.Last, 10)
			key = append(key, ',')
		}
		for _, member := range q.Members() {
			key = appendText(key, member)
		}
	}
	key = append(key, '|')
	for _, wish := range request.Ports {
		key = append(strconv.AppendInt(key, wish.Number, 10), ',')
	}
	key = append(key, '|')
	for i := range request.Where {
		c := &request.Where[i]
		key = appendText(append(key, byte(c.Operator)), c.Attribute)
		key = append(strconv.AppendInt(key, int64(len(c.Values)), 10), '=')
		for _, value := range c.Values {
			key = appendText(key, value)
		}
	}
	key = append(key, '|')
	for _, name := range request.Spread {
		key = appendText(key, name)
	}
	return key
}

// hosts knows which agents are on one host.
type hosts struct {
	views  []ledger.AgentView // by slot
	agents map[string][]int32
	read   int
	begun  bool
}

// catchUp takes in what has changed in the books.
func (h *hosts) catchUp(books *ledger.Ledger) {
	if !h.begun {
		h.readAll(books)
	}
	if missing := books.Slots() - len(h.views); missing > 0 {
		h.views = append(h.views, make([]ledger.AgentView, missing)...)
	}
	for ; h.read < books.Changes(); h.read++ {
		slot, known := books.Changed(h.read)
		if !known {
			h.readAll(books)
			return
		}
		h.set(books, int32(slot))
	}
}

func (h *hosts) readAll(books *ledger.Ledger) {
	*h = hosts{views: make([]ledger.AgentView, books.Slots()), agents: make(map[string][]int32), read: books.Changes(), begun: true}
	for slot := range h.views {
		h.set(books, int32(slot))
	}
}

func (h *hosts) set(books *ledger.Ledger, slot int32) {
	view, there := books.AgentAt(int(slot))
	before := h.views[slot]
	if view == before {
		return
	}
	if before != (ledger.AgentView{}) {
		host, _ := attribute(before, HostAttribute)
		left := slices.DeleteFunc(h.agents[host], func(other int32) bool { return other == slot })
		if h.agents[host] = left; len(left) == 0 {
			delete(h.agents, host)
		}
	}
	if h.views[slot] = view; there {
		host, _ := attribute(view, HostAttribute)
		h.agents[host] = append(h.agents[host], slot)
	}
}
