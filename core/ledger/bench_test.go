package ledger_test

import (
	"fmt"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
)

// BenchmarkClaimRelease fits, claims and gives back a task with a port among
// 1,000 agents with 20,000 claims.
func BenchmarkClaimRelease(b *testing.B) {
	var books ledger.Ledger
	setPool(b, &books, "web", "cpus 100000")
	for i := range 1000 {
		name := id.Agent(fmt.Sprintf("a%d", i))
		set(b, &books, agent(b, name, "cpus:cpus 32", "mem:mem 64GiB", "ports:ports 20000-29999"))
		for j := range 20 {
			book(b, &books, name, id.Task(fmt.Sprintf("t%d-%d", i, j)))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		book(b, &books, "a500", "one") // reads its vector too
		books.Release("one")
	}
}

func book(b *testing.B, books *ledger.Ledger, on id.Agent, task id.Task) {
	b.Helper()
	fitted, err := books.Fit(on, vector(b, "cpus 0.25, mem 64MiB"), []ledger.PortWish{{Name: "http"}})
	if err != nil {
		b.Fatal(err)
	}
	mustClaim(b, books, ledger.Claim{Task: task, Agent: on, Pool: "web", Slices: fitted.Slices})
}

// BenchmarkWeigh asks one agent whether a task fits, which placement asks many.
func BenchmarkWeigh(b *testing.B) {
	var books ledger.Ledger
	set(b, &books, mixed(b))
	view, _ := books.Agent("a1")
	wanted, ports := vector(b, "cpus 0.25, mem 64MiB"), []ledger.PortWish{{Name: "http"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, fits := view.Weigh(wanted, ports); !fits {
			b.Fatal("it does not fit")
		}
	}
}
