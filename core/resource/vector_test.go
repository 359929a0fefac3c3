package resource_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/resource"
)

// vector reads "cpus 0.25, mem 64MiB".
func vector(t interface {
	Helper()
	Fatal(args ...any)
}, text string,
) resource.Vector {
	t.Helper()
	var items []resource.Item
	for part := range strings.SplitSeq(text, ", ") {
		kind, amount, _ := strings.Cut(part, " ")
		q, err := resource.Parse(resource.Type(kind), amount)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, resource.Item{Type: resource.Type(kind), Quantity: q})
	}
	v, err := resource.NewVector(items...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func drawVector(t *rapid.T, label string) resource.Vector {
	var v resource.Vector
	for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom([]resource.Type{"cpus", "mem", "tickets"}), rapid.ID).Draw(t, label) {
		v = v.With(name, resource.Scalar(rapid.Int64Range(0, 3).Draw(t, string(name))))
	}
	return v
}

// TestVectorLaws checks a+b-b = a, and that a fits in b just when b-a is
// nowhere below zero.
func TestVectorLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawVector(t, "a"), drawVector(t, "b")

		sum, err := a.Add(b)
		if err != nil {
			t.Fatal(err)
		}
		left, err := sum.Sub(b)
		if err != nil || !left.Equal(a) {
			t.Fatalf("%v + %v - %v = %v, %v", a, b, b, left, err)
		}
		rest, err := b.Sub(a)
		if err != nil {
			t.Fatal(err)
		}
		fits := true
		for _, q := range rest.All() {
			fits = fits && q.Amount() >= 0
		}
		if a.FitsIn(b) != fits {
			t.Fatalf("%v fits in %v: %v, what is left is %v", a, b, a.FitsIn(b), rest)
		}
		if !slices.IsSorted(slices.Collect(sum.Types())) {
			t.Fatalf("%v is not in order", sum)
		}
	})
}

func TestVectorReads(t *testing.T) {
	t.Parallel()
	v := vector(t, "mem 64MiB, ports 80, cpus 0.25")

	if got, want := v.String(), "cpus 0.25, mem 64MiB, ports 80"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	if q, ok := v.Get(resource.CPUs); !ok || q.Amount() != 250 || v.Len() != 3 {
		t.Errorf("Get(cpus) = %v, %v of %d types", q, ok, v.Len())
	}
	if q, ok := v.Get(resource.GPUs); ok || !q.IsZero() {
		t.Errorf("Get(gpus) = %v, %v", q, ok)
	}
	for kind, q := range v.All() {
		if kind != resource.CPUs || q.Amount() != 250 {
			t.Errorf("the first is %s %v", kind, q)
		}
		break
	}
	for kind := range v.Types() {
		if kind != resource.CPUs {
			t.Errorf("the first is %s", kind)
		}
		break
	}
	if got := (resource.Vector{}).String(); got != "nothing" {
		t.Errorf("the empty vector prints as %q", got)
	}
}

func TestVectorWithLeavesTheOriginal(t *testing.T) {
	t.Parallel()
	v := vector(t, "cpus 1, mem 1GiB")

	more := v.With(resource.CPUs, resource.Scalar(2000)).With(resource.GPUs, resource.Scalar(1))

	if got, want := more.String(), "cpus 2, gpus 1, mem 1GiB"; got != want {
		t.Errorf("with more: %q, want %q", got, want)
	}
	if got, want := v.String(), "cpus 1, mem 1GiB"; got != want {
		t.Errorf("the original: %q, want %q", got, want)
	}
	if v.Equal(more) || v.IsZero() || !v.With(resource.CPUs, resource.Quantity{}).With(resource.Mem, resource.Quantity{}).IsZero() {
		t.Error("what is there and what is not are confused")
	}
}

func TestVectorRefusals(t *testing.T) {
	t.Parallel()
	_, err := resource.NewVector(
		resource.Item{Type: resource.Ports, Quantity: resource.Scalar(1)},
		resource.Item{Type: resource.CPUs, Quantity: resource.Scalar(1)},
		resource.Item{Type: resource.CPUs, Quantity: resource.Scalar(1)},
		resource.Item{Type: "Big Disk", Quantity: resource.Scalar(1)},
	)

	for _, want := range []string{"ports: different kinds: want ranges, found scalar", "cpus: overlap: the type is there twice", "resource type: not a name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewVector: %v, want %q", err, want)
		}
	}
	one := resource.Vector{}.With("vlans", resource.Scalar(1))
	if sum, err := one.Add(vector(t, "vlans 7-7")); !errors.Is(err, resource.ErrKind) || !strings.HasPrefix(err.Error(), "vlans: ") {
		t.Errorf("a sum of kinds: %v, %v", sum, err)
	}
}
