package placement_test

import (
	"slices"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
)

func TestChoose(t *testing.T) {
	t.Parallel()
	const small, large = "cpus 2, mem 4GiB, ports 1000-1009", "cpus 8, mem 8GiB, ports 1000-1009"
	tests := map[string]struct {
		agents  []ledger.Agent
		request placement.Request
		want    id.Agent
		why     string
	}{
		"only one has room": {
			agents:  []ledger.Agent{agent(t, "a1", small, ""), agent(t, "a2", large, "")},
			request: placement.Request{Resources: vector(t, "cpus 4")},
			want:    "a2", why: "agent a2 fits best, leaves cpus 4",
		},
		"of equals the first by name": {
			agents:  []ledger.Agent{agent(t, "a2", small, ""), agent(t, "a1", small, ""), agent(t, "a3", small, "")},
			request: placement.Request{Resources: vector(t, "cpus 1")},
			want:    "a1", why: "agent a1 fits best, leaves cpus 1",
		},
		"the tightest fit in what is dominant": {
			agents:  []ledger.Agent{agent(t, "a1", "cpus 8, mem 4GiB", ""), agent(t, "a2", "cpus 2, mem 64GiB", "")},
			request: placement.Request{Resources: vector(t, "cpus 1, mem 64MiB")},
			want:    "a2", why: "agent a2 fits best, leaves cpus 1",
		},
		"what is dominant depends on the task": {
			agents:  []ledger.Agent{agent(t, "a1", "cpus 8, mem 4GiB", ""), agent(t, "a2", "cpus 2, mem 64GiB", "")},
			request: placement.Request{Resources: vector(t, "cpus 0.001, mem 2GiB")},
			want:    "a1", why: "agent a1 fits best, leaves mem 2GiB",
		},
		"the hosts of siblings come before the tightest fit": {
			agents:  []ledger.Agent{agent(t, "a1", small, "host=h1"), agent(t, "a2", small, "host=h1"), agent(t, "a3", large, "host=h3")},
			request: placement.Request{Resources: vector(t, "cpus 1"), Siblings: map[id.Agent]int{"a2": 1}},
			want:    "a3", why: "agent a3 fits best, 0 of 1 instances on host h3, 0 of 1 instances on the agent, leaves cpus 7",
		},
		"then the agents of siblings": {
			agents:  []ledger.Agent{agent(t, "a1", small, "host=h1"), agent(t, "a2", large, "host=h1")},
			request: placement.Request{Resources: vector(t, "cpus 1"), Siblings: map[id.Agent]int{"a1": 1}},
			want:    "a2", why: "agent a2 fits best, 1 of 1 instances on host h1, 0 of 1 instances on the agent, leaves cpus 7",
		},
		"attributes come before hosts": {
			agents: []ledger.Agent{agent(t, "a1", small, "zone=a"), agent(t, "a2", small, "zone=a"), agent(t, "a3", small, "zone=b"), agent(t, "a4", small, "")},
			request: placement.Request{
				Resources: vector(t, "cpus 1"), Spread: []string{"zone"},
				Siblings: map[id.Agent]int{"a1": 2, "a3": 1, "a4": 2, "gone": 9},
			},
			want: "a3", why: "agent a3 fits best, 1 of 14 instances in zone b, 1 of 14 instances on the agent, leaves cpus 1",
		},
		"agents without the attribute are a group": {
			agents: []ledger.Agent{agent(t, "a1", small, "zone=a"), agent(t, "a2", small, "")},
			request: placement.Request{
				Resources: vector(t, "cpus 1"), Spread: []string{"zone", "zone", "host"},
				Siblings: map[id.Agent]int{"a1": 1},
			},
			want: "a2", why: "agent a2 fits best, 0 of 1 instances without zone, 0 of 1 instances on the agent, leaves cpus 1",
		},
		"the heavier partitions come before the spread": {
			agents:  []ledger.Agent{agent(t, "a1", small, ""), weighted(agent(t, "a2", large, ""), 1500)},
			request: placement.Request{Resources: vector(t, "cpus 1"), Siblings: map[id.Agent]int{"a2": 3}},
			want:    "a2", why: "agent a2 fits best, mean weight 1.5, 3 of 3 instances on the agent, leaves cpus 7",
		},
		"an agent to avoid comes after all others": {
			agents:  []ledger.Agent{agent(t, "a1", small, ""), weighted(agent(t, "a2", small, ""), 2000)},
			request: placement.Request{Resources: vector(t, "cpus 1"), Avoid: []id.Agent{"a2"}},
			want:    "a1", why: "agent a1 fits best, leaves cpus 1",
		},
		"an agent to avoid is taken if no other fits": {
			agents:  []ledger.Agent{agent(t, "a1", small, ""), agent(t, "a2", large, "")},
			request: placement.Request{Resources: vector(t, "cpus 4"), Avoid: []id.Agent{"a2"}},
			want:    "a2", why: "agent a2 fits best, though it is to be avoided, leaves cpus 4",
		},
		"the only one that is asked for": {
			agents:  []ledger.Agent{agent(t, "a1", small, ""), agent(t, "a2", small, "")},
			request: placement.Request{Resources: vector(t, "cpus 1"), Only: "a2"},
			want:    "a2", why: "agent a2 is asked for, leaves cpus 1",
		},
		"constraints exclude": {
			agents: []ledger.Agent{
				agent(t, "a1", small, "zone=a"), agent(t, "a2", small, "zone=b"), agent(t, "a3", small, "zone=b ssd=yes"),
				agent(t, "a4", small, "zone=b old=yes ssd=yes"), agent(t, "a5", small, "zone=b ssd=yes gen=2"),
			},
			request: placement.Request{
				Resources: vector(t, "cpus 1"),
				Where:     where(in("zone", "b", "c"), has("ssd"), hasNot("old"), notIn("gen", "", "1", "2"), notIn("agent", "a9"), in("host", "a3", "a4")),
			},
			want: "a3", why: "agent a3 fits best, leaves cpus 1",
		},
		"closed agents are left out": {
			agents:  []ledger.Agent{closed(agent(t, "a1", small, "")), agent(t, "a2", small, "")},
			request: placement.Request{Resources: vector(t, "cpus 1")},
			want:    "a2", why: "agent a2 fits best, leaves cpus 1",
		},
		"a task that takes only a port": {
			agents:  []ledger.Agent{agent(t, "a1", "cpus 1", ""), agent(t, "a2", small, "")},
			request: placement.Request{Ports: anyPorts("http")},
			want:    "a2", why: "agent a2 fits best",
		},
		"a task that takes nothing": {
			agents:  []ledger.Agent{agent(t, "a1", small, "")},
			request: placement.Request{},
			want:    "a1", why: "agent a1 fits best",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := cluster(t, tc.agents...)

			choice, err := placement.Choose(books, tc.request)

			if err != nil || choice.Agent != tc.want || choice.Why.String() != tc.why {
				t.Fatalf("Choose = %s because %q, %v, want %s because %q", choice.Agent, choice.Why, err, tc.want, tc.why)
			}
			if err := books.Claim(choice.Claim("t1")); err != nil {
				t.Errorf("the choice cannot be claimed: %v", err)
			}
		})
	}
}

