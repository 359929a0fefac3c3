package resource

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// RangeMax is the highest number in a range, so that how many numbers there are
// fits in 64 bits.
const RangeMax = math.MaxInt64 - 1

// Range is the whole numbers from First to Last, both included.
type Range struct {
	First, Last int64
}

// String returns the range as Parse reads it: 20000-29999, or 31000 for one
// number.
func (r Range) String() string {
	if r.First == r.Last {
		return strconv.FormatInt(r.First, 10)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Number returns ranges of one number, which has to be from 0 to RangeMax.
func Number(n int64) Quantity { return ofRange(Range{n, n}) }

// Next returns the lowest number of q that is not below from. It is false if
// there is none. It takes logarithmic time in the number of ranges.
func (q Quantity) Next(from int64) (int64, bool) {
	ranges := q.ranges()
	i := reach(ranges, from)
	if i == len(ranges) {
		return 0, false
	}
	return max(from, ranges[i].First), true
}

// Has reports whether number is in the ranges of q.
func (q Quantity) Has(number int64) bool {
	next, ok := q.Next(number)
	return ok && next == number
}

// reach returns the index of the first range that ends at or after from.
func reach(ranges []Range, from int64) int {
	i, _ := slices.BinarySearchFunc(ranges, from, func(r Range, n int64) int { return cmp.Compare(r.Last, n) })
	return i
}

func count(ranges []Range) int64 {
	var n int64
	for _, r := range ranges {
		n += r.Last - r.First + 1
	}
	return n
}

// normal returns the ranges sorted, with the ones that touch made one.
func normal(ranges []Range) ([]Range, error) {
	sorted := slices.Clone(ranges) // of one range most often: it is not worth more
	slices.SortFunc(sorted, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	for i, r := range sorted {
		switch {
		case r.First > r.Last:
			return nil, fmt.Errorf("range %d-%d is inverted, want the lower number first", r.First, r.Last)
		case r.First < 0 || r.Last > RangeMax:
			return nil, fmt.Errorf("range %s is not within 0-%d", r, int64(RangeMax))
		case i > 0 && sorted[i-1].Last >= r.First:
			return nil, fmt.Errorf("%w: ranges %s and %s have numbers in common", ErrOverlap, sorted[i-1], r)
		}
	}
	return join(sorted), nil
}

// join makes one of ranges that touch, in place. They are sorted and apart.
func join(sorted []Range) []Range {
	joined := sorted[:0]
	for _, r := range sorted {
		if last := len(joined) - 1; last >= 0 && joined[last].Last+1 == r.First {
			joined[last].Last = r.Last
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// union returns the numbers of a and b. It is false if they have one in common.
func union(a, b []Range) ([]Range, bool) {
	sum := make([]Range, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if b[0].First < a[0].First {
			a, b = b, a
		}
		if b[0].First <= a[0].Last {
			return nil, false
		}
		sum, a = append(sum, a[0]), a[1:]
	}
	return join(append(append(sum, a...), b...)), true
}

// subtract returns the numbers of a that are not in b.
func subtract(a, b []Range) []Range {
	left := make([]Range, 0, len(a)+len(b))
	for _, r := range a {
		for _, gap := range b[reach(b, r.First):] {
			if gap.First > r.Last {
				break
			}
			if gap.First > r.First {
				left = append(left, Range{r.First, gap.First - 1})
			}
			r.First = gap.Last + 1
		}
		if r.First <= r.Last {
			left = append(left, r)
		}
	}
	return left
}

// overlap reports whether a number of a is in b.
func overlap(a, b []Range) bool {
	for _, r := range a {
		if i := reach(b, r.First); i < len(b) && b[i].First <= r.Last {
			return true
		}
	}
	return false
}

// within reports whether all numbers of a are in b.
func within(a, b []Range) bool {
	for _, r := range a {
		i := reach(b, r.First)
		if i == len(b) || b[i].First > r.First || b[i].Last < r.Last {
			return false
		}
	}
	return true
}
