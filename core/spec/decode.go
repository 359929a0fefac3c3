package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Zones reports whether a time zone of that IANA name is known. Core cannot
// look: the zones are files.
type Zones func(name string) bool

// Decode returns the spec that a document asks for, with every default filled
// in and in canonical order. The error is Problems: all that is wrong with the
// document. Without zones it knows UTC alone.
func Decode(document Node, zones Zones) (*Spec, error) {
	d := &decoder{zones: zones, places: map[string]Node{"": document}}
	if !d.expect(document, "", Map) {
		return nil, d.problems
	}
	d.kind = d.kindOf(document)
	s := defaults(d.kind)
	documentRule().read(d, "", document, &s)
	d.check(&s, document)
	if len(d.problems) > 0 {
		return nil, d.problems.sorted()
	}
	s.order()
	return &s, nil
}

// decoder reads one document.
type decoder struct {
	kind     Kind
	zones    Zones
	problems Problems
	places   map[string]Node // where each field that was given stands
}

// kindOf returns the kind that the document's first key of a kind names, 0 if
// there is none.
func (d *decoder) kindOf(document Node) Kind {
	for _, e := range document.Entries {
		for _, k := range allKinds() {
			if e.Key.Value == k.String() {
				return k
			}
		}
	}
	d.report(document, "", "want one of service, job, daemon and cron with its name, as in service: web")
	return 0
}

// report notes a problem of the node n.
func (d *decoder) report(n Node, field, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		Line: n.Line, Column: n.Column, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// problemAt notes a problem of a field that may not be there; then the nearest
// one around it tells the place.
func (d *decoder) problemAt(field, format string, args ...any) {
	place := field
	for {
		if n, given := d.places[place]; given || place == "" {
			d.report(n, field, format, args...)
			return
		}
		place = place[:max(0, strings.LastIndexAny(place, ".["))]
	}
}

// given reports whether the document has the field.
func (d *decoder) given(field string) bool {
	_, ok := d.places[field]
	return ok
}

// expect reports whether n is of the kind, and notes a problem if not.
func (d *decoder) expect(n Node, field string, kind NodeKind) bool {
	if n.Kind == kind {
		return true
	}
	want := map[NodeKind]string{List: "a list", Map: "a map of fields"}
	d.report(n, field, "found %s; want %s", n.described(), want[kind])
	return false
}

// checkKey reports whether key is a text that is not in lines yet, notes a
// problem if not, and adds it.
func (d *decoder) checkKey(path string, key Node, lines map[string]int) bool {
	if key.Kind != Scalar {
		d.report(key, path, "found %s as a key; want a name", key.described())
		return false
	}
	if line, twice := lines[key.Value]; twice {
		d.report(key, joined(path, key.Value), "is given twice; the first is in line %d", line)
		return false
	}
	lines[key.Value] = key.Line
	return true
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
