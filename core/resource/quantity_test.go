package resource_test

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/resource"
)

// FuzzParsePrintsBack checks that what is read prints as a text that reads as
// the same, and prints the same again.
func FuzzParsePrintsBack(f *testing.F) {
	for _, seed := range [][2]string{
		{"cpus", "0.5"},
		{"cpus", "500m"},
		{"mem", "1.5GiB"},
		{"disk", "1000KB"},
		{"gpus", "2"},
		{"ports", "20000-29999,31000"},
		{"ports", "none"},
		{"licences", "{a,b}"},
		{"vlans", "7-7"},
		{"bandwidth", "0.001"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, kind, text string) {
		of := resource.Type(kind)
		q, err := resource.Parse(of, text)
		if err != nil {
			return
		}
		if q.Amount() < 0 {
			t.Fatalf("Parse(%s, %q) is below zero: %d", of, text, q.Amount())
		}
		printed := resource.Format(of, q)
		again, err := resource.Parse(of, printed)
		if err != nil || !again.Equal(q) || again.Kind() != q.Kind() {
			t.Errorf("Parse(%s, %q) prints as %q, which reads as %v, %v", of, text, printed, again, err)
		}
		if second := resource.Format(of, again); second != printed {
			t.Errorf("Parse(%s, %q) prints as %q and then as %q", of, text, printed, second)
		}
	})
}

// drawRanges draws few low numbers, so that ranges often touch and overlap.
func drawRanges(t *rapid.T, label string) resource.Quantity {
	var ranges []resource.Range
	next := int64(0)
	for range rapid.IntRange(0, 5).Draw(t, label) {
		first := next + rapid.Int64Range(0, 3).Draw(t, "gap")
		last := first + rapid.Int64Range(0, 4).Draw(t, "length")
		ranges = append(ranges, resource.Range{First: first, Last: last})
		next = last + 1
	}
	slices.Reverse(ranges)
	q, err := resource.RangesOf(ranges...)
	if err != nil {
		t.Fatalf("RangesOf(%v): %v", ranges, err)
	}
	return q
}

func drawQuantity(t *rapid.T, kind resource.Kind, label string) resource.Quantity {
	switch kind {
	case resource.KindRanges:
		return drawRanges(t, label)
	case resource.KindSet:
		members := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.ID).Draw(t, label)
		q, err := resource.SetOf(members...)
		if err != nil {
			t.Fatalf("SetOf(%v): %v", members, err)
		}
		return q
	default:
		return resource.Scalar(rapid.Int64Range(-5, 20).Draw(t, label))
	}
}

func drawKind(t *rapid.T) resource.Kind {
	return rapid.SampledFrom([]resource.Kind{resource.KindScalar, resource.KindRanges, resource.KindSet}).Draw(t, "kind")
}

// TestSumAndDifference checks a+b-b = a, a+b = b+a, and that a sum is refused
// just when something would count twice.
func TestSumAndDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		kind := drawKind(t)
		a, b := drawQuantity(t, kind, "a"), drawQuantity(t, kind, "b")

		sum, err := a.Add(b)

		other, errOther := b.Add(a)
		if (err == nil) != (errOther == nil) || !sum.Equal(other) {
			t.Fatalf("a+b is %v, %v but b+a is %v, %v", sum, err, other, errOther)
		}
		disjoint := kind == resource.KindScalar || a.Without(b).Amount() == a.Amount()
		if disjoint != (err == nil) {
			t.Fatalf("%v and %v are disjoint: %v, but their sum is %v", a, b, disjoint, err)
		}
		if a.Meets(b) == disjoint || b.Meets(a) == disjoint {
			t.Fatalf("%v and %v are disjoint: %v, but meet: %v, %v", a, b, disjoint, a.Meets(b), b.Meets(a))
		}
		if err != nil {
			return
		}
		if sum.Amount() != a.Amount()+b.Amount() {
			t.Fatalf("%v+%v counts %d", a, b, sum.Amount())
		}
		if left, err := sum.Sub(b); err != nil || !left.Equal(a) {
			t.Fatalf("%v+%v-%v = %v, %v", a, b, b, left, err)
		}
	})
}

