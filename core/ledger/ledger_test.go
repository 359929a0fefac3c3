package ledger_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// town returns books of two agents and a pool: a1 is open and has a claim of
// task t1, a2 is closed.
func town(t failer) *ledger.Ledger {
	t.Helper()
	var books ledger.Ledger
	closed := agent(t, "a2", "cpus:cpus 2")
	closed.Closed = true
	set(t, &books, closed, agent(t, "a1", "cpus:cpus 4", "mem:mem 1GiB", "ports:ports 10-14", "keys:keys {a,b}"))
	setPool(t, &books, "web", "cpus 2, ports 1-2")
	held := claim(t, "t1", "cpus:cpus 1", "ports:ports 10")
	held.Pool = "web"
	mustClaim(t, &books, held)
	return &books
}

func TestClaimRefusals(t *testing.T) {
	t.Parallel()
	on := func(a id.Agent, p id.Pool, c ledger.Claim) ledger.Claim {
		c.Agent, c.Pool = a, p
		return c
	}
	empty := ledger.Claim{Task: "t2", Agent: "a1", Slices: []ledger.Slice{{Partition: "cpus"}}}
	tests := map[string]struct {
		claim ledger.Claim
		want  error // nil: a *ShortageError
		text  string
	}{
		"a task without a name":           {claim(t, "", "cpus:cpus 1"), ledger.ErrInvalid, "not a name: it is empty"},
		"a second claim":                  {claim(t, "t1", "cpus:cpus 1"), ledger.ErrAlreadyHeld, "claim for task t1: task already holds a claim"},
		"an unknown agent":                {on("nowhere", "", claim(t, "t2")), ledger.ErrUnknownAgent, "unknown agent: nowhere"},
		"a closed agent":                  {on("a2", "", claim(t, "t2", "cpus:cpus 1")), ledger.ErrClosed, "agent takes no new claims: a2"},
		"an unknown pool":                 {on("a1", "none", claim(t, "t2", "cpus:cpus 1")), ledger.ErrUnknownPool, "unknown pool: none"},
		"an unknown partition":            {claim(t, "t2", "gpus:gpus 1"), ledger.ErrUnknownPartition, "unknown partition: gpus of agent a1"},
		"a slice of nothing":              {empty, ledger.ErrInvalid, "a slice of partition cpus is not above zero"},
		"a slice of another kind":         {claim(t, "t2", "ports:cpus 1"), ledger.ErrInvalid, "a slice of partition ports is scalar, want ranges"},
		"a custom slice of another kind":  {claim(t, "t2", "keys:keys 1"), ledger.ErrInvalid, "a slice of partition keys is scalar, want set"},
		"two slices of one partition":     {claim(t, "t2", "cpus:cpus 1", "cpus:cpus 1"), ledger.ErrInvalid, "two slices of partition cpus"},
		"a port that is taken":            {claim(t, "t2", "ports:ports 10-11"), ledger.ErrPortTaken, "partition ports of agent a1 is short of ports by 1: wanted 2, free 1"},
		"a port that is not there":        {claim(t, "t2", "ports:ports 15"), ledger.ErrPortTaken, "wanted 1, free 0"},
		"a member that is not there":      {claim(t, "t2", "keys:keys {b,c}"), nil, "partition keys of agent a1 is short of keys by 1: wanted 2, free 1"},
		"too much of a partition":         {claim(t, "t2", "cpus:cpus 3.5"), nil, "partition cpus of agent a1 is short of cpus by 0.5: wanted 3.5, free 3"},
		"too much of a pool":              {on("a1", "web", claim(t, "t2", "cpus:cpus 1.5")), nil, "pool web is short of cpus by 0.5: wanted 1.5, free 1"},
		"too many of a pool's ports":      {on("a1", "web", claim(t, "t2", "ports:ports 11-12")), nil, "pool web is short of ports by 1: wanted 2, free 1"},
		"the second slice is not granted": {claim(t, "t2", "cpus:cpus 1", "mem:mem 2GiB"), nil, "short of mem by 1GiB"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := town(t)
			before := books.Balance(resource.CPUs)

			err := books.Claim(tc.claim)

			_, short := errors.AsType[*ledger.ShortageError](err)
			if err == nil || !strings.Contains(err.Error(), tc.text) || tc.want != nil && !errors.Is(err, tc.want) || tc.want == nil && !short {
				t.Errorf("Claim = %v, want %q", err, tc.text)
			}
			if about := errors.Is(tc.want, ledger.ErrPortTaken); about != errors.Is(err, ledger.ErrPortTaken) {
				t.Errorf("%v is about a port: %v, want %v", err, !about, about)
			}
			if after := books.Balance(resource.CPUs); after != before || books.Imbalance() != nil {
				t.Errorf("a refused claim changed the books: %+v, %v", after, books.Imbalance())
			}
		})
	}
}

