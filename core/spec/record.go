package spec

import (
	"fmt"
	"slices"
)

// field is one field of a record.
type field[S any] struct {
	name, doc string
	required  bool
	noDefault bool   // it has one, which depends on other fields
	replaces  bool   // a change of it needs new instances
	only      kinds  // in whose specs it makes sense; empty: all
	why       string // why not in the others
	rule      rule[S]
}

// record returns a rule for a map with these fields and no others. A value that
// is read keeps what it was where the document is silent; start is what that is,
// for the schema.
func record[S any](start S, fields ...field[S]) rule[S] {
	return rule[S]{
		shape: recordShape(start, fields),
		read: func(d *decoder, path string, n Node, into *S) {
			readRecord(d, path, n, fields, into)
		},
		tree: func(k Kind, from *S) (Node, bool) {
			node := Node{Kind: Map}
			for _, f := range fields {
				if !f.only.has(k) {
					continue
				}
				if value, ok := f.rule.tree(k, from); ok {
					node = node.with(f.name, value)
				}
			}
			return node, len(node.Entries) > 0
		},
	}
}

func recordShape[S any](start S, fields []field[S]) shape {
	s := shape{form: recordForm}
	for _, f := range fields {
		p := property{
			name: f.name, doc: f.doc, required: f.required, replaces: f.replaces, only: f.only, shape: f.rule.shape,
		}
		if f.rule.shape.form != recordForm && !f.required && !f.noDefault {
			p.preset, p.hasPreset = f.rule.tree(0, &start)
		}
		s.fields = append(s.fields, p)
	}
	return s
}

func readRecord[S any](d *decoder, path string, n Node, fields []field[S], into *S) {
	if !d.expect(n, path, Map) {
		return
	}
	lines := make(map[string]int)
	for _, e := range n.Entries {
		if !d.checkKey(path, e.Key, lines) {
			continue
		}
		name := joined(path, e.Key.Value)
		i := slices.IndexFunc(fields, func(f field[S]) bool { return f.name == e.Key.Value })
		switch {
		case i < 0:
			known := namesFor(d.kind, fields)
			d.report(e.Key, path, "unknown field %q; %s", clip(e.Key.Value), suggestion(e.Key.Value, known))
		case !fields[i].only.has(d.kind):
			d.report(e.Key, name, "makes no sense for a %s: %s", d.kind, fields[i].why)
		default:
			d.places[name] = e.Value
			fields[i].rule.read(d, name, e.Value, into)
		}
	}
	for _, f := range fields {
		if _, given := lines[f.name]; f.required && !given {
			d.report(n, joined(path, f.name), "is missing")
		}
	}
}

// namesFor returns the names of the fields that a spec of kind k may have.
func namesFor[S any](k Kind, fields []field[S]) []string {
	var names []string
	for _, f := range fields {
		if f.only.has(k) {
			names = append(names, f.name)
		}
	}
	return names
}

// mapping returns a rule for a map with free keys. checkKey returns why a key
// is not right.
func mapping[V any](keys string, checkKey func(string) error, value rule[V], entriesMax int) rule[map[string]V] {
	return rule[map[string]V]{
		shape: shape{form: recordForm, items: &value.shape, keys: keys},
		read: func(d *decoder, path string, n Node, into *map[string]V) {
			if !d.expect(n, path, Map) {
				return
			}
			if len(n.Entries) > entriesMax {
				d.report(n, path, "found %d entries; want at most %d", len(n.Entries), entriesMax)
				return
			}
			lines := make(map[string]int)
			for _, e := range n.Entries {
				if !d.checkKey(path, e.Key, lines) {
					continue
				}
				name := joined(path, e.Key.Value)
				if err := checkKey(e.Key.Value); err != nil {
					d.report(e.Key, path, "found %q; want %v", clip(e.Key.Value), err)
					continue
				}
				d.places[name] = e.Value
				var v V
				value.read(d, name, e.Value, &v)
				if *into == nil {
					*into = make(map[string]V)
				}
				(*into)[e.Key.Value] = v
			}
		},
		tree: func(k Kind, from *map[string]V) (Node, bool) {
			node := Node{Kind: Map}
			for _, key := range sortedKeys(*from) {
				v := (*from)[key]
				if child, ok := value.tree(k, &v); ok {
					node = node.with(key, child)
				}
			}
			return node, len(node.Entries) > 0
		},
	}
}

// joined returns the name of a field inside another.
func joined(path, name string) string {
	if path == "" {
		return clip(name)
	}
	return fmt.Sprintf("%s.%s", path, clip(name))
}
