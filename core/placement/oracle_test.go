package placement_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// rated is an agent that fits, with all that decides between agents.
type rated struct {
	name     id.Agent
	avoided  bool
	weight   int64
	crowds   []int
	leftover int64
}

// oracle is the slow and obvious way to choose: it cuts the task out of every
// agent that satisfies the constraints, rates what it would take, and sorts.
func oracle(books *ledger.Ledger, request placement.Request) []rated {
	var list []rated
	for agent := range books.Agents() {
		if !eligible(agent, request) {
			continue
		}
		fitted, err := books.Fit(agent.ID(), request.Resources, request.Ports)
		if err != nil {
			continue
		}
		r := rated{name: agent.ID(), avoided: slices.Contains(request.Avoid, agent.ID()), weight: meanWeight(agent, fitted, request)}
		for _, name := range append(slices.Clone(request.Spread), "host", "agent") {
			r.crowds = append(r.crowds, crowd(books, request, agent, name))
		}
		if of := dominant(books, request); of != "" {
			wanted, _ := request.Resources.Get(of)
			r.leftover = agent.Balance(of).Available - wanted.Amount()
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b rated) int {
		switch {
		case a.avoided != b.avoided && a.avoided:
			return 1
		case a.avoided != b.avoided:
			return -1
		default:
			return cmp.Or(cmp.Compare(b.weight, a.weight), slices.Compare(a.crowds, b.crowds), cmp.Compare(a.leftover, b.leftover), cmp.Compare(a.name, b.name))
		}
	})
	return list
}

func value(agent ledger.AgentView, name string) (string, bool) {
	got, ok := agent.Attribute(name)
	if name == "agent" || name == "host" && !ok {
		return string(agent.ID()), true
	}
	return got, ok
}

func eligible(agent ledger.AgentView, request placement.Request) bool {
	if request.Only != "" && request.Only != agent.ID() {
		return false
	}
	for _, c := range request.Where {
		got, ok := value(agent, c.Attribute)
		listed := ok && slices.Contains(c.Values, got)
		good := map[spec.Operator]bool{spec.In: listed, spec.NotIn: !listed, spec.Exists: ok, spec.Missing: !ok}
		if !good[c.Operator] {
			return false
		}
	}
	return true
}

func crowd(books *ledger.Ledger, request placement.Request, agent ledger.AgentView, name string) int {
	here, _ := value(agent, name)
	sum := 0
	for on, n := range request.Siblings {
		if other, known := books.Agent(on); known {
			if there, _ := value(other, name); there == here {
				sum += n
			}
		}
	}
	return sum
}

// meanWeight rounds down the mean of each type, and then the mean of those. Ports that
// are listed and ports that are wished for are as two types.
func meanWeight(agent ledger.AgentView, fitted ledger.Fitted, request placement.Request) int64 {
	weights, amounts := map[resource.Type]*big.Int{}, map[resource.Type]*big.Int{}
	add := func(of resource.Type, weight, n int64) {
		if n == 0 {
			return
		}
		if weights[of] == nil {
			weights[of], amounts[of] = new(big.Int), new(big.Int)
		}
		weights[of].Add(weights[of], new(big.Int).Mul(big.NewInt(n), big.NewInt(weight)))
		amounts[of].Add(amounts[of], big.NewInt(n))
	}
	listed, _ := request.Resources.Get(resource.Ports)
	for _, s := range fitted.Slices {
		for p := range agent.Partitions() {
			if p.ID == s.Partition && p.Type == resource.Ports {
				wished := s.Quantity.Without(listed).Amount()
				add("wished", p.Weight, wished)
				add(p.Type, p.Weight, s.Quantity.Amount()-wished)
			} else if p.ID == s.Partition {
				add(p.Type, p.Weight, s.Quantity.Amount())
			}
		}
	}
	sum := int64(0)
	for of := range weights {
		sum += new(big.Int).Div(weights[of], amounts[of]).Int64()
	}
	return sum / max(1, int64(len(weights)))
}

