package placement_test

import (
	"errors"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
)

// busy returns a cluster of six agents in three zones, partly taken.
func busy(t failer) *ledger.Ledger {
	t.Helper()
	const machine = "cpus 4, mem 4GiB, ports 1000-1001, keys {x,y}"
	books := cluster(t,
		agent(t, "a1", machine, "zone=a"), agent(t, "a2", machine, "zone=a"), agent(t, "a3", machine, "zone=a"),
		agent(t, "b1", machine, "zone=b"), agent(t, "b2", machine, "zone=b"),
		closed(agent(t, "c1", "cpus 16, mem 2GiB", "")),
	)
	occupy(t, books, "t1", "a1", "", "cpus 1, mem 3.5GiB, ports 1000")
	occupy(t, books, "t2", "a2", "", "cpus 2, mem 3.5GiB, ports 1000, keys {x}")
	occupy(t, books, "t3", "a3", "", "cpus 2, mem 3.5GiB, ports 1001")
	occupy(t, books, "t4", "b1", "", "cpus 4")
	return books
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		request placement.Request
		want    string
		never   bool
	}{
		"short in one zone, excluded in the others": {
			request: placement.Request{Resources: vector(t, "mem 1GiB"), Where: where(in("zone", "a"))},
			want:    "3 agents short of mem by 512MiB, 2 in zone b (want zone = a), 1 without zone (want zone = a)",
		},
		"short by different amounts": {
			request: placement.Request{Resources: vector(t, "cpus 4"), Where: where(in("zone", "a"))},
			want:    "3 agents short of cpus by 1 or more, 2 in zone b (want zone = a), 1 without zone (want zone = a)",
		},
		"short of several types, and closed": {
			request: placement.Request{Resources: vector(t, "cpus 3.5, mem 2GiB"), Where: where(notIn("agent", "b2"))},
			want:    "3 agents short of cpus by 0.5 or more and short of mem by 1.5GiB, 1 closed (draining or out of reach), 1 in agent b2 (want agent != b2), 1 short of cpus by 3.5",
		},
		"many values are told in one": {
			request: placement.Request{Where: where(in("agent", "z1", "z2"))},
			want:    "6 agents of another agent (want agent in [z1, z2])",
		},
		"an attribute that is not wanted": {
			request: placement.Request{Where: where(hasNot("zone"), in("host", "h1"))},
			want:    "5 agents with zone (want not has zone), 1 in host c1 (want host = h1)",
		},
		"an attribute that is wanted": {
			request: placement.Request{Where: where(has("ssd"))},
			want:    "6 agents without ssd (want has ssd)",
		},
		"an operator that nobody knows": {
			request: placement.Request{Where: append(where(in("zone")), in("zone"))},
			want:    "3 agents in zone a (want zone in []), 2 in zone b (want zone in []), 1 without zone (want zone in [])",
		},
		"a certain port": {
			request: placement.Request{Ports: []ledger.PortWish{{Name: "http", Number: 1000}}, Where: where(in("agent", "a1", "a2"))},
			want:    "4 agents of another agent (want agent in [a1, a2]), 2 with port 1000 taken",
		},
		"members that are taken": {
			request: placement.Request{Resources: vector(t, "keys {x,y}"), Only: "a2"},
			want:    "1 agent short of keys by 1",
		},
		"too few ports": {
			request: placement.Request{Ports: anyPorts("a", "b"), Only: "a1"},
			want:    "1 agent short of ports by 1",
		},
		"larger than any agent": {
			request: placement.Request{Resources: vector(t, "cpus 32, mem 1GiB")},
			want:    "larger than any agent, 6 agents too small for cpus 32 (16 at most)",
			never:   true,
		},
		"larger than any agent of the zone": {
			request: placement.Request{Resources: vector(t, "cpus 8, mem 8GiB"), Where: where(in("zone", "a"))},
			want:    "larger than any agent, 3 agents too small for cpus 8 (4 at most) and too small for mem 8GiB (4GiB at most), 2 in zone b (want zone = a), 1 without zone (want zone = a)",
			never:   true,
		},
		"larger than all but a closed agent": {
			request: placement.Request{Resources: vector(t, "cpus 8")},
			want:    "5 agents too small for cpus 8 (4 at most), 1 closed (draining or out of reach)",
		},
		"ports that no agent has": {
			request: placement.Request{Ports: []ledger.PortWish{{Name: "http", Number: 80}, {Name: "a"}, {Name: "b"}}, Only: "a1"},
			want:    "larger than any agent, 1 agent without port 80 and too small for ports 3 (2 at most)",
			never:   true,
		},
		"ports of the vector that no agent has": {
			request: placement.Request{Resources: vector(t, "ports 1000-1002"), Only: "a1"},
			want:    "larger than any agent, 1 agent too small for ports 3 (2 at most)",
			never:   true,
		},
		"a member that no agent has": {
			request: placement.Request{Resources: vector(t, "keys {x,z}"), Only: "a1"},
			want:    "larger than any agent, 1 agent too small for keys 2 (1 at most)",
			never:   true,
		},
		"an amount where the agent has members": {
			request: placement.Request{Resources: vector(t, "keys 1"), Only: "a1"},
			want:    "larger than any agent, 1 agent too small for keys 1 (0 at most)",
			never:   true,
		},
		"an agent that nobody knows": {
			request: placement.Request{Only: "a9"},
			want:    "agent a9 is unknown",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.request.Service = "web"

			choice, err := placement.Choose(busy(t), tc.request)

			refused, ok := errors.AsType[*placement.RefusedError](err)
			if !ok || refused.Error() != tc.want || refused.Never() != tc.never || refused.Service() != "web" {
				t.Errorf("Choose = %+v,\n got %v\nwant %s\nnever: %v", choice, err, tc.want, tc.never)
			}
		})
	}
}