// TestNumbersOfRanges compares the algebra of ranges with that of plain sets of
// numbers.
func TestNumbersOfRanges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawRanges(t, "a"), drawRanges(t, "b")
		inA, inB := numbers(a), numbers(b)

		left := a.Without(b)

		fits := true
		for n := range int64(60) {
			if want := inA[n] && !inB[n]; left.Has(n) != want {
				t.Fatalf("%v without %v has %d: %v", a.Ranges(), b.Ranges(), n, left.Has(n))
			}
			fits = fits && (!inA[n] || inB[n])
		}
		if a.FitsIn(b) != fits {
			t.Fatalf("%v fits in %v: %v", a.Ranges(), b.Ranges(), a.FitsIn(b))
		}
		if _, err := b.Sub(a); (err == nil) != fits {
			t.Fatalf("%v less %v: %v", b.Ranges(), a.Ranges(), err)
		}
		checkApart(t, left)
	})
}

// checkApart checks that ranges are sorted, and that none touches the next.
func checkApart(t *rapid.T, q resource.Quantity) {
	last := int64(-2)
	for _, r := range q.Ranges() {
		if r.First <= last+1 || r.Last < r.First {
			t.Fatalf("%v is not sorted and apart", q.Ranges())
		}
		last = r.Last
	}
}

func numbers(q resource.Quantity) map[int64]bool {
	set := map[int64]bool{}
	for _, r := range q.Ranges() {
		for n := r.First; n <= r.Last; n++ {
			set[n] = true
		}
	}
	return set
}

func mustRanges(t *testing.T, ranges ...resource.Range) resource.Quantity {
	t.Helper()
	q, err := resource.RangesOf(ranges...)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func mustSet(t *testing.T, members ...string) resource.Quantity {
	t.Helper()
	q, err := resource.SetOf(members...)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestSumRefusals(t *testing.T) {
	t.Parallel()
	one := resource.Scalar(1)
	ports, members := mustRanges(t, resource.Range{First: 1, Last: 9}), mustSet(t, "a", "b")
	tests := map[string]struct {
		do   func(a, b resource.Quantity) (resource.Quantity, error)
		a, b resource.Quantity
		want error
	}{
		"a number and ports":         {resource.Quantity.Add, one, ports, resource.ErrKind},
		"ports less members":         {resource.Quantity.Sub, ports, members, resource.ErrKind},
		"a sum above 64 bits":        {resource.Quantity.Add, one, resource.Scalar(math.MaxInt64), resource.ErrOverflow},
		"a sum below 64 bits":        {resource.Quantity.Add, resource.Scalar(-2), resource.Scalar(math.MinInt64 + 1), resource.ErrOverflow},
		"a difference below 64 bits": {resource.Quantity.Sub, resource.Scalar(math.MinInt64), one, resource.ErrOverflow},
		"a difference above 64 bits": {resource.Quantity.Sub, resource.Scalar(math.MaxInt64), resource.Scalar(-1), resource.ErrOverflow},
		"the same ports twice":       {resource.Quantity.Add, ports, ports, resource.ErrOverlap},
		"the same member twice":      {resource.Quantity.Add, members, mustSet(t, "b", "c"), resource.ErrOverlap},
		"ports that are not there":   {resource.Quantity.Sub, ports, mustRanges(t, resource.Range{First: 9, Last: 10}), resource.ErrMissing},
		"members that are not there": {resource.Quantity.Sub, members, mustSet(t, "c"), resource.ErrMissing},
		"ports of nothing":           {resource.Quantity.Sub, resource.Quantity{}, ports, resource.ErrMissing},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if q, err := tc.do(tc.a, tc.b); !errors.Is(err, tc.want) {
				t.Errorf("%v, %v, want %v", q, err, tc.want)
			}
		})
	}
}

func TestFitsIn(t *testing.T) {
	t.Parallel()
	none := resource.Quantity{}
	ports, members := mustRanges(t, resource.Range{First: 10, Last: 19}), mustSet(t, "a", "b")
	tests := map[string]struct {
		q, room resource.Quantity
		want    bool
	}{
		"less fits":                           {resource.Scalar(1), resource.Scalar(2), true},
		"as much fits":                        {resource.Scalar(2), resource.Scalar(2), true},
		"more does not fit":                   {resource.Scalar(3), resource.Scalar(2), false},
		"nothing fits even below zero":        {none, resource.Scalar(-1), true},
		"no port fits in numbers":             {mustRanges(t), resource.Scalar(-1), true},
		"ports do not fit in numbers":         {ports, resource.Scalar(100), false},
		"what is below zero fits in nothing":  {resource.Scalar(-1), mustRanges(t), true},
		"ports within a range fit":            {mustRanges(t, resource.Range{First: 12, Last: 13}), ports, true},
		"ports past the range do not fit":     {mustRanges(t, resource.Range{First: 19, Last: 20}), ports, false},
		"ports before the range do not fit":   {mustRanges(t, resource.Range{First: 9, Last: 10}), ports, false},
		"some members fit":                    {mustSet(t, "b"), members, true},
		"a member that is missing is refused": {mustSet(t, "b", "c"), members, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tc.q.FitsIn(tc.room); got != tc.want {
				t.Errorf("%v fits in %v: %v, want %v", tc.q, tc.room, got, tc.want)
			}
		})
	}
}