// dominant is the scalar of which the task takes the largest share of the
// cluster.
func dominant(books *ledger.Ledger, request placement.Request) resource.Type {
	var best resource.Type
	share := new(big.Rat)
	for of, q := range request.Resources.All() {
		if q.Kind() != resource.KindScalar || q.IsZero() || books.Total(of) == 0 {
			continue
		}
		if s := big.NewRat(q.Amount(), books.Total(of)); s.Cmp(share) > 0 {
			best, share = of, s
		}
	}
	return best
}

// drawCluster draws agents of few sizes, weights and attributes, so that ties
// are common, with claims on them and pools.
func drawCluster(t *rapid.T) *ledger.Ledger {
	var books ledger.Ledger
	for i := range rapid.IntRange(0, 7).Draw(t, "agents") {
		a := agent(t, id.Agent(fmt.Sprintf("a%d", i)),
			rapid.SampledFrom([]string{"cpus 4, mem 4, ports 10-12", "cpus 2, mem 8, ports 10", "mem 4, keys {x,y}", "cpus 4, mem 4, ports 10-12"}).Draw(t, "size"),
			rapid.SampledFrom([]string{"", "zone=a", "zone=b", "zone=b host=h1", "zone=a host=h1"}).Draw(t, "attributes"))
		for j := range a.Partitions {
			a.Partitions[j].Weight = rapid.SampledFrom([]int64{1000, 1000, 1000, 1500, 2000}).Draw(t, "weight")
		}
		if rapid.Bool().Draw(t, "more") {
			extra := vector(t, "cpus 1")
			q, _ := extra.Get("cpus")
			a.Partitions = append(a.Partitions, ledger.Partition{ID: "extra", Type: "cpus", Quantity: q, Weight: 3000})
		}
		a.Closed = rapid.IntRange(0, 4).Draw(t, "closed") == 0
		if err := books.SetAgent(a); err != nil {
			t.Fatal(err)
		}
	}
	setPool(t, &books, "web", rapid.SampledFrom([]string{"", "cpus 1", "cpus 3, ports 1"}).Draw(t, "web"), 1)
	setPool(t, &books, "spare", rapid.SampledFrom([]string{"", "mem 2"}).Draw(t, "spare"), rapid.IntRange(0, 2).Draw(t, "priority"))
	for i := range rapid.IntRange(0, 6).Draw(t, "claims") {
		choice, err := placement.Choose(&books, drawRequest(t))
		if err != nil {
			continue
		}
		if err := books.Claim(choice.Claim(id.Task(fmt.Sprintf("t%d", i)))); err != nil {
			t.Fatalf("what was chosen cannot be claimed: %v", err)
		}
	}
	return &books
}

func drawRequest(t *rapid.T) placement.Request {
	agents := rapid.SampledFrom([]id.Agent{"a0", "a1", "a2", "a3", "a9"})
	request := placement.Request{
		Service:   "web",
		Resources: vector(t, rapid.SampledFrom([]string{"", "cpus 1", "cpus 2, mem 1", "mem 3", "cpus 3, mem 4", "cpus 9", "keys {x}"}).Draw(t, "wanted")),
		Spread:    rapid.SampledFrom([][]string{nil, {"zone"}, {"host"}, {"zone", "host"}}).Draw(t, "spread"),
		Siblings:  rapid.MapOfN(agents, rapid.IntRange(1, 2), 0, 3).Draw(t, "siblings"),
		Avoid:     rapid.SliceOfN(agents, 0, 2).Draw(t, "avoid"),
		Pools:     rapid.SampledFrom([][]id.Pool{nil, nil, {"web"}, {"spare", "web"}, {"none"}}).Draw(t, "pools"),
		Where: rapid.SampledFrom([][]spec.Constraint{
			nil, nil, where(in("zone", "a")), where(has("zone"), notIn("zone", "b")), where(hasNot("zone")), where(notIn("agent", "a1")),
		}).Draw(t, "where"),
	}
	for i, number := range rapid.SampledFrom([][]int64{nil, {0}, {0, 0}, {11}, {0, 11}}).Draw(t, "ports") {
		request.Ports = append(request.Ports, ledger.PortWish{Name: fmt.Sprintf("p%d", i), Number: number})
	}
	if rapid.IntRange(0, 5).Draw(t, "one agent") == 0 {
		request.Only = agents.Draw(t, "only")
	}
	return request
}