func TestRestoreRefusals(t *testing.T) {
	t.Parallel()
	elsewhere := claim(t, "t2", "cpus:cpus 1")
	elsewhere.Agent = "nowhere"
	tests := map[string]struct {
		claim ledger.Claim
		want  error
	}{
		"an unknown agent":                    {elsewhere, ledger.ErrUnknownAgent},
		"a task that is there":                {claim(t, "t1", "cpus:cpus 1"), ledger.ErrAlreadyHeld},
		"a port that is held":                 {claim(t, "t2", "ports:ports 9-10"), ledger.ErrPortTaken},
		"a port of another partition":         {claim(t, "t2", "ports:ports 80"), ledger.ErrPortTaken},
		"more than 64 bits":                   {claim(t, "t2", "cpus:cpus 9223372036854775"), ledger.ErrInvalid},
		"an unknown partition of known agent": {claim(t, "t2", "gpus:gpus 1"), ledger.ErrUnknownPartition},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := town(t)
			set(t, books, agent(t, "a1", "cpus:cpus 4", "ports:ports 10-14", "web:ports 80"))

			if err := books.Restore(tc.claim); !errors.Is(err, tc.want) || books.Imbalance() != nil {
				t.Errorf("Restore = %v, want %v; imbalance: %v", err, tc.want, books.Imbalance())
			}
		})
	}
}

func TestRestoreBooksWhatNoLongerFits(t *testing.T) {
	t.Parallel()
	books := town(t)
	late := claim(t, "t2", "cpus:cpus 8", "ports:ports 80")
	late.Pool = "web"

	if err := books.Restore(late); err != nil {
		t.Fatal(err)
	}

	want := []string{
		"pool web is overcommitted: 9 of 2 cpus are claimed",
		"partition cpus of agent a1 is overcommitted: 9 of 4 cpus are claimed",
		"partition ports of agent a1 is overcommitted: 2 of 5 ports are claimed",
	}
	if got := overcommitted(books); !slices.Equal(got, want) {
		t.Errorf("overcommitted: %q, want %q", got, want)
	}
}

func overcommitted(books *ledger.Ledger) []string {
	var list []string
	for _, o := range books.Overcommitted() {
		list = append(list, o.String())
	}
	return list
}

