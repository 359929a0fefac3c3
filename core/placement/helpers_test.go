package placement_test

import (
	"strings"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// failer is what the readers below need of a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// vector reads "cpus 0.25, mem 64MiB".
func vector(t failer, text string) resource.Vector {
	t.Helper()
	var v resource.Vector
	for part := range strings.SplitSeq(text, ", ") {
		if of, amount, ok := strings.Cut(part, " "); ok {
			q, err := resource.Parse(resource.Type(of), amount)
			if err != nil {
				t.Fatal(err)
			}
			v = v.With(resource.Type(of), q)
		}
	}
	return v
}

// agent returns an agent with one partition of weight one for each type of
// "cpus 4, mem 4GiB", and attributes of "zone=a host=h1".
func agent(t failer, name id.Agent, partitions, attributes string) ledger.Agent {
	t.Helper()
	a := ledger.Agent{ID: name, Attributes: map[string]string{}}
	for of, q := range vector(t, partitions).All() {
		a.Partitions = append(a.Partitions, ledger.Partition{ID: id.Partition(of), Type: of, Quantity: q, Weight: ledger.WeightOne})
	}
	for pair := range strings.FieldsSeq(attributes) {
		key, value, _ := strings.Cut(pair, "=")
		a.Attributes[key] = value
	}
	return a
}

// weighted returns the agent with all of its partitions of one weight, in
// thousandths.
func weighted(a ledger.Agent, weight int64) ledger.Agent {
	for i := range a.Partitions {
		a.Partitions[i].Weight = weight
	}
	return a
}

func closed(a ledger.Agent) ledger.Agent {
	a.Closed = true
	return a
}

func cluster(t failer, agents ...ledger.Agent) *ledger.Ledger {
	t.Helper()
	var books ledger.Ledger
	for _, a := range agents {
		if err := books.SetAgent(a); err != nil {
			t.Fatal(err)
		}
	}
	return &books
}

func setPool(t failer, books *ledger.Ledger, name id.Pool, quantity string, priority int) {
	t.Helper()
	if err := books.SetPool(ledger.Pool{ID: name, Quantity: vector(t, quantity), Priority: priority}); err != nil {
		t.Fatal(err)
	}
}

// occupy claims "cpus 3" of an agent, and of a pool.
func occupy(t failer, books *ledger.Ledger, task id.Task, on id.Agent, from id.Pool, wanted string) {
	t.Helper()
	fitted, err := books.Fit(on, vector(t, wanted), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := books.Claim(ledger.Claim{Task: task, Agent: on, Pool: from, Slices: fitted.Slices}); err != nil {
		t.Fatal(err)
	}
}

func in(attribute string, values ...string) spec.Constraint {
	return spec.Constraint{Attribute: attribute, Operator: spec.In, Values: values}
}

func notIn(attribute string, values ...string) spec.Constraint {
	return spec.Constraint{Attribute: attribute, Operator: spec.NotIn, Values: values}
}

func has(attribute string) spec.Constraint {
	return spec.Constraint{Attribute: attribute, Operator: spec.Exists}
}

func hasNot(attribute string) spec.Constraint {
	return spec.Constraint{Attribute: attribute, Operator: spec.Missing}
}

// where returns the constraints.
func where(list ...spec.Constraint) []spec.Constraint { return list }

func anyPorts(names ...string) []ledger.PortWish {
	wishes := make([]ledger.PortWish, len(names))
	for i, name := range names {
		wishes[i].Name = name
	}
	return wishes
}
