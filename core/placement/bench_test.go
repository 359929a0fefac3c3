package placement_test

import (
	"fmt"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
)

// thousand returns 1,000 agents in ten zones, half of them full.
func thousand(b *testing.B) *ledger.Ledger {
	b.Helper()
	var books ledger.Ledger
	for i := range 1000 {
		name := id.Agent(fmt.Sprintf("a%d", i))
		a := agent(b, name, "cpus 32, mem 64GiB, ports 20000-29999", fmt.Sprintf("zone=z%d", i%10))
		if err := books.SetAgent(a); err != nil {
			b.Fatal(err)
		}
		if i%2 == 0 {
			occupy(b, &books, id.Task(fmt.Sprintf("t%d", i)), name, "", "cpus 32")
		}
	}
	return &books
}

// BenchmarkChoose finds a place among 1,000 agents of which half have room.
func BenchmarkChoose(b *testing.B) {
	books := thousand(b)
	request := placement.Request{
		Resources: vector(b, "cpus 0.25, mem 64MiB"), Ports: anyPorts("http"), Spread: []string{"zone"},
		Siblings: map[id.Agent]int{"a1": 1, "a3": 2, "a5": 1},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := placement.Choose(books, request); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRefuse explains to a task that none of 1,000 agents has room.
func BenchmarkRefuse(b *testing.B) {
	books := thousand(b)
	request := placement.Request{Resources: vector(b, "cpus 16, mem 65GiB"), Ports: anyPorts("http")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := placement.Choose(books, request); err == nil || err.Error() == "" {
			b.Fatal("it fits")
		}
	}
}
