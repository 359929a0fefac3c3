// Package wire turns the values of core into protobuf and back: for the store,
// the API and the sessions.
//
// What goes out and comes in again is equal to what it was. What comes in from
// outside is checked as far as its form goes: an unknown enum value, a quantity
// of the wrong kind or a missing part is an error that names the field.
package wire

import (
	"errors"
	"fmt"

	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromQuantity returns q, a quantity of t, as a message.
func FromQuantity(t resource.Type, q resource.Quantity) *pb.Quantity {
	m := &pb.Quantity{Type: string(t)}
	switch q.Kind() {
	case resource.KindRanges:
		m.Kind = pb.QuantityKind_QUANTITY_KIND_RANGES
		for _, r := range q.Ranges() {
			m.Ranges = append(m.Ranges, &pb.Range{First: r.First, Last: r.Last})
		}
	case resource.KindSet:
		m.Kind = pb.QuantityKind_QUANTITY_KIND_SET
		m.Members = q.Members()
	default:
		m.Kind = pb.QuantityKind_QUANTITY_KIND_SCALAR
		m.Scalar = q.Amount()
	}
	return m
}

// ToQuantity returns the type and quantity that m says. Who leaves the kind out
// means that of what is there. A scalar of a type that has ranges or members
// says how many.
func ToQuantity(m *pb.Quantity) (resource.Type, resource.Quantity, error) {
	t := resource.Type(m.GetType())
	q, err := toQuantity(m)
	if err != nil {
		return "", resource.Quantity{}, fmt.Errorf("quantity of %q: %w", t, err)
	}
	return t, q, nil
}

func toQuantity(m *pb.Quantity) (resource.Quantity, error) {
	kind := kindOf(m)
	switch {
	case kind != pb.QuantityKind_QUANTITY_KIND_SCALAR && m.GetScalar() != 0,
		kind != pb.QuantityKind_QUANTITY_KIND_RANGES && len(m.GetRanges()) > 0,
		kind != pb.QuantityKind_QUANTITY_KIND_SET && len(m.GetMembers()) > 0:
		return resource.Quantity{}, errors.New("want one of scalar, ranges and members, as its kind says")
	}
	switch kind {
	case pb.QuantityKind_QUANTITY_KIND_SCALAR:
		return resource.Scalar(m.GetScalar()), nil
	case pb.QuantityKind_QUANTITY_KIND_RANGES:
		ranges := make([]resource.Range, 0, len(m.GetRanges()))
		for _, r := range m.GetRanges() {
			ranges = append(ranges, resource.Range{First: r.GetFirst(), Last: r.GetLast()})
		}
		return resource.RangesOf(ranges...)
	case pb.QuantityKind_QUANTITY_KIND_SET:
		return resource.SetOf(m.GetMembers()...)
	default:
		return resource.Quantity{}, fmt.Errorf("kind: unknown value %d", kind)
	}
}

func kindOf(m *pb.Quantity) pb.QuantityKind {
	switch {
	case m.GetKind() != pb.QuantityKind_QUANTITY_KIND_UNSPECIFIED:
		return m.GetKind()
	case len(m.GetRanges()) > 0:
		return pb.QuantityKind_QUANTITY_KIND_RANGES
	case len(m.GetMembers()) > 0:
		return pb.QuantityKind_QUANTITY_KIND_SET
	default:
		return pb.QuantityKind_QUANTITY_KIND_SCALAR
	}
}

// FromVector returns v as messages, in the order of its types.
func FromVector(v resource.Vector) []*pb.Quantity {
	list := make([]*pb.Quantity, 0, v.Len())
	for t, q := range v.All() {
		list = append(list, FromQuantity(t, q))
	}
	return list
}

// ToVector returns the vector that the messages say.
func ToVector(list []*pb.Quantity) (resource.Vector, error) {
	items := make([]resource.Item, 0, len(list))
	for _, m := range list {
		t, q, err := ToQuantity(m)
		if err != nil {
			return resource.Vector{}, err
		}
		items = append(items, resource.Item{Type: t, Quantity: q})
	}
	return resource.NewVector(items...)
}
