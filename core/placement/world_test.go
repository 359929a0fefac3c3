package placement_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
)

// dice draws numbers: by rapid, or from the bytes of a fuzzer.
type dice struct {
	roll  func(what string, sides int) int // from 0 to sides-1
	fatal func(format string, args ...any)
}

func (*dice) Helper() {}

func (d *dice) Fatal(args ...any) { d.fatal("%v", args) }

// one draws one of several.
func one[T any](d *dice, what string, of ...T) T { return of[d.roll(what, len(of))] }

func rapidDice(t *rapid.T) *dice {
	return &dice{
		roll:  func(what string, sides int) int { return rapid.IntRange(0, sides-1).Draw(t, what) },
		fatal: t.Fatalf,
	}
}

// byteDice rolls what the bytes say, and zeros when they have run out.
func byteDice(t *testing.T, from []byte) *dice {
	t.Helper()
	return &dice{
		roll: func(_ string, sides int) int {
			if len(from) == 0 {
				return 0
			}
			n := int(from[0])
			from = from[1:]
			return n % sides
		},
		fatal: t.Fatalf,
	}
}

// world is a cluster in which things happen, with batches that look on.
type world struct {
	dice    *dice
	books   ledger.Ledger
	tasks   []id.Task
	named   int
	batches []*watched
	kinds   int // of agents
	agents  int
	extras  [][]string // partitions beside one of each type
}

// watched is a batch with what it should know.
type watched struct {
	*placement.Batch
	request placement.Request // with the siblings of now
}

// sizes are of few kinds, so that ties are common, and some of several partitions
// of a type.
var sizes = []string{
	"cpus 4, mem 4, ports 10-12", "cpus 4, mem 4, ports 10-12", "cpus 2, mem 8, ports 10", "mem 4, keys {x,y}, gpus 2", "cpus 4, mem 4, ports 10-12",
	"cpus 6, mem 4, disk 5, gpus 1, ports 11-14", "cpus 4, keys {x,z}, slots 3-6", "cpus 1, keys 3", "",
}

// setAgent adds an agent, or changes one.
func (w *world) setAgent() {
	a := agent(w.dice, w.agent(), one(w.dice, "size", sizes[:min(w.kinds, len(sizes))]...),
		one(w.dice, "attributes", []string{"", "zone=a", "zone=b", "zone=b host=h1", "zone=a host=h1 rack=r1", "zone=c rack=r1", "rack=r2", "host=a3 rack=r2"}[:min(3*w.kinds, 8)]...))
	weights := one(w.dice, "weights", [][]int64{{1000}, {1000}, {1000}, {1000, 1500, 2000}}[:min(2*w.kinds, 4)]...)
	before := one(w.dice, "before names", "", "", "", "old-") // what is claimed of "keys" may be of another kind than "old-keys"
	for i := range a.Partitions {
		a.Partitions[i].ID = id.Partition(before) + a.Partitions[i].ID
		a.Partitions[i].Weight = one(w.dice, "weight", weights...)
	}
	for i, extra := range one(w.dice, "more", w.extras...) {
		for of, q := range vector(w.dice, extra).All() {
			a.Partitions = append(a.Partitions, ledger.Partition{
				ID: id.Partition(fmt.Sprintf("more-%d", i)), Type: of, Quantity: q, Weight: one(w.dice, "weight", []int64{3000, 500, 1000, 3333}[:min(w.kinds, 4)]...),
			})
		}
	}
	a.Closed = w.dice.roll("closed", 6) == 0
	if err := w.books.SetAgent(a); err != nil && !errors.Is(err, ledger.ErrInUse) && !errors.Is(err, ledger.ErrInvalid) {
		w.dice.Fatal(err)
	}
}

func (w *world) agent() id.Agent { return id.Agent(fmt.Sprintf("a%d", w.dice.roll("agent", w.agents))) }

