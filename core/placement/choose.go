package placement

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// search is a choice among agents in the making.
type search struct {
	request  *Request
	levels   []level       // what to spread over, the most important first
	dominant resource.Type // whose leftover decides; "" if the task takes no scalar
	best     candidate
	fits     int // agents that fit
}

// grounds returns what spoke for the best.
func (s *search) grounds(pool id.Pool) Grounds {
	g := Grounds{
		agent: s.best.agent, only: s.request.Only != "", avoided: s.best.avoided, weight: s.best.weight,
		dominant: s.dominant, leftover: s.best.leftover, pool: pool, pools: len(s.request.Pools),
	}
	for _, n := range s.request.Siblings {
		g.siblings += n
	}
	for i := range s.levels {
		g.levels = append(g.levels, s.levels[i].attribute)
		g.near.set(i, s.best.crowds[i])
	}
	return g
}

// level counts the siblings by their agents' value of one attribute.
type level struct {
	attribute string
	siblings  map[string]int
}

// candidate is an agent that fits, with all that decides.
type candidate struct {
	agent    ledger.AgentView
	avoided  bool
	weight   int64 // thousandths
	crowds   []int // siblings on each level
	leftover int64 // of the dominant resource
}

// chooseAgent returns the search with its best agent. It is false if no agent
// fits. Its work for an agent that does not fit allocates nothing.
func chooseAgent(books *ledger.Ledger, request Request) (*search, bool) {
	s := &search{request: &request, levels: levelsOf(books, request), dominant: dominant(books, request.Resources)}
	if s.find(books) {
		return s, s.fits > 0
	}
	next := candidate{crowds: make([]int, len(s.levels))}
	s.best.crowds = make([]int, len(s.levels))
	for agent := range candidates(books, request.Only) {
		if broken(request.Where, agent) != nil {
			continue
		}
		weight, fits := agent.Weigh(request.Resources, request.Ports)
		if !fits {
			continue
		}
		next.agent, next.weight = agent, weight
		s.judge(&next)
		if s.fits++; s.fits == 1 || next.before(&s.best) {
			s.best, next = next, s.best
		}
	}
	return s, s.fits > 0
}

// candidates iterates over the agents that may be chosen, in the order of their
// names.
func candidates(books *ledger.Ledger, only id.Agent) func(yield func(ledger.AgentView) bool) {
	if only == "" {
		return books.Agents()
	}
	return func(yield func(ledger.AgentView) bool) {
		if agent, known := books.Agent(only); known {
			yield(agent)
		}
	}
}

// judge fills in what decides beside the weight.
func (s *search) judge(c *candidate) {
	c.avoided = slices.Contains(s.request.Avoid, c.agent.ID())
	for i := range s.levels {
		value, _ := attribute(c.agent, s.levels[i].attribute)
		c.crowds[i] = s.levels[i].siblings[value]
	}
	c.leftover = leftover(c.agent, s.request.Resources, s.dominant)
}

// leftover returns how much of the dominant resource a task would leave.
func leftover(agent ledger.AgentView, wanted resource.Vector, dominant resource.Type) int64 {
	if dominant == "" {
		return 0
	}
	q, _ := wanted.Get(dominant)
	return agent.Balance(dominant).Available - q.Amount()
}

// before reports whether c is better than other. Equals keep their order.
func (c *candidate) before(other *candidate) bool {
	if c.avoided != other.avoided {
		return other.avoided
	}
	return cmp.Or(
		cmp.Compare(other.weight, c.weight),
		slices.Compare(c.crowds, other.crowds),
		cmp.Compare(c.leftover, other.leftover),
	) < 0
}

// levelsOf counts the siblings on every level. Agents without an attribute
// share a value of their own.
func levelsOf(books *ledger.Ledger, request Request) []level {
	names := levelNames(request.Spread)
	levels := make([]level, 0, len(names))
	for _, name := range names {
		var counts map[string]int
		if len(request.Siblings) > 0 {
			counts = make(map[string]int, len(request.Siblings))
		}
		for on, n := range request.Siblings {
			if agent, known := books.Agent(on); known {
				value, _ := attribute(agent, name)
				counts[value] += n
			}
		}
		levels = append(levels, level{name, counts})
	}
	return levels
}

// levelNames returns the attributes to spread over, each once: those that are asked
// for, then the host and the agent.
func levelNames(spread []string) []string {
	var names []string
	for _, name := range slices.Concat(spread, []string{HostAttribute, AgentAttribute}) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// dominant returns the scalar of which the task takes the largest share of the
// cluster, or "" if it takes none.
func dominant(books *ledger.Ledger, wanted resource.Vector) resource.Type {
	var most resource.Type
	var mostWanted, mostTotal int64
	for t, q := range wanted.All() {
		total := books.Total(t)
		if q.Kind() != resource.KindScalar || q.Amount() <= 0 || total <= 0 {
			continue
		}
		if most == "" || larger(q.Amount(), total, mostWanted, mostTotal) {
			most, mostWanted, mostTotal = t, q.Amount(), total
		}
	}
	return most
}

// larger reports whether a/b is larger than c/d, exactly. All are above zero.
func larger(a, b, c, d int64) bool {
	leftHigh, leftLow := bits.Mul64(uint64(a), uint64(d))
	rightHigh, rightLow := bits.Mul64(uint64(c), uint64(b))
	return cmp.Or(cmp.Compare(leftHigh, rightHigh), cmp.Compare(leftLow, rightLow)) > 0
}