func TestSetAgentRefusals(t *testing.T) {
	t.Parallel()
	weighing := func(weight int64) ledger.Agent {
		return ledger.Agent{ID: "a9", Partitions: []ledger.Partition{partition(t, "all:cpus 1", weight)}}
	}
	of := func(kind resource.Type, q resource.Quantity) ledger.Agent {
		return ledger.Agent{ID: "a9", Partitions: []ledger.Partition{{ID: "all", Type: kind, Quantity: q, Weight: 1}}}
	}
	far, err := resource.RangesOf(resource.Range{First: 65000, Last: 66000})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		agent ledger.Agent
		want  error
		text  string
	}{
		"no name":                                    {ledger.Agent{}, ledger.ErrInvalid, "it is empty"},
		"a bad name of a partition":                  {agent(t, "a9", "Big:cpus 1"), ledger.ErrInvalid, "partition Big: not a name"},
		"a partition twice":                          {agent(t, "a9", "all:cpus 1", "all:mem 1"), ledger.ErrInvalid, "partition all is there twice"},
		"no weight":                                  {weighing(0), ledger.ErrInvalid, "partition all: weight 0 thousandths, want 1 to 1000000000"},
		"a weight below zero":                        {weighing(-1), ledger.ErrInvalid, "weight -1"},
		"a weight that is too high":                  {weighing(ledger.WeightMax + 1), ledger.ErrInvalid, "weight 1000000001"},
		"an amount below zero":                       {of("cpus", resource.Scalar(-1)), ledger.ErrInvalid, "cpus is below zero"},
		"an amount of another kind":                  {of("ports", resource.Scalar(1)), ledger.ErrInvalid, "want ranges, found scalar"},
		"ports that are not":                         {of("ports", far), ledger.ErrInvalid, "ports 65000-66000 are not within 1-65535"},
		"one port in two partitions":                 {agent(t, "a9", "low:ports 1-5", "high:ports 5-9"), ledger.ErrInvalid, "partitions high and low have ports in common"},
		"one member in two partitions":               {agent(t, "a9", "k1:keys {a}", "k2:keys {a}"), ledger.ErrInvalid, "have keys in common"},
		"two kinds of a type":                        {agent(t, "a9", "k1:keys {a}", "k2:keys 1"), ledger.ErrInvalid, "partition k1 of keys is set, partition k2 is scalar"},
		"more than 64 bits":                          {agent(t, "a9", "all:cpus 9223372036854775"), ledger.ErrInvalid, "cpus of the cluster: number too large"},
		"another type of what is claimed":            {agent(t, "a1", "cpus:mem 1"), ledger.ErrInUse, "partition cpus: in use: what is claimed of it is cpus"},
		"a claimed port moves":                       {agent(t, "a1", "cpus:cpus 4", "ports:ports 11-14", "web:ports 10"), ledger.ErrInUse, "are now in the other"},
		"a claimed port moves to a partition before": {agent(t, "a1", "cpus:cpus 4", "ports:ports 11-14", "all:ports 10"), ledger.ErrInUse, "are now in the other"},
		"a claimed port of what is retired":          {agent(t, "a1", "cpus:cpus 4", "web:ports 9-12"), ledger.ErrInUse, "ports that are claimed of one of partitions"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			books := town(t)

			err := books.SetAgent(tc.agent)

			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("SetAgent = %v, want %q", err, tc.text)
			}
			if _, known := books.Agent("a9"); known || books.Total(resource.CPUs) != 6000 || books.Imbalance() != nil {
				t.Errorf("a refused agent changed the books: %v", books.Imbalance())
			}
		})
	}
}

// TestSmallerAgent brings an agent back with less than is claimed of it, and
// with more again.
func TestSmallerAgent(t *testing.T) {
	t.Parallel()
	var books ledger.Ledger
	set(t, &books, agent(t, "a1", "cpus:cpus 4", "ports:ports 10-14", "keys:keys {a,b}"))
	mustClaim(t, &books, claim(t, "t1", "cpus:cpus 3", "ports:ports 10-11", "keys:keys {a}"))

	set(t, &books, agent(t, "a1", "cpus:cpus 2", "ports:ports 11-19"))

	view, _ := books.Agent("a1")
	if got, want := view.Balance("cpus"), (ledger.Balance{Quantity: 2000, Claimed: 3000, Free: -1000}); got != want {
		t.Errorf("cpus: %+v, want %+v", got, want)
	}
	if got, want := view.Balance("ports"), (ledger.Balance{Quantity: 9, Claimed: 2, Outside: 1, Free: 8, Available: 8}); got != want {
		t.Errorf("ports: %+v, want %+v", got, want)
	}
	want := []string{
		"partition cpus of agent a1 is overcommitted: 3 of 2 cpus are claimed",
		"partition keys of agent a1 is overcommitted: 1 of 0 keys are claimed",
		"partition ports of agent a1 is overcommitted: 2 of 9 ports are claimed",
	}
	if got := overcommitted(&books); !slices.Equal(got, want) {
		t.Errorf("overcommitted: %q, want %q", got, want)
	}
	if _, err := books.Fit("a1", vector(t, "cpus 0.5"), nil); err == nil || !strings.Contains(err.Error(), "short of cpus by 0.5: wanted 0.5, free 0") {
		t.Errorf("Fit on an overcommitted agent: %v", err)
	}
	if err := books.Claim(claim(t, "t2", "cpus:cpus 0.5")); err == nil || !strings.Contains(err.Error(), "by 1.5: wanted 0.5, free -1 (overcommitted)") {
		t.Errorf("Claim on an overcommitted partition: %v", err)
	}
	if err := books.Claim(claim(t, "t2", "keys:keys {b}")); err == nil {
		t.Error("a partition that is gone gives a member")
	}

	books.Release("t1")

	if types := slices.Collect(view.Types()); !slices.Equal(types, []resource.Type{"cpus", "ports"}) {
		t.Errorf("after the release the agent has %v", types)
	}
	if left := overcommitted(&books); len(left) > 0 || books.R("ports") != 9 {
		t.Errorf("after the release: %q, R(ports) = %v", left, books.R("ports"))
	}
}

