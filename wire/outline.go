package wire

import (
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// outline is the fields of a kind of message that can lack meaning, or lead to
// one that can. Most do not: a new leader reads its cluster in a fraction of the
// time that it would take to look at all of them.
type outline struct {
	fields []outlined
	time   bool // the message is itself a time or a duration
}

type outlined struct {
	field protoreflect.FieldDescriptor
	names protoreflect.EnumValueDescriptors // of an enum
	inner *outline                          // of a message
}

// outlines has that of each kind of message which was seen, by its full name.
var outlines sync.Map //nolint:gochecknoglobals // of what never changes, and costs too much to find each time

func outlineOf(d protoreflect.MessageDescriptor) *outline {
	if known, ok := outlines.Load(d.FullName()); ok {
		return known.(*outline)
	}
	found := make(map[protoreflect.FullName]*outline)
	made := draw(d, found)
	prune(found)
	known, _ := outlines.LoadOrStore(d.FullName(), made)
	return known.(*outline)
}

// draw returns the outline of a kind of message, and adds it to found with those
// of its parts: a message may contain others of its own kind.
func draw(d protoreflect.MessageDescriptor, found map[protoreflect.FullName]*outline) *outline {
	if known := found[d.FullName()]; known != nil {
		return known
	}
	o := &outline{}
	found[d.FullName()] = o
	switch d.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		o.time = true
		return o
	}
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		switch {
		case field.IsMap(): // ours have plain values
		case field.Enum() != nil:
			o.fields = append(o.fields, outlined{field: field, names: field.Enum().Values()})
		case field.Message() != nil:
			o.fields = append(o.fields, outlined{field: field, inner: draw(field.Message(), found)})
		}
	}
	return o
}

// prune drops the fields that lead to nothing, until none does.
func prune(found map[protoreflect.FullName]*outline) {
	for again := true; again; {
		again = false
		for _, o := range found {
			kept := make([]outlined, 0, len(o.fields))
			for _, f := range o.fields {
				if f.inner == nil || f.inner.time || len(f.inner.fields) > 0 {
					kept = append(kept, f)
				}
			}
			again = again || len(kept) < len(o.fields)
			o.fields = kept
		}
	}
}

// fits reports whether all of a message has a meaning. What is wrong is for
// formProblems to say.
func (o *outline) fits(m protoreflect.Message) bool {
	if o.time {
		return len(formProblems(m, "")) == 0
	}
	for i := range o.fields {
		f := &o.fields[i]
		switch {
		case !m.Has(f.field):
		case f.field.IsList():
			list := m.Get(f.field).List()
			for at := range list.Len() {
				if !f.fitsValue(list.Get(at)) {
					return false
				}
			}
		case !f.fitsValue(m.Get(f.field)):
			return false
		}
	}
	return true
}

func (f *outlined) fitsValue(value protoreflect.Value) bool {
	if f.inner != nil {
		return f.inner.fits(value.Message())
	}
	return f.names.ByNumber(value.Enum()) != nil
}