func (w *world) request() placement.Request {
	request := placement.Request{
		Service: "web",
		Resources: vector(w.dice, one(w.dice, "wanted", "cpus 1", "cpus 0.5", "cpus 1", "cpus 0.1", "cpus 1, mem 1", "cpus 0.2, mem 1", "cpus 3", "cpus 1.5", "cpus 3.5, mem 1", "cpus 2, mem 1", "mem 3", "", "cpus 3, mem 4", "cpus 9", "keys {x}",
			"gpus 1", "gpus 1, cpus 0.001", "cpus 1, disk 2", "slots 4", "slots 3-4, cpus 1", "keys 1", "ports 11", "cpus 0, mem 1")),
		Spread: one(w.dice, "spread", nil, nil, []string{"zone"}, []string{"host"}, []string{"zone", "rack"}, []string{"rack", "zone"},
			[]string{"host", "zone"}, []string{"agent", "zone"}, []string{"zone", "zone"}),
		Pools: one(w.dice, "pools", nil, nil, nil, []id.Pool{"web"}, []id.Pool{"spare", "web"}, []id.Pool{"none"}),
		Where: one(w.dice, "where", nil, nil, nil, nil, where(in("zone", "a")), where(has("zone"), notIn("zone", "b")), where(hasNot("zone")),
			where(notIn("agent", "a1")), where(in("zone", "a", "b"), has("rack")), where(in("host", "h1", "a2"))),
		Siblings: make(map[id.Agent]int),
	}
	for i, number := range one(w.dice, "ports", nil, nil, nil, nil, []int64{0}, []int64{0, 0}, []int64{11}, []int64{0, 11}, []int64{11, 11}) {
		request.Ports = append(request.Ports, ledger.PortWish{Name: fmt.Sprintf("p%d", i), Number: number})
	}
	for range w.dice.roll("siblings", 4) {
		request.Siblings[w.agent()]++
	}
	return request
}

// claim takes a place that was chosen, and counts it as a sibling for the batch that
// chose it.
func (w *world) claim(choice placement.Choice, by *watched) {
	w.named++
	task := id.Task(fmt.Sprintf("t%d", w.named))
	if err := w.books.Claim(choice.Claim(task)); err != nil {
		w.dice.fatal("what was chosen cannot be claimed: %v", err)
	}
	w.tasks = append(w.tasks, task)
	if by != nil {
		by.count(choice.Agent, 1)
	}
}

func (b *watched) count(on id.Agent, n int) {
	b.Count(on, n)
	if b.request.Siblings[on] += n; b.request.Siblings[on] == 0 {
		delete(b.request.Siblings, on)
	}
}

// happen has one thing happen.
func (w *world) happen() {
	switch w.dice.roll("what", 12) {
	case 0:
		w.setAgent()
	case 1:
		_ = w.books.RemoveAgent(w.agent()) // refused while it is in use
	case 2:
		_ = w.books.CloseAgent(w.agent()) // refused if unknown, as below
	case 3:
		_ = w.books.OpenAgent(w.agent())
	case 4:
		setPool(w.dice, &w.books, one(w.dice, "pool", id.Pool("web"), "spare"), one(w.dice, "quantity", "", "cpus 3", "cpus 2, ports 1", "mem 5"), w.dice.roll("priority", 3))
	case 5, 6:
		if len(w.tasks) > 0 {
			i := w.dice.roll("task", len(w.tasks))
			w.books.Release(w.tasks[i])
			w.tasks = slices.Delete(w.tasks, i, i+1)
		}
	case 7:
		w.watch()
	case 8:
		if len(w.batches) > 0 {
			b := one(w.dice, "batch", w.batches...)
			on := w.agent()
			b.count(on, one(w.dice, "by", 1, -b.request.Siblings[on]))
		}
	case 9:
		request := w.request()
		for range w.dice.roll("avoided", 3) {
			request.Avoid = append(request.Avoid, w.agent())
		}
		if w.dice.roll("only", 6) == 0 {
			request.Only = w.agent()
		}
		if choice, ok := w.check(request, func() (placement.Choice, error) { return placement.Choose(&w.books, request) }); ok {
			w.claim(choice, nil)
		}
	default:
		if len(w.batches) > 0 {
			b := one(w.dice, "batch", w.batches...)
			if choice, ok := w.check(b.request, b.Next); ok {
				w.claim(choice, b)
			}
		}
	}
}

// watch has a batch look on: a new one, or one that begins again for another service.
func (w *world) watch() {
	request := w.request()
	if len(w.batches) > 0 && w.dice.roll("again", 2) == 0 {
		b := one(w.dice, "batch", w.batches...)
		alike := b.request
		alike.Pools, alike.Siblings = request.Pools, request.Siblings
		if !b.Again(alike) {
			w.dice.fatal("%+v is not asked for again by %+v", b.request, alike)
		}
		b.request = alike
		b.request.Siblings = maps.Clone(request.Siblings)
		return
	}
	b := &watched{placement.NewBatch(&w.books, request), request}
	b.request.Siblings = maps.Clone(request.Siblings)
	w.batches = append(w.batches[max(0, len(w.batches)-2):], b)
}

