package ledger_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// TestPatternAgreesWithAgents checks, while agents change, that a pattern weighs and cuts
// each of them as it would be weighed and cut by itself.
func TestPatternAgreesWithAgents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := machine{books: new(ledger.Ledger), held: map[id.Task]ledger.Claim{}}
		wanted, wishes := drawWanted(t)
		dominant := rapid.SampledFrom([]resource.Type{"", "cpus", "mem"}).Draw(t, "dominant")
		pattern := ledger.NewPattern(wanted, dominant)
		t.Repeat(map[string]func(*rapid.T){
			"set agent":   m.setAgent,
			"close agent": m.closeAgent,
			"open agent":  m.openAgent,
			"claim":       m.claimFit,
			"release":     m.release,
			"": func(t *rapid.T) {
				for view := range m.books.Agents() {
					comparePattern(t, pattern, view, wanted, wishes)
				}
			},
		})
	})
}

func comparePattern(t *rapid.T, pattern *ledger.Pattern, view ledger.AgentView, wanted resource.Vector, wishes []ledger.PortWish) {
	t.Helper()
	weight, fits := view.Weigh(wanted, wishes)
	cut, cuts := view.Cut(nil, wanted)
	dose, _ := wanted.Get(pattern.Dominant())

	got := pattern.Weigh(view, wishes)
	known, isKnown := pattern.List(got.Cut)
	list, ok := pattern.Cut(view)

	if got.Fits != fits || fits && got.Weight != weight {
		t.Fatalf("agent %s: %+v, want weight %d, fits %v", view.ID(), got, weight, fits)
	}
	if left := view.Available(pattern.Dominant()) - dose.Amount(); fits && pattern.Dominant() != "" && got.Left != left {
		t.Fatalf("agent %s: %d would be left, want %d", view.ID(), got.Left, left)
	}
	if ok != cuts || ok && !slices.Equal(list, cut) || isKnown && !slices.Equal(known, cut) {
		t.Fatalf("agent %s: cut %v (%v), known %v (%v), want %v (%v)", view.ID(), list, ok, known, isKnown, cut, cuts)
	}
}
