package spec

import (
	"errors"
	"slices"
	"strings"
)

// Limits of placement.
const (
	constraintsMax = 100
	spreadMax      = 10
	attributeMax   = 63 // bytes, of a name or value
)

// String returns the constraint as a spec file writes it.
func (c Constraint) String() string {
	one := len(c.Values) == 1
	list := "[" + strings.Join(c.Values, ", ") + "]"
	switch {
	case c.Operator == Exists:
		return "has " + c.Attribute
	case c.Operator == Missing:
		return "not has " + c.Attribute
	case c.Operator == In && one:
		return c.Attribute + " = " + c.Values[0]
	case c.Operator == NotIn && one:
		return c.Attribute + " != " + c.Values[0]
	case c.Operator == NotIn:
		return c.Attribute + " not in " + list
	default:
		return c.Attribute + " in " + list
	}
}

func placementRule() rule[Placement] {
	const why = "it runs on every agent that fits"
	where := leaf[Constraint]{
		want:  "a condition such as zone = a, zone != a, zone in [a, b], zone not in [a, b], has ssd or not has ssd",
		shape: shape{form: textForm},
		parse: parseConstraint,
		print: Constraint.String,
	}.quoting()
	spread := textLeaf("the name of an attribute such as zone", "^[A-Za-z0-9._/-]+$", func(name string) error {
		if !isAttribute(name) {
			return errForm
		}
		return nil
	}).quoting()
	return record(
		Placement{},
		field[Placement]{
			name: "where", doc: "Conditions on an agent's attributes, all of which must hold.", replaces: true,
			rule: at(list(where, Constraint{}, constraintsMax), func(p *Placement) *[]Constraint { return &p.Where }),
		},
		field[Placement]{
			name: "spread", doc: "Attributes to spread over, the most important first.",
			only: kinds{Service, Job, Cron}, why: why,
			rule: at(list(spread, "", spreadMax), func(p *Placement) *[]string { return &p.Spread }),
		},
	)
}

// parseConstraint reads what String prints, and == and exists.
func parseConstraint(text string) (Constraint, error) {
	c, err := splitConstraint(text)
	switch {
	case err != nil:
		return Constraint{}, err
	case slices.Contains([]string{"not", "in", "has", "exists"}, c.Attribute):
		return Constraint{}, errors.New(c.Attribute + " cannot be the name of an attribute")
	case !isAttribute(c.Attribute):
		return Constraint{}, errForm
	}
	for _, value := range c.Values {
		if !isWord(value, "._-/:+@") || len(value) > attributeMax {
			return Constraint{}, errors.New("the value " + clip(value) + " is not a word")
		}
	}
	slices.Sort(c.Values)
	c.Values = slices.Compact(c.Values)
	return c, nil
}

func splitConstraint(text string) (Constraint, error) {
	words := strings.Fields(text)
	asks := func(i int) bool { return len(words) == i+2 && (words[i] == "has" || words[i] == "exists") }
	switch {
	case asks(0):
		return Constraint{Attribute: words[1], Operator: Exists}, nil
	case asks(1) && words[0] == "not":
		return Constraint{Attribute: words[2], Operator: Missing}, nil
	}
	if left, right, many := strings.Cut(text, "["); many {
		return splitMembership(strings.Fields(left), strings.TrimSpace(right))
	}
	for _, sign := range []struct {
		text     string
		operator Operator
	}{{"!=", NotIn}, {"==", In}, {"=", In}} {
		if left, right, ok := strings.Cut(text, sign.text); ok {
			values := []string{strings.TrimSpace(right)}
			return Constraint{Attribute: strings.TrimSpace(left), Operator: sign.operator, Values: values}, nil
		}
	}
	return Constraint{}, errForm
}

// splitMembership reads the words before [ and the text behind it.
func splitMembership(left []string, right string) (Constraint, error) {
	inner, closed := strings.CutSuffix(right, "]")
	if !closed {
		return Constraint{}, errors.New("the ] is missing")
	}
	var values []string
	for value := range strings.SplitSeq(inner, ",") {
		values = append(values, strings.TrimSpace(value))
	}
	switch {
	case len(left) == 2 && left[1] == "in":
		return Constraint{Attribute: left[0], Operator: In, Values: values}, nil
	case len(left) == 3 && left[1] == "not" && left[2] == "in":
		return Constraint{Attribute: left[0], Operator: NotIn, Values: values}, nil
	default:
		return Constraint{}, errForm
	}
}

func isAttribute(name string) bool { return isWord(name, "._-/") && len(name) <= attributeMax }
