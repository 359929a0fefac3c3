package engine_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/engine"
)

// TestPortsAreAMap checks that ports by name say what a map of them says, in the order
// of the names.
func TestPortsAreAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"", "a", "b", "http", "http-2", "z"})
		want := make(map[string]int)
		var ports engine.Ports
		for range rapid.IntRange(0, 8).Draw(t, "times") {
			of, number := name.Draw(t, "name"), rapid.IntRange(1, 9).Draw(t, "number")
			want[of] = number
			ports = ports.With(of, number)
		}

		asked := name.Draw(t, "asked")
		if got := ports.Number(asked); got != want[asked] {
			t.Errorf("%v: the port of %q is %d, want %d", ports, asked, got, want[asked])
		}
		var names []string
		for _, p := range ports {
			names = append(names, p.Name)
		}
		if len(names) != len(want) || !slices.IsSorted(names) {
			t.Errorf("%v has not the names of %v, in order", ports, want)
		}
	})
}