// TestSmallerPool resizes a pool below its use and above it again.
func TestSmallerPool(t *testing.T) {
	t.Parallel()
	books := town(t)
	drawing := func(task id.Task, text string) error {
		c := claim(t, task, text)
		c.Pool = "web"
		return books.Claim(c)
	}

	setPool(t, books, "web", "cpus 0.5")

	web, _ := books.Pool("web")
	if sum, limited := web.Balance("cpus"); !limited || !web.Overcommitted() || sum != (ledger.Balance{Quantity: 500, Claimed: 1000, Free: -500}) {
		t.Errorf("cpus of the pool: %+v", sum)
	}
	if sum, limited := web.Balance("ports"); limited || sum.Claimed != 1 {
		t.Errorf("ports of the pool: %+v, limited: %v", sum, limited)
	}
	const text = "pool web is short of cpus by 0.5: wanted 0, free -0.5 (overcommitted)"
	if err := drawing("t2", "mem:mem 1MiB"); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("a claim on an overcommitted pool: %v, want %q", err, text)
	}

	setPool(t, books, "web", "cpus 1")

	if err := drawing("t2", "mem:mem 1MiB"); err != nil || web.Overcommitted() {
		t.Errorf("a claim on a pool with room: %v", err)
	}
	if types := web.Types(); !slices.Equal(types, []resource.Type{"cpus", "mem", "ports"}) || web.ClaimCount() != 2 {
		t.Errorf("the pool has %v and %d claims", types, web.ClaimCount())
	}
}

func TestRemoval(t *testing.T) {
	t.Parallel()
	books := town(t)

	for name, tc := range map[string]struct {
		err, want error
	}{
		"an agent in use":       {books.RemoveAgent("a1"), ledger.ErrInUse},
		"an unknown agent":      {books.RemoveAgent("nowhere"), ledger.ErrUnknownAgent},
		"a pool in use":         {books.DeletePool("web"), ledger.ErrInUse},
		"an unknown pool":       {books.DeletePool("none"), ledger.ErrUnknownPool},
		"close unknown":         {books.CloseAgent("nowhere"), ledger.ErrUnknownAgent},
		"open unknown":          {books.OpenAgent("nowhere"), ledger.ErrUnknownAgent},
		"a pool below zero":     {books.SetPool(ledger.Pool{ID: "p", Quantity: resource.Vector{}.With("cpus", resource.Scalar(-1))}), ledger.ErrInvalid},
		"a pool without a name": {books.SetPool(ledger.Pool{}), ledger.ErrInvalid},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.err, tc.want)
		}
	}
	books.Release("t1")
	if err := errors.Join(books.RemoveAgent("a1"), books.DeletePool("web"), books.Imbalance()); err != nil {
		t.Errorf("what is free of claims: %v", err)
	}
	if books.AgentCount() != 1 || !slices.Equal(books.Types(), []resource.Type{"cpus"}) {
		t.Errorf("left are %d agents with %v", books.AgentCount(), books.Types())
	}
}