// TestChooseAgreesWithOracle checks that the choice is the oracle's, that it can
// be claimed, and that a refusal counts every agent once.
func TestChooseAgreesWithOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		books := drawCluster(t)
		request := drawRequest(t)

		choice, err := placement.Choose(books, request)

		list := oracle(books, request)
		pool, drawn := bestPool(books, request)
		if (err == nil) != (drawn && len(list) > 0) {
			t.Fatalf("Choose = %+v, %v; the oracle: pool %q (%v), agents %+v", choice, err, pool, drawn, list)
		}
		if err != nil {
			checkRefusal(t, books, request, err)
			return
		}
		if choice.Agent != list[0].name || choice.Pool != pool {
			t.Fatalf("Choose = %s, pool %q; the oracle: pool %q, agents %+v", choice.Agent, choice.Pool, pool, list)
		}
		if err := books.Claim(choice.Claim("new")); err != nil {
			t.Fatalf("what was chosen cannot be claimed: %v", err)
		}
	})
}

// bestPool tries every pool by claiming nothing but what the request names.
func bestPool(books *ledger.Ledger, request placement.Request) (id.Pool, bool) {
	var names []id.Pool
	for _, name := range request.Pools {
		if view, known := books.Pool(name); known && view.Shortage(request.Resources, len(request.Ports)) == nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", len(request.Pools) == 0
	}
	slices.SortStableFunc(names, func(a, b id.Pool) int {
		left, _ := books.Pool(a)
		right, _ := books.Pool(b)
		return cmp.Compare(right.Pool().Priority, left.Pool().Priority)
	})
	return names[0], true
}

// checkRefusal checks that every agent is counted once if agents are what is
// short, and that never is said just if an empty cluster would refuse as well.
func checkRefusal(t *rapid.T, books *ledger.Ledger, request placement.Request, err error) {
	t.Helper()
	refused, ok := errors.AsType[*placement.RefusedError](err)
	if !ok || len(refused.Reasons()) == 0 || refused.Error() == "" {
		t.Fatalf("a refusal without reasons: %v", err)
	}
	counted := 0
	for _, r := range refused.Reasons() {
		counted += r.Agents
	}
	asked := 0
	for agent := range books.Agents() {
		if request.Only == "" || request.Only == agent.ID() {
			asked++
		}
	}
	if noAgent := len(oracle(books, request)) == 0; noAgent && counted != asked || !noAgent && counted != 0 {
		t.Fatalf("%v: it counts %d of %d agents, none fits: %v", err, counted, asked, noAgent)
	}
	if want := hopeless(books, request); refused.Never() != want {
		t.Fatalf("%v: never is %v, want %v", err, refused.Never(), want)
	}
}

// hopeless reports whether the task fits on no eligible agent, or in no pool,
// even with all claims given back and all agents open.
func hopeless(books *ledger.Ledger, request placement.Request) bool {
	var empty ledger.Ledger
	several := 0
	for agent := range books.Agents() {
		a := agent.Agent()
		a.Closed = false
		if err := empty.SetAgent(a); err != nil {
			panic(err)
		}
		if eligible(agent, request) {
			several++
		}
	}
	for _, name := range request.Pools {
		if view, known := books.Pool(name); known {
			if err := empty.SetPool(view.Pool()); err != nil {
				panic(err)
			}
		} else {
			empty.SetPool(ledger.Pool{ID: name}) //nolint:errcheck // a pool that comes to be has room
		}
	}
	_, drawn := bestPool(&empty, request)
	return !drawn || several > 0 && len(oracle(&empty, request)) == 0
}
