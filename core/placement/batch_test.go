package placement_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
)

// TestBatchThatFellBehind has more happen between two places than the books remember.
func TestBatchThatFellBehind(t *testing.T) {
	t.Parallel()
	const machine = "cpus 4, mem 4GiB"
	books := cluster(t, agent(t, "a1", machine, "zone=a"), agent(t, "a2", machine, "zone=b"), agent(t, "a3", machine, "zone=b"))
	request := placement.Request{Resources: vector(t, "cpus 1"), Spread: []string{"zone"}, Siblings: map[id.Agent]int{"a2": 1, "a4": 3}}
	batch := placement.NewBatch(books, request)
	first, err := batch.Next()
	if err != nil || first.Agent != "a1" {
		t.Fatalf("first %+v, %v, want a1", first, err)
	}
	batch.Count("a1", 3)

	for range 20_000 {
		occupy(t, books, "busy", "a3", "", "cpus 3")
		books.Release("busy")
	}
	if err := books.SetAgent(agent(t, "a4", machine, "zone=b")); err != nil {
		t.Fatal(err)
	}
	occupy(t, books, "t1", "a3", "", "cpus 2")
	second, err := batch.Next()

	const why = "agent a3 fits best, 4 of 7 instances in zone b, 0 of 7 instances on the agent, leaves cpus 1"
	if err != nil || second.Agent != "a1" {
		t.Fatalf("second %s because %s, %v, want a1, of 3 siblings", second.Agent, second.Why, err)
	}
	if err := books.CloseAgent("a1"); err != nil {
		t.Fatal(err)
	}
	if third, err := batch.Next(); err != nil || third.Agent != "a3" || third.Why.String() != why {
		t.Errorf("third %s because %s, %v, want a3 because %s", third.Agent, third.Why, err, why)
	}
}

// TestCopiesShareWhatTheyTake checks that claims of copies that are cut alike hold one
// list of slices.
func TestCopiesShareWhatTheyTake(t *testing.T) {
	t.Parallel()
	books := cluster(t, agent(t, "a1", "cpus 4, mem 4GiB", ""), agent(t, "a2", "cpus 4, mem 4GiB", ""))
	batch := placement.NewBatch(books, placement.Request{Resources: vector(t, "cpus 1, mem 1GiB")})
	var last ledger.Claim
	for _, name := range []id.Task{"t1", "t2", "t3"} {
		choice, err := batch.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := books.Claim(choice.Claim(name)); err != nil {
			t.Fatal(err)
		}
		batch.Count(choice.Agent, 1)
		claim, _ := books.ClaimOf(name)
		if last.Task != "" && &claim.Slices[0] != &last.Slices[0] {
			t.Errorf("%s and %s hold lists of their own", last.Task, name)
		}
		last = claim
	}
}

// TestBatchWhoseAgentsAreRankedAnew has so many agents come between two that there is no
// number left between the ranks of their neighbours.
func TestBatchWhoseAgentsAreRankedAnew(t *testing.T) {
	t.Parallel()
	const more = 70
	books := cluster(t, agent(t, "a", "cpus 1", ""), agent(t, "z", "cpus 1", ""))
	batch := placement.NewBatch(books, placement.Request{Resources: vector(t, "cpus 1")})
	if _, err := batch.Next(); err != nil {
		t.Fatal(err)
	}
	want := []id.Agent{"a"}
	for n := range more {
		want = append(want, id.Agent(fmt.Sprintf("b%d", 10+n)))
		if err := books.SetAgent(agent(t, id.Agent(fmt.Sprintf("b%d", 9+more-n)), "cpus 1", "")); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, "z")

	var got []id.Agent
	for range want {
		choice, err := batch.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := books.Claim(choice.Claim(id.Task("on-" + choice.Agent))); err != nil {
			t.Fatal(err)
		}
		got = append(got, choice.Agent)
	}

	if !slices.Equal(got, want) {
		t.Errorf("chosen %v, want all by name", got)
	}
}
