package ledger_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// mixed is an agent with partitions of several weights.
func mixed(t failer) ledger.Agent {
	t.Helper()
	return ledger.Agent{ID: "a1", Partitions: []ledger.Partition{
		partition(t, "spare:cpus 4", 1000),
		partition(t, "fast:cpus 2", 2000),
		partition(t, "also:cpus 1", 1000),
		partition(t, "mem:mem 4GiB", 1000),
		partition(t, "low:ports 1000-1002", 500),
		partition(t, "high:ports 2000-2002", 1000),
		partition(t, "keys:keys {a,b}", 1000),
		partition(t, "more:keys {c}", 1000),
	}}
}

// text prints a fit as "fast cpus, ...": its slices, then its ports.
func text(books *ledger.Ledger, f ledger.Fitted) string {
	a, _ := books.Agent("a1")
	types := map[string]resource.Type{}
	for p := range a.Partitions() {
		types[string(p.ID)] = p.Type
	}
	var parts []string
	for _, s := range f.Slices {
		parts = append(parts, fmt.Sprintf("%s %s", s.Partition, resource.Format(types[string(s.Partition)], s.Quantity)))
	}
	for _, p := range f.Ports {
		parts = append(parts, fmt.Sprintf("%s=%d", p.Name, p.Number))
	}
	return strings.Join(parts, ", ")
}

func anyPorts(names ...string) []ledger.PortWish {
	wishes := make([]ledger.PortWish, len(names))
	for i, name := range names {
		wishes[i].Name = name
	}
	return wishes
}

func TestFitCutsHeavierPartitionsFirst(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		wanted string
		ports  []ledger.PortWish
		want   string
	}{
		"nothing":                                 {"", nil, ""},
		"the heavier partition is enough":         {"cpus 2", nil, "fast 2"},
		"the rest comes from the next by name":    {"cpus 3.5", nil, "fast 2, also 1, spare 0.5"},
		"types in their order":                    {"mem 1GiB, cpus 1", nil, "fast 1, mem 1GiB"},
		"members of two partitions":               {"keys {b,c}", nil, "keys {b}, more {c}"},
		"none of a type":                          {"gpus 0, cpus 1", nil, "fast 1"},
		"ports of the heavier partition":          {"", anyPorts("http", "admin"), "high 2000-2001, http=2000, admin=2001"},
		"ports of two partitions":                 {"", anyPorts("a", "b", "c", "d"), "high 2000-2002, low 1000, a=2000, b=2001, c=2002, d=1000"},
		"a certain port chooses first":            {"", []ledger.PortWish{{Name: "a"}, {Name: "b", Number: 2000}, {Name: "c", Number: 1002}}, "high 2000-2001, low 1002, a=2001, b=2000, c=1002"},
		"ports of the vector are not given again": {"ports 2000-2001", anyPorts("a"), "high 2000-2002, a=2002"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var books ledger.Ledger
			set(t, &books, mixed(t))

			fitted, err := books.Fit("a1", vector(t, tc.wanted), tc.ports)

			if got := text(&books, fitted); err != nil || got != tc.want {
				t.Errorf("Fit = %q, %v, want %q", got, err, tc.want)
			}
			if err := books.Claim(ledger.Claim{Task: "t1", Agent: "a1", Slices: fitted.Slices}); err != nil {
				t.Errorf("what fits cannot be claimed: %v", err)
			}
		})
	}
}

