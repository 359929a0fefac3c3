package ordered_test

import (
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/ordered"
)

// TestSet holds a set to a sorted list after any moves.
func TestSet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set, list := ordered.New(cmp.Compare[int]), []int{}
		number := rapid.IntRange(0, 60)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				n := number.Draw(t, "n")
				if at, found := slices.BinarySearch(list, n); !found {
					set.Add(n)
					list = slices.Insert(list, at, n)
				}
			},
			"remove": func(t *rapid.T) {
				n := number.Draw(t, "n")
				at, found := slices.BinarySearch(list, n)
				if removed := set.Remove(n); removed != found {
					t.Fatalf("removed %d: %t, it was there: %t", n, removed, found)
				}
				if found {
					list = slices.Delete(list, at, at+1)
				}
			},
			"after": func(t *rapid.T) {
				n := number.Draw(t, "n")
				at, _ := slices.BinarySearch(list, n+1)
				next, ok := set.After(n)
				if ok != (at < len(list)) || ok && next != list[at] {
					t.Fatalf("after %d comes %d, %t, of %v", n, next, ok, list)
				}
			},
			"": func(t *rapid.T) {
				first, ok := set.First()
				if ok != (len(list) > 0) || ok && first != list[0] {
					t.Fatalf("the first is %d, %t, of %v", first, ok, list)
				}
				if all := slices.Collect(set.All()); !slices.Equal(all, list) || set.Len() != len(list) {
					t.Fatalf("there are %d, %v, want %v", set.Len(), all, list)
				}
			},
		})
	})
}

// TestSetStops leaves off in the middle.
func TestSetStops(t *testing.T) {
	t.Parallel()
	set := ordered.New(cmp.Compare[int])
	for n := range 100 {
		set.Add(n * 37 % 100)
	}

	var seen []int
	for n := range set.All() {
		if seen = append(seen, n); n == 4 {
			break
		}
	}

	if want := []int{0, 1, 2, 3, 4}; !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v", seen, want)
	}
}

// BenchmarkSet takes the first of 100,000 items out and puts one in.
func BenchmarkSet(b *testing.B) {
	set, next := ordered.New(cmp.Compare[int]), 0
	for ; next < 100_000; next++ {
		set.Add(next)
	}
	for b.Loop() {
		first, _ := set.First()
		set.Remove(first)
		set.Add(next)
		next++
	}
}
