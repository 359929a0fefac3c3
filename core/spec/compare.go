package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Diff is what differs between two specs.
type Diff struct {
	Changes  []Change // in the order of their fields
	Replaces bool     // one of the changes needs new instances
}

// Change is one field that differs.
type Change struct {
	Field    string // such as deploy.surge or ports[http].number
	From, To string // as a spec file writes them; "" where the field is not there
	Replaces bool   // it needs new instances
}

// Compare returns what differs between two specs that Decode returned.
//
// New instances are needed for what an agent must do otherwise from the start:
// the program, its resources, ports and probes, its pools, and the conditions
// on its place; and for a route to another port, so that it moves instance by
// instance. All else applies to instances that run: how many there are, how
// requests reach them, how the next ones are deployed, spread, logged, retried
// or replaced when lost, and when a cron runs.
func Compare(before, after *Spec) Diff {
	from, to := treeOf(before), treeOf(after)
	c := comparison{}
	c.compare(property{shape: documentRule().shape}, "", &from, &to)
	slices.SortStableFunc(c.changes, func(a, b Change) int { return cmp.Compare(a.Field, b.Field) })
	return Diff{
		Changes:  c.changes,
		Replaces: slices.ContainsFunc(c.changes, func(ch Change) bool { return ch.Replaces }),
	}
}

type comparison struct{ changes []Change }

// compare notes the changes of one field; nil stands for a field that is not
// there.
func (c *comparison) compare(p property, field string, from, to *Node) {
	both := from != nil && to != nil
	fields := isMap(from) && isMap(to)
	switch {
	case fields && (both || !p.replaces):
		c.compareEntries(p, field, orEmpty(from), orEmpty(to))
	case both && len(p.shape.identity) > 0:
		c.compareItems(p, field, *from, *to)
	default:
		c.note(p, field, from, to)
	}
}

// note notes a change of the whole field.
func (c *comparison) note(p property, field string, from, to *Node) {
	change := Change{Field: field, From: flowOf(from), To: flowOf(to), Replaces: p.replaces}
	if change.From != change.To {
		c.changes = append(c.changes, change)
	}
}

func (c *comparison) compareEntries(p property, path string, from, to Node) {
	for _, key := range unionOf(keysOf(from), keysOf(to)) {
		inner, _ := p.shape.property(key)
		inner.replaces = inner.replaces || p.replaces
		c.compare(inner, joined(path, key), pick(from.get(key)), pick(to.get(key)))
	}
}

// compareItems compares the items that have the same identity. One that came or
// went is one change.
func (c *comparison) compareItems(p property, path string, from, to Node) {
	before, after := p.shape.identities(from), p.shape.identities(to)
	item := property{shape: *p.shape.items, replaces: p.replaces}
	for _, name := range unionOf(before, after) {
		field := fmt.Sprintf("%s[%s]", path, name)
		i, j := slices.Index(before, name), slices.Index(after, name)
		switch {
		case i < 0:
			c.note(item, field, nil, &to.Items[j])
		case j < 0:
			c.note(item, field, &from.Items[i], nil)
		default:
			c.compare(item, field, &from.Items[i], &to.Items[j])
		}
	}
}

// identities returns what tells the items of a list apart.
func (s shape) identities(list Node) []string {
	var names []string
	for _, item := range list.Items {
		var name strings.Builder
		name.WriteString(item.Value) // of an item in its short form
		for _, key := range s.identity {
			value, _ := item.get(key)
			name.WriteString(value.Value)
		}
		if value, _ := item.get(s.numbered); s.numbered != "" && value.literal() == numeric {
			name.WriteString(value.Value)
		}
		names = append(names, name.String())
	}
	return names
}

// isMap reports whether n is a map, or not there, which is like an empty one.
func isMap(n *Node) bool { return n == nil || n.Kind == Map }

func orEmpty(n *Node) Node {
	if n == nil {
		return Node{Kind: Map}
	}
	return *n
}

func pick(n Node, ok bool) *Node {
	if !ok {
		return nil
	}
	return &n
}

func flowOf(n *Node) string {
	if n == nil {
		return ""
	}
	return flow(*n)
}

func keysOf(n Node) []string {
	var keys []string
	for _, e := range n.Entries {
		keys = append(keys, e.Key.Value)
	}
	return keys
}

// unionOf returns the names in a, then those only in b.
func unionOf(a, b []string) []string {
	all := slices.Clone(a)
	for _, name := range b {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}
