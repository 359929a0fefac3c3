// Package wire turns the values of core into protobuf and back: for the store,
// the API and the sessions.
//
// What goes out and comes in again is equal to what it was. What comes in from
// outside is checked as far as its form goes: an unknown enum value, a quantity
// of the wrong kind or a missing part is an error that names the field.
package wire

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

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

// ToQuantity returns the type and quantity that m says.
func ToQuantity(m *pb.Quantity) (resource.Type, resource.Quantity, error) {
	t := resource.Type(m.GetType())
	q, err := toQuantity(m)
	if err != nil {
		return "", resource.Quantity{}, fmt.Errorf("quantity of %q: %w", t, err)
	}
	return t, q, nil
}

func toQuantity(m *pb.Quantity) (resource.Quantity, error) {
	switch m.GetKind() {
	case pb.QuantityKind_QUANTITY_KIND_RANGES:
		ranges := make([]resource.Range, 0, len(m.GetRanges()))
		for _, r := range m.GetRanges() {
			ranges = append(ranges, resource.Range{First: r.GetFirst(), Last: r.GetLast()})
		}
		return resource.RangesOf(ranges...)
	case pb.QuantityKind_QUANTITY_KIND_SET:
		return resource.SetOf(m.GetMembers()...)
	case pb.QuantityKind_QUANTITY_KIND_SCALAR, pb.QuantityKind_QUANTITY_KIND_UNSPECIFIED:
		return resource.Scalar(m.GetScalar()), nil
	default:
		return resource.Quantity{}, fmt.Errorf("unknown kind %d", m.GetKind())
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

// FromTime returns t as a message; the zero time is absent.
func FromTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// ToTime returns the time that m says, in UTC; absent is the zero time.
func ToTime(m *timestamppb.Timestamp) time.Time {
	if m == nil {
		return time.Time{}
	}
	return m.AsTime()
}

// FromDuration returns d as a message; zero is absent.
func FromDuration(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// strings of a named type, both ways.
func fromNames[T ~string](names []T) []string {
	var list []string
	for _, n := range names {
		list = append(list, string(n))
	}
	return list
}

func toNames[T ~string](names []string) []T {
	var list []T
	for _, n := range names {
		list = append(list, T(n))
	}
	return list
}

func fromPorts(ports map[string]int) map[string]int32 {
	if len(ports) == 0 {
		return nil
	}
	m := make(map[string]int32, len(ports))
	for name, number := range ports {
		m[name] = int32(number)
	}
	return m
}

// ToPorts returns the port numbers by name.
func ToPorts(m map[string]int32) map[string]int {
	if len(m) == 0 {
		return nil
	}
	ports := make(map[string]int, len(m))
	for name, number := range m {
		ports[name] = int(number)
	}
	return ports
}
