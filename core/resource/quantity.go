package resource

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Errors that callers tell apart.
var (
	// ErrKind is the error for two quantities of different kinds in one sum.
	ErrKind = errors.New("different kinds")
	// ErrOverflow is the error for a sum that 64 bits do not hold.
	ErrOverflow = errors.New("number too large")
	// ErrOverlap is the error for a number or member that would count twice.
	ErrOverlap = errors.New("overlap")
	// ErrMissing is the error for numbers or members taken from where they are not.
	ErrMissing = errors.New("not contained")
)

// Quantity is an immutable amount of one resource type. The zero value is
// nothing; nothing of one kind equals and adds to every other kind.
type Quantity struct {
	amount int64
	list   *list // nil for scalars
	kind   Kind
}

// list holds what is told apart, sorted. Only the field of the kind is set.
type list struct {
	ranges  []Range
	members []string
}

// Scalar returns an amount in the smallest unit of its type: thousandths of
// cpus and of custom types, bytes of mem and disk, whole gpus.
func Scalar(amount int64) Quantity { return Quantity{amount: amount} }

// RangesOf returns the numbers in the given ranges, in any order. Ranges that
// touch become one; it is an error if they overlap, are inverted, or leave
// 0 to RangeMax.
func RangesOf(ranges ...Range) (Quantity, error) {
	if len(ranges) == 1 && 0 <= ranges[0].First && ranges[0].First <= ranges[0].Last && ranges[0].Last <= RangeMax {
		return ofRange(ranges[0]), nil
	}
	joined, err := normal(ranges)
	if err != nil {
		return Quantity{}, err
	}
	return ofRanges(joined), nil
}

// SetOf returns the given members, in any order. It is an error if one is there
// twice, is empty, or has a character other than ASCII letters, digits and
// "-_.:/".
func SetOf(members ...string) (Quantity, error) {
	sorted := slices.Sorted(slices.Values(members))
	for i, m := range sorted {
		if m == "" || strings.ContainsFunc(m, notInMember) {
			return Quantity{}, fmt.Errorf("member %q, want letters, digits and any of -_.:/", clip(m))
		}
		if i > 0 && sorted[i-1] == m {
			return Quantity{}, fmt.Errorf("%w: member %s is there twice", ErrOverlap, clip(m))
		}
	}
	return ofMembers(sorted), nil
}

func notInMember(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-_.:/", r)
}

func ofRanges(ranges []Range) Quantity {
	return Quantity{kind: KindRanges, amount: count(ranges), list: &list{ranges: ranges}}
}

// ofRange is ofRanges for one, in one piece of memory: most ports are claimed one by one.
func ofRange(r Range) Quantity {
	single := &struct {
		list
		one [1]Range
	}{one: [1]Range{r}}
	single.ranges = single.one[:]
	return Quantity{kind: KindRanges, amount: r.Last - r.First + 1, list: &single.list}
}

func ofMembers(members []string) Quantity {
	return Quantity{kind: KindSet, amount: int64(len(members)), list: &list{members: members}}
}

// Kind returns the kind of q.
func (q Quantity) Kind() Kind { return q.kind }

// Amount returns the value of a scalar in its smallest unit, how many numbers
// are in ranges, or how many members are in a set.
func (q Quantity) Amount() int64 { return q.amount }

// Ranges returns a copy of the ranges of q, sorted and apart from each other.
// It is empty for other kinds.
func (q Quantity) Ranges() []Range { return slices.Clone(q.ranges()) }

// EachRange yields what Ranges returns, and copies nothing.
func (q Quantity) EachRange(yield func(Range) bool) {
	for _, r := range q.ranges() {
		if !yield(r) {
			return
		}
	}
}

// Members returns a copy of the members of q, sorted. It is empty for other
// kinds.
func (q Quantity) Members() []string { return slices.Clone(q.members()) }

func (q Quantity) ranges() []Range {
	if q.list == nil {
		return nil
	}
	return q.list.ranges
}

func (q Quantity) members() []string {
	if q.list == nil {
		return nil
	}
	return q.list.members
}

// IsZero reports whether q is nothing.
func (q Quantity) IsZero() bool { return q.amount == 0 }

