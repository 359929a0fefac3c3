package placement_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
)

// TestImproveFindsTheBest holds Improve to the slow and obvious way: try every move
// of every instance, and measure the crowds afterwards.
func TestImproveFindsTheBest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var agents []ledger.Agent
		for i := range rapid.IntRange(1, 5).Draw(t, "agents") {
			attributes := rapid.SampledFrom([]string{"", "zone=a", "zone=b", "zone=a host=h1", "zone=b host=h1"}).Draw(t, "attributes")
			a := weighted(agent(t, id.Agent(fmt.Sprintf("a%d", i+1)), fmt.Sprintf("cpus %d", rapid.IntRange(1, 4).Draw(t, "cpus")), attributes),
				rapid.SampledFrom([]int64{1000, 1000, 2000}).Draw(t, "weight"))
			a.Closed = rapid.IntRange(0, 5).Draw(t, "closed") == 0
			agents = append(agents, a)
		}
		books := cluster(t, agents...)
		request := placement.Request{Resources: vector(t, "cpus 1"), Siblings: map[id.Agent]int{}}
		request.Spread = rapid.SampledFrom([][]string{nil, {"zone"}}).Draw(t, "spread")
		var instances []id.Task
		for i := range rapid.IntRange(0, 6).Draw(t, "instances") {
			name, on := id.Task(fmt.Sprintf("s-1-%d", i+1)), agents[rapid.IntRange(0, len(agents)-1).Draw(t, "on")].ID
			if fitted, err := books.Fit(on, request.Resources, nil); err == nil && books.Claim(ledger.Claim{Task: name, Agent: on, Slices: fitted.Slices}) == nil {
				request.Siblings[on]++
				instances = append(instances, name)
			}
		}
		before := measure(books, request)
		least := before
		for _, name := range instances {
			for to := range books.Agents() {
				if after, ok := moved(books, request, name, to); ok && slices.Compare(after, least) < 0 {
					least = after
				}
			}
		}

		found, better := placement.Improve(books, request, instances)

		if better != (slices.Compare(least, before) < 0) {
			t.Fatalf("found %+v, %t; the crowds measure %v and could be %v", found, better, before, least)
		}
		if !better {
			return
		}
		to, _ := books.Agent(found.To)
		if after, ok := moved(books, request, found.Task, to); !ok || !slices.Equal(after, least) || found.Why == "" {
			t.Fatalf("%+v leads to %v (%t), the best to %v", found, after, ok, least)
		}
	})
}

// moved measures the crowds after a move, and reports whether it may be made.
func moved(books *ledger.Ledger, request placement.Request, name id.Task, to ledger.AgentView) ([]int64, bool) {
	claim, _ := books.ClaimOf(name)
	from, _ := books.Agent(claim.Agent)
	fitted, err := books.Fit(to.ID(), request.Resources, nil)
	if err != nil || meanWeight(to, fitted, request) < meanWeight(from, ledger.Fitted{Slices: claim.Slices}, request) {
		return nil, false
	}
	after := request
	after.Siblings = maps.Clone(request.Siblings)
	after.Siblings[from.ID()]--
	after.Siblings[to.ID()]++
	return measure(books, after), true
}

// measure adds up the squares of the crowds on each level.
func measure(books *ledger.Ledger, request placement.Request) []int64 {
	var sums []int64
	for _, name := range append(slices.Clone(request.Spread), "host", "agent") {
		counts := make(map[string]int64)
		for on, n := range request.Siblings {
			agent, _ := books.Agent(on)
			value, known := agent.Attribute(name)
			if !known && (name == "host" || name == "agent") {
				value = string(on)
			}
			counts[value] += int64(n)
		}
		var sum int64
		for _, n := range counts {
			sum += n * n
		}
		sums = append(sums, sum)
	}
	return sums
}
