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
	lacks  int    // new ones that do not
	spare  int    // instances that may stop with nothing in their place
	floor  int    // instances that there must be
	why    string // why no more find a place
}

// lastMax is how many services are tried as the last to get room.
const lastMax = 32

// evacuate plays on copies of the books how all instances leave some agents, start
// before stop. Services move at the same time, and which gets the last room is
// chance: so where there is not room for all of them, each that cannot do without
// is tried as the last one.
func (e *Engine) evacuate(drained map[id.Agent]bool) (map[id.Service]exodus, error) {
	moving := make(map[id.Service][]*entry)
	for _, name := range slices.Sorted(maps.Keys(drained)) {
		for _, t := range sortedEntries(e.agents[name].tasks) {
			if s := t.owner; s.record.Kind == spec.Service && s.goal().Instances > 0 && t.state().Live() {
				moving[s.record.Name] = append(moving[s.record.Name], t)
			}
		}
	}
	found, err := e.evacuateInOrder(drained, moving, slices.Sorted(maps.Keys(moving)))
	if err != nil {
		return nil, err
	}
	lacks, tried := 0, 0
	for _, x := range found {
		lacks += x.lacks
	}
	for _, name := range slices.Sorted(maps.Keys(moving)) {
		x := found[name]
		if x.stuck > 0 || min(lacks, len(moving[name])) <= x.spare || tried == lastMax {
			continue
		}
		tried++
		order := slices.DeleteFunc(slices.Sorted(maps.Keys(moving)), func(other id.Service) bool { return other == name })
		last, err := e.evacuateInOrder(drained, moving, append(order, name))
		if err != nil {
			return nil, err
		}
		found[name] = last[name]
	}
	return found, nil
}

// evacuateInOrder is evacuate for services that move one after the other.
func (e *Engine) evacuateInOrder(drained map[id.Agent]bool, moving map[id.Service][]*entry, order []id.Service) (map[id.Service]exodus, error) {
	found := make(map[id.Service]exodus, len(moving))
	if len(moving) == 0 {
		return found, nil
	}
	books := e.books.Clone()
	for name := range drained {
		if err := books.CloseAgent(name); err != nil {
			return nil, fmt.Errorf("copy the books: %w", err)
		}
	}
	claims := 0
	for _, name := range order {
		x := e.leave(books, e.services[name], claims, moving[name])
		found[name] = x
		claims += x.placed
	}
	return found, nil
}

// leave moves instances to other agents on a copy of the books, as rollout would:
// each starts elsewhere before one stops, unless some may be unavailable. So many
// claims of the copy are such moves already.
func (e *Engine) leave(books *ledger.Ledger, s *service, claims int, there []*entry) exodus {
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
	x.spare = right + len(there) - x.floor
	revision := s.revisions[s.revisionOf(startsOf(goal))]
	request := request(&entry{owner: &service{revisions: s.revisions, on: on}, record: &Task{Revision: revision.Number}})
	for moved := true; moved; {
		moved = false
		for len(there) > 0 && right+len(there)-1 >= x.floor {
			freed, _ := books.Release(there[0].record.ID)
			e.takeFreed(books, s, freed.Pool)
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
	x.stuck, x.lacks = len(there), max(0, goal.Instances-right)
	return x
}

// takeFreed has what waits for room in a pool take it on a copy of the books, but
// for the tasks of the service that gave it back.
func (e *Engine) takeFreed(books *ledger.Ledger, from *service, pool id.Pool) {
	if pool == "" {
		return // on an agent that is drained nobody gets any
	}
	for _, p := range e.queue.inOrder() {
		if p.first().owner == from || !slices.Contains(p.first().spec.Pools, pool) {
			continue
		}
		for g := range p.groups() {
			if !takeAll(books, g) {
				break
			}
		}
	}
}

// takeAll has the tasks of a group take places on a copy of the books. It is false
// if there are not enough.
func takeAll(books *ledger.Ledger, g *group) bool {
	for _, t := range g.waiting {
		if _, taken := books.ClaimOf(t.record.ID); taken {
			continue
		}
		choice, err := placement.Choose(books, request(t))
		if err != nil || books.Claim(choice.Claim(t.record.ID)) != nil {
			return false
		}
	}
	return true
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
