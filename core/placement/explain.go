package placement

import (
	"cmp"
	"slices"

	"github.com/aloft-run/aloft/core/ledger"
)

// explain asks every pool and every agent why it does not take the task. It is
// slow, and done only when the answer is no.
func explain(books *ledger.Ledger, request Request) (reasons []Reason, never bool) {
	pools, neverPool := explainPools(books, request)
	agents, neverAgent := explainAgents(books, request)
	return slices.Concat(pools, agents), neverPool || neverAgent
}

// explainPools returns why no pool gives, and whether none ever can. It returns
// nothing if one has room.
func explainPools(books *ledger.Ledger, request Request) (reasons []Reason, never bool) {
	never = len(request.Pools) > 0
	for _, name := range request.Pools {
		view, known := books.Pool(name)
		if !known {
			reasons, never = append(reasons, Reason{Pool: name, Text: "does not exist"}), false
			continue
		}
		short := view.Shortage(request.Resources, len(request.Ports))
		if short == nil {
			return nil, false
		}
		all := excessOfPool(view, request)
		if len(all) == 0 {
			all, never = []lack{newLack(short)}, false
		}
		text := lackText(all)
		if view.Overcommitted() {
			text += " (overcommitted)"
		}
		reasons = append(reasons, Reason{Pool: name, Text: text})
	}
	return reasons, never
}

// explainAgents returns why no agent takes the task, and whether all that
// satisfy the constraints are too small even when empty. It returns nothing if
// one fits.
func explainAgents(books *ledger.Ledger, request Request) (reasons []Reason, never bool) {
	s := newSurvey(request)
	for agent := range candidates(books, request.Only) {
		s.asked++
		if fits := s.ask(books, agent); fits {
			return nil, false
		}
	}
	switch {
	case s.asked == 0 && request.Only != "":
		return []Reason{{Text: "agent " + string(request.Only) + " is unknown"}}, false
	case s.asked == 0:
		return []Reason{{Text: "no agent"}}, false
	}
	reasons = s.reasons()
	slices.SortStableFunc(reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Agents, a.Agents), cmp.Compare(a.Text, b.Text))
	})
	if never = s.eligible > 0 && s.small == s.eligible; never {
		reasons = slices.Insert(reasons, 0, Reason{Text: "larger than any agent"})
	}
	return reasons, never
}