// Equal reports whether q and other are the same. Nothing equals nothing,
// whatever the kinds.
func (q Quantity) Equal(other Quantity) bool {
	switch {
	case q.amount != other.amount:
		return false
	case q.amount == 0:
		return true
	default:
		return q.kind == other.kind && slices.Equal(q.ranges(), other.ranges()) &&
			slices.Equal(q.members(), other.members())
	}
}

// Add returns q and other together. The error is ErrKind, ErrOverflow, or
// ErrOverlap if both hold the same number or member.
func (q Quantity) Add(other Quantity) (Quantity, error) {
	switch {
	case other.IsZero():
		return q, nil
	case q.IsZero():
		return other, nil
	case q.kind != other.kind:
		return Quantity{}, fmt.Errorf("%w: %s and %s", ErrKind, q.kind, other.kind)
	case q.kind == KindRanges:
		joined, ok := union(q.ranges(), other.ranges())
		if !ok {
			return Quantity{}, ErrOverlap
		}
		return ofRanges(joined), nil
	case q.kind == KindSet:
		joined := slices.Sorted(slices.Values(slices.Concat(q.members(), other.members())))
		if len(slices.Compact(slices.Clone(joined))) != len(joined) {
			return Quantity{}, ErrOverlap
		}
		return ofMembers(joined), nil
	case other.amount > 0 && q.amount > math.MaxInt64-other.amount,
		other.amount < 0 && q.amount < math.MinInt64-other.amount:
		return Quantity{}, ErrOverflow
	default:
		return Scalar(q.amount + other.amount), nil
	}
}

// Sub returns what is left of q without other. A scalar may become negative:
// then more is claimed than there is. The error is ErrKind, ErrOverflow, or
// ErrMissing if other has a number or member that q has not.
func (q Quantity) Sub(other Quantity) (Quantity, error) {
	switch {
	case other.IsZero():
		return q, nil
	case q.kind != other.kind && !q.IsZero():
		return Quantity{}, fmt.Errorf("%w: %s and %s", ErrKind, q.kind, other.kind)
	case other.kind != KindScalar && !other.FitsIn(q):
		return Quantity{}, ErrMissing
	case other.kind != KindScalar:
		return q.Without(other), nil
	case other.amount > 0 && q.amount < math.MinInt64+other.amount,
		other.amount < 0 && q.amount > math.MaxInt64+other.amount:
		return Quantity{}, ErrOverflow
	default:
		return Scalar(q.amount - other.amount), nil
	}
}

// Without returns the numbers or members of q that other has not. Scalars and
// quantities of different kinds have nothing in common: it is q.
func (q Quantity) Without(other Quantity) Quantity {
	switch {
	case q.kind != other.kind || q.kind == KindScalar || q.IsZero() || other.IsZero():
		return q
	case q.kind == KindRanges:
		return ofRanges(subtract(q.ranges(), other.ranges()))
	default:
		return ofMembers(slices.DeleteFunc(q.Members(), other.hasMember))
	}
}

// Meets reports whether q and other have a number or member in common. Scalars have none.
func (q Quantity) Meets(other Quantity) bool {
	switch {
	case q.kind != other.kind || q.IsZero() || other.IsZero():
		return false
	case q.kind == KindRanges:
		return overlap(q.ranges(), other.ranges())
	default:
		return slices.ContainsFunc(q.members(), other.hasMember)
	}
}

// FitsIn reports whether room has all of q. Nothing fits in everything, even in
// a room that is overcommitted.
func (q Quantity) FitsIn(room Quantity) bool {
	switch {
	case q.IsZero():
		return true
	case q.kind != room.kind:
		return q.kind == KindScalar && room.IsZero() && q.amount < 0
	case q.kind == KindRanges:
		return within(q.ranges(), room.ranges())
	case q.kind == KindSet:
		return !slices.ContainsFunc(q.members(), func(m string) bool { return !room.hasMember(m) })
	default:
		return q.amount <= room.amount
	}
}

func (q Quantity) hasMember(name string) bool {
	_, found := slices.BinarySearch(q.members(), name)
	return found
}