func TestNextNumber(t *testing.T) {
	t.Parallel()
	q := mustRanges(t, resource.Range{First: 10, Last: 11}, resource.Range{First: 20, Last: 20})
	tests := map[string]struct {
		from, want int64
		ok         bool
	}{
		"below all":     {1, 10, true},
		"inside":        {11, 11, true},
		"in a gap":      {12, 20, true},
		"past all":      {21, 0, false},
		"the last of q": {20, 20, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := q.Next(tc.from); got != tc.want || ok != tc.ok {
				t.Errorf("Next(%d) = %d, %v, want %d, %v", tc.from, got, ok, tc.want, tc.ok)
			}
		})
	}
}

// TestQuantityIsImmutable changes what goes in and what comes out.
func TestQuantityIsImmutable(t *testing.T) {
	t.Parallel()
	ranges, members := []resource.Range{{First: 1, Last: 5}}, []string{"a"}
	ports, set := mustRanges(t, ranges...), mustSet(t, members...)
	ranges[0].Last, members[0] = 9, "z"
	ports.Ranges()[0].Last, set.Members()[0] = 9, "z"

	if !ports.Equal(mustRanges(t, resource.Range{First: 1, Last: 5})) || !set.Equal(mustSet(t, "a")) {
		t.Errorf("now %v and %v", ports.Ranges(), set.Members())
	}
}

func TestEqualLooksAtAll(t *testing.T) {
	t.Parallel()
	if mustSet(t, "a").Equal(mustSet(t, "b")) || mustSet(t, "a").Equal(resource.Scalar(1)) ||
		mustRanges(t, resource.Range{First: 1, Last: 1}).Equal(mustRanges(t, resource.Range{First: 2, Last: 2})) {
		t.Error("different quantities are equal")
	}
	if !mustSet(t).Equal(resource.Quantity{}) {
		t.Error("no member is not nothing")
	}
}

func TestFormatOvercommitted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		kind   resource.Type
		amount int64
		want   string
	}{
		"cpus":             {resource.CPUs, -500, "-0.5"},
		"mem":              {resource.Mem, -512 << 20, "-512MiB"},
		"gpus":             {resource.GPUs, -1, "-1"},
		"the lowest of 64": {resource.GPUs, math.MinInt64, "-9223372036854775808"},
		"no ports":         {resource.Ports, 0, "none"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := resource.Format(tc.kind, resource.Scalar(tc.amount)); got != tc.want {
				t.Errorf("Format(%s, %d) = %q, want %q", tc.kind, tc.amount, got, tc.want)
			}
		})
	}
}

func TestFormatAmount(t *testing.T) {
	t.Parallel()
	got := []string{
		resource.FormatAmount(resource.Mem, resource.KindScalar, 1<<20),
		resource.FormatAmount(resource.Ports, resource.KindRanges, 12),
		resource.FormatAmount("keys", resource.KindSet, 2),
	}
	if want := []string{"1MiB", "12", "2"}; !slices.Equal(got, want) {
		t.Errorf("amounts are %q, want %q", got, want)
	}
}

func TestStringIsInTheSmallestUnit(t *testing.T) {
	t.Parallel()
	got := []string{resource.Scalar(-250).String(), mustRanges(t, resource.Range{First: 7, Last: 8}).String(), mustSet(t, "a").String()}
	if want := []string{"-250", "7-8", "{a}"}; !slices.Equal(got, want) {
		t.Errorf("strings are %q, want %q", got, want)
	}
}

func TestKindNames(t *testing.T) {
	t.Parallel()
	got := []string{resource.Scalar(1).Kind().String(), mustRanges(t).Kind().String(), mustSet(t).Kind().String()}
	if want := []string{"scalar", "ranges", "set"}; !slices.Equal(got, want) {
		t.Errorf("kinds are %v, want %v", got, want)
	}
}