func TestChoosePool(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pools []id.Pool
		want  id.Pool
		why   string
	}{
		"none is asked for":              {nil, "", "agent a1 fits best, leaves cpus 3"},
		"the only one":                   {[]id.Pool{"low"}, "low", "agent a1 fits best, leaves cpus 3"},
		"the highest priority":           {[]id.Pool{"low", "high"}, "high", "agent a1 fits best, leaves cpus 3, from pool high, the highest with room"},
		"the first named of equals":      {[]id.Pool{"twin", "low"}, "twin", "agent a1 fits best, leaves cpus 3, from pool twin, the highest with room"},
		"not one that is full":           {[]id.Pool{"full", "low"}, "low", "agent a1 fits best, leaves cpus 3, from pool low, the highest with room"},
		"not one that has too few":       {[]id.Pool{"ports", "low"}, "low", "agent a1 fits best, leaves cpus 3, from pool low, the highest with room"},
		"not one that does not exist":    {[]id.Pool{"none", "low"}, "low", "agent a1 fits best, leaves cpus 3, from pool low, the highest with room"},
		"one that does not limit it":     {[]id.Pool{"full", "free"}, "free", "agent a1 fits best, leaves cpus 3, from pool free, the highest with room"},
		"the same whichever comes first": {[]id.Pool{"high", "low"}, "high", "agent a1 fits best, leaves cpus 3, from pool high, the highest with room"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := cluster(t, agent(t, "a1", "cpus 4, ports 1-9", ""))
			for _, p := range []struct {
				name     id.Pool
				quantity string
				priority int
			}{{"low", "cpus 1, ports 1-9", 1}, {"twin", "cpus 1", 1}, {"high", "cpus 2", 5}, {"full", "cpus 0.5", 9}, {"ports", "ports 1", 9}, {"free", "", 0}} {
				setPool(t, books, p.name, p.quantity, p.priority)
			}

			choice, err := placement.Choose(books, placement.Request{Resources: vector(t, "cpus 1"), Ports: anyPorts("a", "b"), Pools: tc.pools})

			if err != nil || choice.Pool != tc.want || choice.Why.String() != tc.why {
				t.Errorf("Choose = pool %q because %q, %v, want %q because %q", choice.Pool, choice.Why, err, tc.want, tc.why)
			}
		})
	}
}

// TestChoiceHasAllThatATaskNeeds checks slices and ports of a choice.
func TestChoiceHasAllThatATaskNeeds(t *testing.T) {
	t.Parallel()
	books := cluster(t, agent(t, "a1", "cpus 4, mem 1GiB, ports 1000-1009", ""))
	ports := []ledger.PortWish{{Name: "http"}, {Name: "admin", Number: 1000}}

	choice, err := placement.Choose(books, placement.Request{Resources: vector(t, "cpus 0.25, mem 64MiB"), Ports: ports})
	if err != nil {
		t.Fatal(err)
	}

	if want := []ledger.PortGrant{{Name: "http", Number: 1001}, {Name: "admin", Number: 1000}}; !slices.Equal(choice.Ports, want) {
		t.Errorf("ports %v, want %v", choice.Ports, want)
	}
	want := vector(t, "cpus 0.25, mem 64MiB, ports 1000-1001")
	var got resource.Vector
	for _, s := range choice.Slices {
		got = got.With(resource.Type(s.Partition), s.Quantity)
	}
	if !got.Equal(want) {
		t.Errorf("slices %s, want %s", got, want)
	}
}
