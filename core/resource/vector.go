package resource

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/aloft-run/aloft/core/id"
)

// Item is one type's share of a vector.
type Item struct {
	Type     Type
	Quantity Quantity
}

// Vector is an immutable quantity for each of several types, in the order of
// their names. The zero value is empty.
//
// A type may be there with nothing of it: that is a limit of zero where the
// vector stands for a limit, and the same as absent where it stands for an
// amount.
type Vector struct {
	items []Item
}

// NewVector returns the items in the order of their types. The error joins all
// problems: a type that is there twice, has no valid name, or whose quantity is
// of another kind than the type.
func NewVector(items ...Item) (Vector, error) {
	sorted := slices.SortedFunc(slices.Values(items), func(a, b Item) int { return cmp.Compare(a.Type, b.Type) })
	var problems []error
	for i, item := range sorted {
		if err := item.check(); err != nil {
			problems = append(problems, err)
		}
		if i > 0 && sorted[i-1].Type == item.Type {
			problems = append(problems, fmt.Errorf("%s: %w: the type is there twice", item.Type, ErrOverlap))
		}
	}
	if len(problems) > 0 {
		return Vector{}, errors.Join(problems...)
	}
	return Vector{sorted}, nil
}

// check returns an error unless the quantity suits the type.
func (i Item) check() error {
	kind, known := i.Type.Kind()
	if known && kind != i.Quantity.kind && !i.Quantity.IsZero() {
		return fmt.Errorf("%s: %w: want %s, found %s", i.Type, ErrKind, kind, i.Quantity.kind)
	}
	if err := id.Check(i.Type); err != nil {
		return fmt.Errorf("resource type: %w", err)
	}
	return nil
}

// Get returns the quantity of t. It is false if v does not have the type.
func (v Vector) Get(t Type) (Quantity, bool) {
	i, found := v.find(t)
	if !found {
		return Quantity{}, false
	}
	return v.items[i].Quantity, true
}

// With returns v with q as the quantity of t. The caller answers for q being of
// the type's kind.
func (v Vector) With(t Type, q Quantity) Vector {
	items := slices.Clone(v.items)
	i, found := v.find(t)
	if found {
		items[i].Quantity = q
		return Vector{items}
	}
	return Vector{slices.Insert(items, i, Item{t, q})}
}

func (v Vector) find(t Type) (int, bool) {
	return slices.BinarySearchFunc(v.items, t, func(item Item, t Type) int { return cmp.Compare(item.Type, t) })
}

// All iterates over the types and their quantities, in the order of types.
func (v Vector) All() iter.Seq2[Type, Quantity] {
	return func(yield func(Type, Quantity) bool) {
		for _, item := range v.items {
			if !yield(item.Type, item.Quantity) {
				return
			}
		}
	}
}

// Types iterates over the types, in order.
func (v Vector) Types() iter.Seq[Type] {
	return func(yield func(Type) bool) {
		for _, item := range v.items {
			if !yield(item.Type) {
				return
			}
		}
	}
}

// Len returns how many types v has.
func (v Vector) Len() int { return len(v.items) }

// Add returns v and other together, type by type. Its errors are those of
// Quantity.Add, with the type.
func (v Vector) Add(other Vector) (Vector, error) { return v.combine(other, Quantity.Add) }

// Sub returns what is left of v without other, type by type. Its errors are
// those of Quantity.Sub, with the type.
func (v Vector) Sub(other Vector) (Vector, error) { return v.combine(other, Quantity.Sub) }

func (v Vector) combine(other Vector, each func(a, b Quantity) (Quantity, error)) (Vector, error) {
	for t, q := range other.All() {
		own, _ := v.Get(t)
		combined, err := each(own, q)
		if err != nil {
			return Vector{}, fmt.Errorf("%s: %w", t, err)
		}
		v = v.With(t, combined)
	}
	return v, nil
}

// FitsIn reports whether room has all of v. A type that room does not have
// holds nothing.
func (v Vector) FitsIn(room Vector) bool {
	for t, q := range v.All() {
		if there, _ := room.Get(t); !q.FitsIn(there) {
			return false
		}
	}
	return true
}

// Equal reports whether v and other are the same amounts. An absent type equals
// nothing of it; where that matters, Get tells them apart.
func (v Vector) Equal(other Vector) bool { return v.coveredBy(other) && other.coveredBy(v) }

func (v Vector) coveredBy(other Vector) bool {
	for t, q := range v.All() {
		if there, _ := other.Get(t); !q.Equal(there) {
			return false
		}
	}
	return true
}

// IsZero reports whether v is nothing of every type.
func (v Vector) IsZero() bool {
	return !slices.ContainsFunc(v.items, func(item Item) bool { return !item.Quantity.IsZero() })
}

// String returns the vector for people: "cpus 0.25, mem 64MiB", or "nothing".
func (v Vector) String() string {
	if len(v.items) == 0 {
		return "nothing"
	}
	texts := make([]string, len(v.items))
	for i, item := range v.items {
		texts[i] = string(item.Type) + " " + Format(item.Type, item.Quantity)
	}
	return strings.Join(texts, ", ")
}