// check compares what is chosen with what the oracle chooses.
func (w *world) check(request placement.Request, choose func() (placement.Choice, error)) (placement.Choice, bool) {
	list := oracle(&w.books, request)
	pool, drawn := bestPool(&w.books, request)

	got, err := choose()

	if !drawn || len(list) == 0 {
		if _, refused := errors.AsType[*placement.RefusedError](err); !refused || err.Error() == "there was no room" {
			w.dice.fatal("chosen %+v, %v; the oracle: pool %q (%v), agents %+v", got, err, pool, drawn, list)
		}
		return got, false
	}
	fitted, misfit := w.books.Fit(list[0].name, request.Resources, request.Ports)
	if misfit != nil {
		w.dice.Fatal(misfit)
	}
	sameSlice := func(a, b ledger.Slice) bool { return a.Partition == b.Partition && a.Quantity.Equal(b.Quantity) }
	if err != nil || got.Agent != list[0].name || got.Pool != pool || !slices.EqualFunc(got.Slices, fitted.Slices, sameSlice) || !slices.Equal(got.Ports, fitted.Ports) {
		w.dice.fatal("chosen %+v, %v;\nthe oracle: pool %q, %+v, agents %+v", got, err, pool, fitted, list)
	}
	if why := whyOf(&w.books, request, list[0], pool); got.Why.String() != why {
		w.dice.fatal("because %q, want %q", got.Why, why)
	}
	return got, true
}

// whyOf says the obvious way what spoke for an agent.
func whyOf(books *ledger.Ledger, request placement.Request, best rated, pool id.Pool) string {
	view, _ := books.Agent(best.name)
	parts := []string{fmt.Sprintf("agent %s fits best", best.name)}
	if request.Only != "" {
		parts[0] = fmt.Sprintf("agent %s is asked for", best.name)
	}
	if best.avoided {
		parts = append(parts, "though it is to be avoided")
	}
	if best.weight != 1000 && best.weight != 0 {
		parts = append(parts, fmt.Sprintf("mean weight %v", float64(best.weight)/1000))
	}
	siblings := 0
	for _, n := range request.Siblings {
		siblings += n
	}
	var told []string
	for i, name := range append(slices.Clone(request.Spread), "host", "agent") {
		got, ok := value(view, name)
		if siblings == 0 || slices.Contains(told, name) || name == "host" && got == string(best.name) {
			continue
		}
		told = append(told, name)
		where := fmt.Sprintf("in %s %s", name, got)
		switch {
		case name == "agent":
			where = "on the agent"
		case name == "host":
			where = "on host " + got
		case !ok:
			where = "without " + name
		}
		parts = append(parts, fmt.Sprintf("%d of %d instances %s", best.crowds[i], siblings, where))
	}
	if of := dominant(books, request); of != "" {
		parts = append(parts, fmt.Sprintf("leaves %s %s", of, resource.Format(of, resource.Scalar(best.leftover))))
	}
	if len(request.Pools) > 1 {
		parts = append(parts, fmt.Sprintf("from pool %s, the highest with room", pool))
	}
	return strings.Join(parts, ", ")
}

// play has things happen in a cluster.
func play(d *dice, things int) {
	w := &world{dice: d, kinds: one(d, "kinds", 100, 1, 2), agents: one(d, "names", 9, 9, 24)}
	w.extras = one(d, "extras",
		[][]string{nil, nil, {"cpus 1"}, {"cpus 2", "mem 1"}, {"ports 20-21", "cpus 0.5", "gpus 1"}},
		[][]string{nil}, [][]string{{"cpus 2"}}, [][]string{{"cpus 2", "mem 2"}})
	if d.roll("sorted", 3) > 0 {
		placement.Sort(&w.books)
	}
	for range 1 + d.roll("agents", 2*w.agents) {
		w.setAgent()
	}
	for range things {
		w.happen()
		if err := w.books.Imbalance(); err != nil {
			d.Fatal(err)
		}
	}
}

// TestPlacesAgreeWithOracle checks, whatever happens in a cluster, that each place is
// the oracle's, for the same reasons.
func TestPlacesAgreeWithOracle(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { play(rapidDice(t), rapid.IntRange(1, 80).Draw(t, "things")) })
}

// FuzzPlaces is the same for what a fuzzer makes up.
func FuzzPlaces(f *testing.F) {
	f.Add([]byte("a cluster of nine agents and what happens in it"))
	f.Fuzz(func(t *testing.T, from []byte) { play(byteDice(t, from), min(len(from)/6, 200)) })
}