// TestWeightedCapacity checks R against sums by hand, also where a float64
// added up step by step would be wrong.
func TestWeightedCapacity(t *testing.T) {
	t.Parallel()
	var books ledger.Ledger
	set(t, &books, ledger.Agent{ID: "a1", Partitions: []ledger.Partition{
		partition(t, "fast:cpus 8", 2000), partition(t, "spare:cpus 4", 500), partition(t, "ports:ports 1-10", 1000),
	}})
	want := func(of resource.Type, r float64) {
		t.Helper()
		if got := books.R(of); got != r {
			t.Errorf("R(%s) = %v, want %v", of, got, r)
		}
	}

	want("cpus", 18000)
	want("ports", 10)
	want("gpus", 0)
	mustClaim(t, &books, claim(t, "t1", "fast:cpus 1.5", "ports:ports 1-3"))
	want("cpus", 15000)
	want("ports", 7)
	if err := books.CloseAgent("a1"); err != nil {
		t.Fatal(err)
	}
	want("cpus", 0)
	if err := books.OpenAgent("a1"); err != nil {
		t.Fatal(err)
	}
	books.Release("t1")
	want("cpus", 18000)
	set(t, &books, ledger.Agent{ID: "a2", Partitions: []ledger.Partition{
		{ID: "huge", Type: "gpus", Quantity: resource.Scalar(math.MaxInt64), Weight: ledger.WeightMax},
	}})
	want("gpus", float64(math.MaxInt64)*1e6)
}

// TestTheLargestAgent comes back as it was, which does not count it twice.
func TestTheLargestAgent(t *testing.T) {
	t.Parallel()
	var books ledger.Ledger
	for range 2 {
		set(t, &books, agent(t, "a1", "all:gpus 9223372036854775807"))
	}
	if total := books.Total("gpus"); total != math.MaxInt64 {
		t.Errorf("the cluster has %d gpus", total)
	}
}

func TestViews(t *testing.T) {
	t.Parallel()
	books := town(t)
	more := agent(t, "a3", "cpus:cpus 1")
	more.Attributes = map[string]string{"zone": "b"}
	set(t, books, more)
	setPool(t, books, "spare", "")
	more.Attributes["zone"] = "c" // the books have their own copy

	var names []string
	for a := range books.Agents() {
		zone, known := a.Attribute("zone")
		names = append(names, fmt.Sprintf("%s %v %d %q %v", a.ID(), a.Closed(), a.ClaimCount(), zone, known))
	}
	if want := []string{`a1 false 1 "" false`, `a2 true 0 "" false`, `a3 false 0 "b" true`}; !slices.Equal(names, want) {
		t.Errorf("agents: %q, want %q", names, want)
	}
	names = nil
	for p := range books.Pools() {
		names = append(names, string(p.Pool().ID))
	}
	if want := []string{"spare", "web"}; !slices.Equal(names, want) {
		t.Errorf("pools: %v, want %v", names, want)
	}
	first, held := books.ClaimOf("t1")
	if !held || first.Agent != "a1" || first.Pool != "web" || len(first.Slices) != 2 {
		t.Errorf("claim of t1: %+v, %v", first, held)
	}
	if _, held := books.ClaimOf("t9"); held {
		t.Error("t9 holds a claim")
	}
	view, _ := books.Agent("a1")
	mustClaim(t, books, claim(t, "t0", "cpus:cpus 1"), claim(t, "t2", "cpus:cpus 1"))
	names = nil
	for c := range view.Claims() {
		names = append(names, string(c.Task))
	}
	if want := []string{"t0", "t1", "t2"}; !slices.Equal(names, want) {
		t.Errorf("tasks: %v, want %v", names, want)
	}
	if b := view.Balance("gpus"); b != (ledger.Balance{}) {
		t.Errorf("gpus: %+v", b)
	}
	checkStops(t, books)
}

// checkStops leaves every iteration after its first step.
func checkStops(t *testing.T, books *ledger.Ledger) {
	t.Helper()
	steps := 0
	for a := range books.Agents() {
		for range a.Types() {
			steps++
			break
		}
		for range a.Partitions() {
			steps++
			break
		}
		for range a.Claims() {
			steps++
			break
		}
		steps++
		break
	}
	for range books.Pools() {
		steps++
		break
	}
	if steps != 5 {
		t.Errorf("%d steps, want 5", steps)
	}
}