func TestRefusalOfAnEmptyCluster(t *testing.T) {
	t.Parallel()
	if _, err := placement.Choose(new(ledger.Ledger), placement.Request{}); err == nil || err.Error() != "no agent" {
		t.Errorf("Choose = %v, want no agent", err)
	}
}

func TestRefusalsOfPools(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cpus  string
		ports int
		pools []id.Pool
		want  string
		never bool
	}{
		"short":                     {"1.5", 0, []id.Pool{"web"}, "pool web short of cpus by 0.5", false},
		"overcommitted":             {"0.5", 0, []id.Pool{"shrunk"}, "pool shrunk short of cpus by 0.75 (overcommitted)", false},
		"too small":                 {"3", 0, []id.Pool{"web"}, "pool web too small for cpus 3 (2 at most)", true},
		"too few ports":             {"1", 2, []id.Pool{"web"}, "pool web too small for ports 2 (1 at most)", true},
		"one is only short":         {"1.5", 0, []id.Pool{"shrunk", "web"}, "pool shrunk too small for cpus 1.5 (0.75 at most) (overcommitted), pool web short of cpus by 0.5", false},
		"unknown":                   {"1", 0, []id.Pool{"none"}, "pool none does not exist", false},
		"the agents are short too":  {"5", 0, []id.Pool{"web"}, "pool web too small for cpus 5 (2 at most), 1 agent short of cpus by 1", true},
		"only the agents are short": {"5", 0, []id.Pool{"free"}, "1 agent short of cpus by 1", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := cluster(t, agent(t, "a1", "cpus 6, ports 1-9", ""))
			setPool(t, books, "web", "cpus 2, ports 1", 1)
			setPool(t, books, "free", "", 1)
			setPool(t, books, "shrunk", "cpus 1", 1)
			occupy(t, books, "t1", "a1", "web", "cpus 1")
			occupy(t, books, "t2", "a1", "shrunk", "cpus 1")
			setPool(t, books, "shrunk", "cpus 0.75", 1)

			_, err := placement.Choose(books, placement.Request{
				Resources: vector(t, "cpus "+tc.cpus), Ports: anyPorts(make([]string, tc.ports)...), Pools: tc.pools,
			})

			refused, ok := errors.AsType[*placement.RefusedError](err)
			if !ok || refused.Error() != tc.want || refused.Never() != tc.never {
				t.Errorf("Choose:\n got %v (never: %v)\nwant %s (never: %v)", err, ok && refused.Never(), tc.want, tc.never)
			}
		})
	}
}