func TestFitSaysAllThatIsMissing(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		wanted string
		ports  []ledger.PortWish
		want   string
	}{
		"several types": {
			"cpus 8, mem 4.5GiB", nil,
			"agent a1 is short of cpus by 1: wanted 8, free 7\nagent a1 is short of mem by 512MiB: wanted 4.5GiB, free 4GiB",
		},
		"a type that the agent does not have": {"gpus 1", nil, "agent a1 is short of gpus by 1: wanted 1, free 0"},
		"a type of another kind":              {"keys 2", nil, "agent a1 is short of keys by 2: wanted 2, free 0"},
		"a member that is not there":          {"keys {a,x,y}", nil, "agent a1 is short of keys by 2: wanted 3, free 1"},
		"too many ports":                      {"", anyPorts("a", "b", "c", "d", "e", "f", "g"), "agent a1 is short of ports by 1: wanted 7, free 6"},
		"a port that it does not have":        {"", []ledger.PortWish{{Name: "a", Number: 80}}, "agent a1 does not have port 80 free"},
		"a port twice": {
			"",
			[]ledger.PortWish{{Name: "a", Number: 2000}, {Name: "b", Number: 2000}},
			"agent a1 does not have port 2000 free",
		},
		"a port that the vector has": {"ports 2000", []ledger.PortWish{{Name: "a", Number: 2000}}, "agent a1 does not have port 2000 free"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var books ledger.Ledger
			set(t, &books, mixed(t))

			_, err := books.Fit("a1", vector(t, tc.wanted), tc.ports)

			misfit, ok := errors.AsType[*ledger.MisfitError](err)
			if !ok || misfit.Agent != "a1" || misfit.Error() != tc.want {
				t.Errorf("Fit = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestFitOfNoPorts(t *testing.T) {
	t.Parallel()
	var books ledger.Ledger
	set(t, &books, agent(t, "a1", "all:cpus 1"))

	_, err := books.Fit("a1", resource.Vector{}, []ledger.PortWish{{Name: "http"}, {Name: "admin", Number: 80}})

	if !errors.Is(err, ledger.ErrPortTaken) || !strings.Contains(err.Error(), "short of ports by 1: wanted 1, free 0") {
		t.Errorf("Fit = %v", err)
	}
	if _, err := books.Fit("nowhere", resource.Vector{}, nil); !errors.Is(err, ledger.ErrUnknownAgent) {
		t.Errorf("Fit on an unknown agent: %v", err)
	}
	if err := books.CloseAgent("a1"); err != nil {
		t.Fatal(err)
	}
	if _, err := books.Fit("a1", resource.Vector{}, nil); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("Fit on a closed agent: %v", err)
	}
}

// TestFreedPortRests gives ports out and back, and keeps in a list which number
// each asking gets.
func TestFreedPortRests(t *testing.T) {
	t.Parallel()
	var books ledger.Ledger
	set(t, &books, agent(t, "a1", "ports:ports 10-14"))
	var got []int64
	ask := func(number int64) {
		t.Helper()
		fitted, err := books.Fit("a1", resource.Vector{}, []ledger.PortWish{{Name: "http", Number: number}})
		if err != nil {
			t.Fatal(err)
		}
		mustClaim(t, &books, ledger.Claim{Task: "t1", Agent: "a1", Slices: fitted.Slices})
		books.Release("t1")
		got = append(got, fitted.Ports[0].Number)
	}

	for _, number := range []int64{0, 0, 14, 0, 11, 0, 0, 0} {
		ask(number)
	}

	if want := "[10 11 14 12 11 13 14 10]"; fmt.Sprint(got) != want {
		t.Errorf("ports given out are %v, want %s", got, want)
	}
}

func TestWeigh(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		wanted string
		ports  []ledger.PortWish
		weight int64
		fits   bool
	}{
		"nothing":                            {"", nil, 0, true},
		"one partition":                      {"cpus 2", nil, 2000, true},
		"two partitions":                     {"cpus 3", nil, 1666, true},
		"two types":                          {"cpus 2, mem 1GiB", nil, 1500, true},
		"ports of two partitions":            {"", anyPorts("a", "b", "c", "d"), 875, true},
		"a certain port of the lighter":      {"", []ledger.PortWish{{Name: "a", Number: 1000}, {Name: "b"}}, 750, true},
		"ports of the vector and by name":    {"ports 2000-2001", anyPorts("a", "b"), 875, true},
		"more of a type than there is":       {"cpus 8", nil, 0, false},
		"members that are not there":         {"keys {a,x}", nil, 0, false},
		"a type of another kind":             {"keys 1", nil, 0, false},
		"a type that is not there":           {"gpus 1", nil, 0, false},
		"more ports than there are":          {"ports 2000", anyPorts("a", "b", "c", "d", "e", "f"), 0, false},
		"a port that is not there":           {"", []ledger.PortWish{{Name: "a", Number: 80}}, 0, false},
		"a port twice":                       {"", []ledger.PortWish{{Name: "a", Number: 1000}, {Name: "b", Number: 1000}}, 0, false},
		"a port of the vector again by name": {"ports 2000", []ledger.PortWish{{Name: "a", Number: 2000}}, 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var books ledger.Ledger
			set(t, &books, mixed(t))
			view, _ := books.Agent("a1")

			if weight, fits := view.Weigh(vector(t, tc.wanted), tc.ports); weight != tc.weight || fits != tc.fits {
				t.Errorf("Weigh = %d, %v, want %d, %v", weight, fits, tc.weight, tc.fits)
			}
		})
	}
}

// TestWeighAgreesWithFit compares what is said of a fit with the fit itself.
func TestWeighAgreesWithFit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := machine{books: new(ledger.Ledger), held: map[id.Task]ledger.Claim{}}
		a := drawAgent(t)
		set(t, m.books, a)
		for range rapid.IntRange(0, 4).Draw(t, "claims") {
			m.claimFit(t)
		}
		wanted, wishes := drawWanted(t)
		view, _ := m.books.Agent(a.ID)

		weight, fits := view.Weigh(wanted, wishes)

		fitted, err := m.books.Fit(a.ID, wanted, wishes)
		if fits != (err == nil) {
			t.Fatalf("Weigh says that it fits: %v, Fit says %v", fits, err)
		}
		if want := meanWeight(view, wanted, fitted); fits && math.Abs(float64(weight)-want) >= 2 { // each mean is rounded down, and so is the mean of them
			t.Fatalf("Weigh says %d thousandths, want %v", weight, want)
		}
	})
}

// meanWeight is the mean over types of the mean weight of what is taken of each.
// Ports of the vector and ports by name count as two types.
func meanWeight(view ledger.AgentView, wanted resource.Vector, fitted ledger.Fitted) float64 {
	weights, amounts := map[string]float64{}, map[string]float64{}
	exact, _ := wanted.Get(resource.Ports)
	for _, s := range fitted.Slices {
		for p := range view.Partitions() {
			if p.ID != s.Partition {
				continue
			}
			named := s.Quantity
			if p.Type == resource.Ports {
				listed := float64(s.Quantity.Amount() - s.Quantity.Without(exact).Amount())
				weights["listed"] += float64(p.Weight) * listed
				amounts["listed"] += listed
				named = s.Quantity.Without(exact)
			}
			weights[string(p.Type)] += float64(p.Weight) * float64(named.Amount())
			amounts[string(p.Type)] += float64(named.Amount())
		}
	}
	sum, types := 0.0, 0.0
	for of, amount := range amounts {
		if amount > 0 {
			sum, types = sum+weights[of]/amount, types+1
		}
	}
	return sum / max(1, types)
}
