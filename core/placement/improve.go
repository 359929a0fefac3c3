package placement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
)

// Improvement is an instance that would be better placed on another agent.
type Improvement struct {
	Task     id.Task
	From, To id.Agent
	Pool     id.Pool // that gives what it takes there; "" if the request names none
	Why      string  // for people
}

// Improve returns the one move that evens out the instances of a service most,
// over the attributes to spread over, then hosts, then agents. Every move makes
// the crowds more even, as measured by the sum of their squares on the first level
// that changes, so moves come to an end and none leads back. A move goes where
// there is room while the instance is still where it was, and never to a lighter
// place, for weight comes before spread.
//
// Of the instances, which hold claims in the books, the first on each agent moves
// first. Siblings in the request count all of the service, also those that cannot
// move.
func Improve(books *ledger.Ledger, request Request, instances []id.Task) (Improvement, bool) {
	pool, gives := choosePool(books, &request)
	if !gives {
		return Improvement{}, false
	}
	levels := levelsOf(books, request)
	m := mover{least: make([]int, len(levels)), targets: targetsOf(books, request, levels), alike: make(map[string][]*spot)}
	for i := range m.targets {
		value := m.targets[i].values[0]
		m.alike[value] = append(m.alike[value], &m.targets[i])
	}
	for _, from := range sourcesOf(books, levels, instances) {
		m.try(from)
	}
	if m.to == nil {
		return Improvement{}, false
	}
	return Improvement{Task: m.from.task, From: m.from.agent, To: m.to.agent, Pool: pool, Why: whyBetter(levels, m.from, m.to)}, true
}

// mover looks for the best move.
type mover struct {
	targets  []spot             // by their crowds on the first level, then by name
	alike    map[string][]*spot // targets by their value of the first level
	from, to *spot              // of the best move so far; nil while there is none
	least    []int              // its change
}

// try tries the moves from one agent. Between values of the first level, a move to
// a larger crowd is no better than one to a smaller, so that most are left out.
func (m *mover) try(from *spot) {
	for i := range m.targets {
		to := &m.targets[i]
		if to.crowds[0]-from.crowds[0]+1 > m.least[0] {
			break
		}
		if to.values[0] != from.values[0] {
			m.weigh(from, to)
		}
	}
	if m.least[0] == 0 {
		for _, to := range m.alike[from.values[0]] {
			m.weigh(from, to)
		}
	}
}

// weigh keeps a move if it is better than the best so far.
func (m *mover) weigh(from, to *spot) {
	if to.weight < from.weight {
		return
	}
	for i := range m.least {
		switch change := from.change(to, i); {
		case change > m.least[i]:
			return
		case change < m.least[i]:
			m.from, m.to = from, to
			for j := range m.least {
				m.least[j] = from.change(to, j)
			}
			return
		}
	}
}

// spot is an agent with what decides whether to move from or to it.
type spot struct {
	agent  id.Agent
	task   id.Task // that would leave it
	weight int64   // thousandths, of what is held, or would be
	values []string
	crowds []int // siblings with the same values
}

func newSpot(agent ledger.AgentView, levels []level, weight int64) spot {
	s := spot{agent: agent.ID(), weight: weight, values: make([]string, len(levels)), crowds: make([]int, len(levels))}
	for i := range levels {
		s.values[i], _ = attribute(agent, levels[i].attribute)
		s.crowds[i] = levels[i].siblings[s.values[i]]
	}
	return s
}

// change returns by how much a move changes half the sum of squares of the crowds
// on a level.
func (s *spot) change(to *spot, level int) int {
	if s.values[level] == to.values[level] {
		return 0
	}
	return to.crowds[level] - s.crowds[level] + 1
}

// sourcesOf returns the agents of the instances, in the order of their first.
func sourcesOf(books *ledger.Ledger, levels []level, instances []id.Task) []*spot {
	var list []*spot
	seen := make(map[id.Agent]bool)
	for _, name := range instances {
		claim, held := books.ClaimOf(name)
		agent, known := books.Agent(claim.Agent)
		if !held || !known || seen[claim.Agent] {
			continue
		}
		seen[claim.Agent] = true
		from := newSpot(agent, levels, agent.WeightOf(claim))
		from.task = name
		list = append(list, &from)
	}
	return list
}

// targetsOf returns the agents that could take one more instance, those with the
// smallest crowds on the first level first.
func targetsOf(books *ledger.Ledger, request Request, levels []level) []spot {
	var list []spot
	for agent := range books.Agents() {
		if broken(request.Where, agent) != nil {
			continue
		}
		if weight, fits := agent.Weigh(request.Resources, request.Ports); fits {
			list = append(list, newSpot(agent, levels, weight))
		}
	}
	slices.SortStableFunc(list, func(a, b spot) int { return cmp.Compare(a.crowds[0], b.crowds[0]) })
	return list
}

// whyBetter says what a move evens out first.
func whyBetter(levels []level, from, to *spot) string {
	for i, of := range levels {
		if from.change(to, i) < 0 {
			return fmt.Sprintf("%s %s has %d, %s %s has %d", of.attribute, orNone(from.values[i]), from.crowds[i],
				of.attribute, orNone(to.values[i]), to.crowds[i])
		}
	}
	return ""
}

func orNone(value string) string {
	if value == "" {
		return "(none)"
	}
	return value
}
