package placement

import (
	"errors"
	"fmt"

	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/spec"
)

// valuesMax is how many values of an attribute are told apart in an
// explanation. More are told in one.
const valuesMax = 3

// survey counts why agents refuse a task.
type survey struct {
	request  Request
	asked    int
	eligible int              // of asked: those that satisfy the constraints
	small    int              // of eligible: those that are too small even when empty
	closed   int              // of eligible: those that take no new tasks
	unlike   []dissent        // beside the request's constraints
	lacking  map[string]*want // by what they lack
}

// dissent counts the agents that do not satisfy one constraint.
type dissent struct {
	without int            // those that do not have the attribute
	values  map[string]int // the others, by its value
}

// want is the agents that lack the same resources.
type want struct {
	agents int
	lacks  []lack // of each resource, what the best of the agents lacks
}

func newSurvey(request Request) *survey {
	return &survey{request: request, unlike: make([]dissent, len(request.Where)), lacking: make(map[string]*want)}
}

// ask counts an agent's reason to refuse. It reports whether there is none.
func (s *survey) ask(books *ledger.Ledger, agent ledger.AgentView) (fits bool) {
	for i := range s.request.Where {
		if c := &s.request.Where[i]; !holds(c, agent) {
			value, ok := attribute(agent, c.Attribute)
			s.unlike[i].count(value, ok)
			return false
		}
	}
	s.eligible++
	if lacks := excessOfAgent(agent, s.request); len(lacks) > 0 {
		s.small++
		s.count(lacks)
		return false
	}
	_, err := books.Fit(agent.ID(), s.request.Resources, s.request.Ports)
	if err == nil {
		return true
	}
	misfit, ok := errors.AsType[*ledger.MisfitError](err)
	if !ok {
		s.closed++
		return false
	}
	lacks := make([]lack, len(misfit.Shortages))
	for i, short := range misfit.Shortages {
		lacks[i] = newLack(short)
	}
	s.count(lacks)
	return false
}

func (d *dissent) count(value string, known bool) {
	if !known {
		d.without++
		return
	}
	if d.values == nil {
		d.values = make(map[string]int)
	}
	d.values[value]++
}

// count adds an agent to those that lack the same.
func (s *survey) count(lacks []lack) {
	var key []byte
	for i := range lacks {
		key = lacks[i].appendKey(key)
	}
	group, ok := s.lacking[string(key)]
	if !ok {
		s.lacking[string(key)] = &want{agents: 1, lacks: lacks}
		return
	}
	group.agents++
	for i := range lacks {
		group.lacks[i].join(lacks[i])
	}
}

// reasons returns what was counted, in no order.
func (s *survey) reasons() []Reason {
	var list []Reason
	for i := range s.unlike {
		list = append(list, s.unlike[i].reasons(&s.request.Where[i])...)
	}
	if s.closed > 0 {
		list = append(list, Reason{Agents: s.closed, Text: "closed (draining or out of reach)"})
	}
	for _, group := range s.lacking {
		list = append(list, Reason{Agents: group.agents, Text: lackText(group.lacks)})
	}
	return list
}

func (d *dissent) reasons(c *spec.Constraint) []Reason {
	var list []Reason
	if d.without > 0 {
		list = append(list, Reason{Agents: d.without, Text: fmt.Sprintf("without %s (want %s)", c.Attribute, c)})
	}
	if others := 0; len(d.values) > valuesMax || c.Operator == spec.Missing && len(d.values) > 0 {
		for _, n := range d.values {
			others += n
		}
		text := fmt.Sprintf("of another %s (want %s)", c.Attribute, c)
		if c.Operator == spec.Missing {
			text = fmt.Sprintf("with %s (want %s)", c.Attribute, c)
		}
		return append(list, Reason{Agents: others, Text: text})
	}
	for value, n := range d.values {
		list = append(list, Reason{Agents: n, Text: fmt.Sprintf("in %s %s (want %s)", c.Attribute, value, c)})
	}
	return list
}
