package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
)

// missingWithout says of every service what would keep its instances from
// leaving, if an agent were drained beside those that are already. What keeps them
// anyway is not counted.
func (e *Engine) missingWithout(m *machine) ([]string, error) {
	drained := map[id.Agent]bool{m.record.ID: true}
	for name, other := range e.agents {
		if other.record.Draining {
			drained[name] = true
		}
	}
	after, err := e.evacuate(drained)
	if err != nil || !slices.ContainsFunc(slices.Collect(maps.Values(after)), func(x exodus) bool { return x.stuck > 0 }) {
		return nil, err
	}
	delete(drained, m.record.ID)
	before, err := e.evacuate(drained)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if x := after[name]; x.stuck > before[name].stuck {
			missing = append(missing, fmt.Sprintf("%s must keep %d of %s, and %d cannot leave: %s",
				name, x.floor, resource.Count(e.services[name].record.Instances, "instance"), x.stuck, x.why))
		}
	}
	return missing, nil
}

// exodus is what becomes of a service whose instances leave agents.
type exodus struct {
	stuck  int    // instances that cannot leave
	placed int    // new ones that find a place
	floor  int    // instances that there must be
	why    string // why no more find a place
}

// evacuate plays on a copy of the books how all instances leave some agents, start
// before stop. Services move at the same time, and which gets the last room is
// chance: so the ones that can do without take first, and what is refused to the
// others may come to pass.
func (e *Engine) evacuate(drained map[id.Agent]bool) (map[id.Service]exodus, error) {
	moving := make(map[id.Service][]*entry)
	for _, name := range slices.Sorted(maps.Keys(drained)) {
		for _, t := range sortedEntries(e.agents[name].tasks) {
			if s := t.owner; s.record.Kind == spec.Service && s.goal().Instances > 0 && t.state().Live() {
				moving[s.record.Name] = append(moving[s.record.Name], t)
			}
		}
	}
	found := make(map[id.Service]exodus, len(moving))
	if len(moving) == 0 {
		return found, nil
	}
	books, err := e.copyBooks()
	if err != nil {
		return nil, fmt.Errorf("copy the books: %w", err)
	}
	for name := range drained {
		if err := books.CloseAgent(name); err != nil {
			return nil, fmt.Errorf("copy the books: %w", err)
		}
	}
	order := slices.SortedFunc(maps.Keys(moving), func(a, b id.Service) int {
		return cmp.Or(cmp.Compare(e.services[b].goal().Unavailable, e.services[a].goal().Unavailable), cmp.Compare(a, b))
	})
	claims := 0
	for _, name := range order {
		x := e.services[name].leave(books, claims, moving[name])
		found[name] = x
		claims += x.placed
	}
	return found, nil
}

// leave moves instances to other agents on a copy of the books, as rollout would:
// each starts elsewhere before one stops, unless some may be unavailable. So many
// claims of the copy are such moves already.
func (s *service) leave(books *ledger.Ledger, claims int, there []*entry) exodus {
	goal := s.goal()
	x := exodus{floor: goal.Instances - goal.Unavailable, why: "it has too few elsewhere"}
	on := maps.Clone(s.on)
	for _, t := range there {
		on[t.record.Claim.Agent]--
	}
	right := 0
	for _, n := range on {
		right += n
	}
	revision := s.revisions[s.revisionOf(startsOf(goal))]
	request := request(&entry{owner: &service{revisions: s.revisions, on: on}, record: &Task{Revision: revision.Number}})
	for moved := true; moved; {
		moved = false
		for len(there) > 0 && right+len(there)-1 >= x.floor {
			books.Release(there[0].record.ID)
			there, moved = there[1:], true
		}
		if right >= goal.Instances || right+len(there) >= goal.Instances+goal.Surge {
			continue
		}
		choice, err := placement.Choose(books, request)
		if err == nil {
			err = books.Claim(choice.Claim(id.Task(fmt.Sprintf("leaves-%d-x", claims+x.placed))))
		}
		if err != nil {
			x.why = err.Error()
			continue
		}
		on[choice.Agent]++
		right, moved = right+1, true
		x.placed++
	}
	x.stuck = len(there)
	return x
}

// startsOf returns the revision that new instances of a goal get.
func startsOf(goal rollout.Goal) id.Revision {
	if goal.Paused && goal.Base != 0 {
		return goal.Base
	}
	return goal.Revision
}

// Resident is what a service has on an agent.
type Resident struct {
	Service id.Service
	Kind    spec.Kind
	Tasks   int
	Waiting string // what they wait for to leave an agent that is drained, as in "room for web-1-5"
}

// Residents returns what is on an agent, by service.
func (e *Engine) Residents(name id.Agent) []Resident {
	m := e.agents[name]
	if m == nil {
		return nil
	}
	var list []Resident
	for _, t := range sortedEntries(m.tasks) {
		if n := len(list); n > 0 && list[n-1].Service == t.record.Service {
			list[n-1].Tasks++
			continue
		}
		r := Resident{Service: t.record.Service, Kind: t.owner.record.Kind, Tasks: 1}
		if m.record.Draining {
			r.Waiting = t.owner.waitsToLeave()
		}
		list = append(list, r)
	}
	return list
}

// waitsToLeave says what the tasks of a service wait for when their agent is
// drained.
func (s *service) waitsToLeave() string {
	switch s.record.Kind {
	case spec.Daemon:
		return "all others: daemons leave last"
	case spec.Job, spec.Cron:
		return "their end"
	default:
		return cmp.Or(s.waiting, "their next step")
	}
}
