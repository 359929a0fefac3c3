package placement

import (
	"slices"

	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/spec"
)

// attribute returns the value of an agent's attribute.
func attribute(agent ledger.AgentView, name string) (string, bool) {
	if name == AgentAttribute {
		return string(agent.ID()), true
	}
	value, ok := agent.Attribute(name)
	if !ok && name == HostAttribute {
		return string(agent.ID()), true
	}
	return value, ok
}

// holds reports whether an agent satisfies a constraint. An agent without the
// attribute is not in any list of values.
func holds(c *spec.Constraint, agent ledger.AgentView) bool {
	value, ok := attribute(agent, c.Attribute)
	switch c.Operator {
	case spec.In:
		return ok && slices.Contains(c.Values, value)
	case spec.NotIn:
		return !ok || !slices.Contains(c.Values, value)
	case spec.Exists:
		return ok
	case spec.Missing:
		return !ok
	default:
		return false
	}
}

// Suits reports whether an agent satisfies all constraints.
func Suits(agent ledger.AgentView, where []spec.Constraint) bool { return broken(where, agent) == nil }

// broken returns the first constraint that an agent does not satisfy, or nil.
func broken(where []spec.Constraint, agent ledger.AgentView) *spec.Constraint {
	for i := range where {
		if !holds(&where[i], agent) {
			return &where[i]
		}
	}
	return nil
}
