package placement_test

import (
	"fmt"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/spec"
)

// many returns agents of three sizes in ten zones and two kinds of disk.
func many(b *testing.B, agents int) *ledger.Ledger {
	b.Helper()
	sizes := []string{"cpus 32, mem 64GiB, ports 20000-29999", "cpus 16, mem 64GiB, ports 20000-29999", "cpus 64, mem 128GiB, ports 20000-29999"}
	var books ledger.Ledger
	for i := range agents {
		a := agent(b, id.Agent(fmt.Sprintf("agent-%06d", i)), sizes[i%3], fmt.Sprintf("zone=z%d disk=%s gen=g%d", i%10, []string{"ssd", "hdd"}[i/10%2], i/20%5))
		if err := books.SetAgent(a); err != nil {
			b.Fatal(err)
		}
	}
	return &books
}

var scales = []int{1_000, 10_000, 50_000}

// copiesOf is how many copies a batch places.
const copiesOf = 10_000

// BenchmarkCopies places copies of one request in batches, and claims them, until the
// cluster is half full, and then begins anew.
func BenchmarkCopies(b *testing.B) {
	for name, request := range map[string]placement.Request{
		"plain":  {Resources: vector(b, "cpus 0.1, mem 64MiB")},
		"spread": {Resources: vector(b, "cpus 0.1, mem 64MiB"), Spread: []string{"zone"}, Where: []spec.Constraint{in("disk", "ssd"), notIn("gen", "g4")}},
	} {
		for _, agents := range scales {
			b.Run(fmt.Sprintf("%s/agents=%d", name, agents), func(b *testing.B) {
				names := make([]id.Task, 1_000_000)
				for i := range names {
					names[i] = id.Task(fmt.Sprintf("task-%07d", i))
				}
				books := many(b, agents)
				var batch *placement.Batch
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					at := i % min(len(names), agents*100)
					if at == 0 && i > 0 {
						b.StopTimer()
						books, batch = many(b, agents), nil
						b.StartTimer()
					}
					if i%copiesOf == 0 || batch == nil {
						batch = placement.NewBatch(books, request)
					}
					choice, err := batch.Next()
					if err != nil {
						b.Fatal(err)
					}
					if err := books.Claim(choice.Claim(names[at])); err != nil {
						b.Fatal(err)
					}
					batch.Count(choice.Agent, 1)
				}
			})
		}
	}
}
