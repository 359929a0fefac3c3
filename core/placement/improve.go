package placement

import (
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
	levels := levelsOf(books, request)
	var best Improvement
	var least []int
	pool, gives := choosePool(books, request)
	if !gives {
		return best, false
	}
	targets := targetsOf(books, request, levels)
	for _, from := range sourcesOf(books, levels, instances) {
		for _, to := range targets {
			change := changeOf(levels, from.values, to.values)
			if to.weight < from.weight || slices.Compare(change, make([]int, len(levels))) >= 0 || least != nil && slices.Compare(change, least) >= 0 {
				continue
			}
			least = change
			best = Improvement{Task: from.task, From: from.agent, To: to.agent, Pool: pool, Why: whyBetter(levels, from, to)}
		}
	}
	return best, least != nil
}

// spot is an agent with what decides whether to move from or to it.
type spot struct {
	agent  id.Agent
	task   id.Task // that would leave it
	weight int64   // thousandths, of what is held, or would be
	values []string
}

func newSpot(agent ledger.AgentView, levels []level, weight int64) spot {
	s := spot{agent: agent.ID(), weight: weight, values: make([]string, len(levels))}
	for i := range levels {
		s.values[i], _ = attribute(agent, levels[i].attribute)
	}
	return s
}

// sourcesOf returns the agents of the instances, in the order of their first.
func sourcesOf(books *ledger.Ledger, levels []level, instances []id.Task) []spot {
	var list []spot
	for _, name := range instances {
		claim, held := books.ClaimOf(name)
		if !held || slices.ContainsFunc(list, func(s spot) bool { return s.agent == claim.Agent }) {
			continue
		}
		agent, known := books.Agent(claim.Agent)
		if !known {
			continue
		}
		from := newSpot(agent, levels, agent.WeightOf(claim))
		from.task = name
		list = append(list, from)
	}
	return list
}

// targetsOf returns the agents that could take one more instance.
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
	return list
}

// changeOf returns by how much a move changes half the sum of squares of the
// crowds on every level.
func changeOf(levels []level, from, to []string) []int {
	change := make([]int, len(levels))
	for i := range levels {
		if from[i] != to[i] {
			change[i] = levels[i].siblings[to[i]] - levels[i].siblings[from[i]] + 1
		}
	}
	return change
}

// whyBetter says what a move evens out first.
func whyBetter(levels []level, from, to spot) string {
	for i, change := range changeOf(levels, from.values, to.values) {
		if change < 0 {
			of := levels[i]
			return fmt.Sprintf("%s %s has %d, %s %s has %d", of.attribute, orNone(from.values[i]), of.siblings[from.values[i]],
				of.attribute, orNone(to.values[i]), of.siblings[to.values[i]])
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
