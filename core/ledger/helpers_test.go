package ledger_test

import (
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// failer is what the readers below need of a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// quantity reads "0.5" of a type.
func quantity(t failer, of resource.Type, text string) resource.Quantity {
	t.Helper()
	q, err := resource.Parse(of, text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// vector reads "cpus 0.25, mem 64MiB".
func vector(t failer, text string) resource.Vector {
	t.Helper()
	var v resource.Vector
	for part := range strings.SplitSeq(text, ", ") {
		if of, amount, ok := strings.Cut(part, " "); ok {
			v = v.With(resource.Type(of), quantity(t, resource.Type(of), amount))
		}
	}
	return v
}

// partition reads a partition "fast:cpus 8" with a weight in thousandths.
func partition(t failer, text string, weight int64) ledger.Partition {
	t.Helper()
	name, rest, _ := strings.Cut(text, ":")
	of, amount, _ := strings.Cut(rest, " ")
	kind := resource.Type(of)
	return ledger.Partition{ID: id.Partition(name), Type: kind, Quantity: quantity(t, kind, amount), Weight: weight}
}

// agent reads partitions "fast:cpus 8", all of weight one.
func agent(t failer, name id.Agent, partitions ...string) ledger.Agent {
	t.Helper()
	a := ledger.Agent{ID: name}
	for _, text := range partitions {
		a.Partitions = append(a.Partitions, partition(t, text, ledger.WeightOne))
	}
	return a
}

func set(t failer, books *ledger.Ledger, agents ...ledger.Agent) {
	t.Helper()
	for _, a := range agents {
		if err := books.SetAgent(a); err != nil {
			t.Fatal(err)
		}
	}
}

func setPool(t failer, books *ledger.Ledger, name id.Pool, text string) {
	t.Helper()
	if err := books.SetPool(ledger.Pool{ID: name, Quantity: vector(t, text)}); err != nil {
		t.Fatal(err)
	}
}

// slice reads "fast:cpus 0.5": a part of a partition and its type.
func slice(t failer, text string) ledger.Slice {
	t.Helper()
	p := partition(t, text, ledger.WeightOne)
	return ledger.Slice{Partition: p.ID, Quantity: p.Quantity}
}

// claim reads slices for a task on agent a1.
func claim(t failer, task id.Task, slices ...string) ledger.Claim {
	t.Helper()
	c := ledger.Claim{Task: task, Agent: "a1"}
	for _, text := range slices {
		c.Slices = append(c.Slices, slice(t, text))
	}
	return c
}

func mustClaim(t failer, books *ledger.Ledger, claims ...ledger.Claim) {
	t.Helper()
	for _, c := range claims {
		if err := books.Claim(c); err != nil {
			t.Fatal(err)
		}
	}
}
