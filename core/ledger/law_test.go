package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
)

// machine drives a ledger at random. It draws few names and small amounts, so
// that collisions and shortages are common.
type machine struct {
	books *ledger.Ledger
	left  map[*ledger.Ledger]string // books that were left for their clones, and what they said
	held  map[id.Task]ledger.Claim  // what the machine believes
}

func drawAgentID(t *rapid.T) id.Agent {
	return rapid.SampledFrom([]id.Agent{"a1", "a2", "a3"}).Draw(t, "agent")
}

func drawPoolID(t *rapid.T) id.Pool {
	return rapid.SampledFrom([]id.Pool{"", "web", "spare"}).Draw(t, "pool")
}

func drawTask(t *rapid.T) id.Task {
	return rapid.SampledFrom([]id.Task{"t1", "t2", "t3", "t4", "t5", "t6"}).Draw(t, "task")
}

func drawAgent(t *rapid.T) ledger.Agent {
	texts := rapid.SampledFrom([][]string{
		{"cpus1:cpus 4", "mem1:mem 4", "ports1:ports 10-14"},
		{"cpus1:cpus 1", "cpus2:cpus 2", "mem1:mem 2", "ports1:ports 10-11", "ports2:ports 20-21"},
		{"cpus2:cpus 3", "ports1:ports 12-13", "ports2:ports 20-24", "keys1:keys {a,b,c}"},
		{"cpus1:cpus 0", "mem1:mem 8", "ports2:ports 10-11", "keys1:keys {b}"},
		{"cpus1:mem 3"},
	}).Draw(t, "partitions")
	a := ledger.Agent{ID: drawAgentID(t), Closed: rapid.Bool().Draw(t, "closed")}
	for _, text := range texts {
		weight := rapid.SampledFrom([]int64{1, 500, 1000, 2000}).Draw(t, "weight")
		a.Partitions = append(a.Partitions, partition(t, text, weight))
	}
	return a
}

func drawWanted(t *rapid.T) (resource.Vector, []ledger.PortWish) {
	text := rapid.SampledFrom([]string{
		"", "cpus 0.5", "cpus 2, mem 1", "mem 3", "keys {a}", "cpus 1, keys {b,c}", "ports 11-12", "cpus 0, mem 1", "vlans 7-7",
	}).Draw(t, "wanted")
	ports := rapid.SliceOfN(rapid.SampledFrom([]int64{0, 0, 0, 11, 20}), 0, 3).Draw(t, "ports")
	var wishes []ledger.PortWish
	for i, number := range ports {
		wishes = append(wishes, ledger.PortWish{Name: fmt.Sprintf("p%d", i), Number: number})
	}
	return vector(t, text), wishes
}

func (m *machine) setAgent(t *rapid.T) {
	a := drawAgent(t)
	if err := m.books.SetAgent(a); err != nil && !errors.Is(err, ledger.ErrInUse) {
		t.Fatalf("set agent: %v", err)
	}
}

func (m *machine) closeAgent(t *rapid.T)  { _ = m.books.CloseAgent(drawAgentID(t)) }
func (m *machine) openAgent(t *rapid.T)   { _ = m.books.OpenAgent(drawAgentID(t)) }
func (m *machine) removeAgent(t *rapid.T) { _ = m.books.RemoveAgent(drawAgentID(t)) }
func (m *machine) deletePool(t *rapid.T)  { _ = m.books.DeletePool(drawPoolID(t)) }

func (m *machine) setPool(t *rapid.T) {
	pool := ledger.Pool{
		ID:       rapid.SampledFrom([]id.Pool{"web", "spare"}).Draw(t, "pool"),
		Quantity: vector(t, rapid.SampledFrom([]string{"", "cpus 0", "cpus 2", "cpus 4, mem 3", "ports 1-3", "keys {x}"}).Draw(t, "quantity")),
	}
	if err := m.books.SetPool(pool); err != nil {
		t.Fatal(err)
	}
}

// claimFit claims what Fit finds. It is granted unless the task already holds a
// claim or the pool is short.
func (m *machine) claimFit(t *rapid.T) {
	on, task := drawAgentID(t), drawTask(t)
	wanted, wishes := drawWanted(t)
	fitted, err := m.books.Fit(on, wanted, wishes)
	if err != nil {
		return
	}
	c := ledger.Claim{Task: task, Agent: on, Pool: drawPoolID(t), Slices: fitted.Slices}
	_, held := m.held[task]
	pool, known := m.books.Pool(c.Pool)
	drawn := c.Pool == "" || known && pool.Shortage(wanted, len(wishes)) == nil

	err = m.books.Claim(c)

	if granted := err == nil; granted != (drawn && !held) {
		t.Fatalf("claim %+v: %v; the task held one: %v, the pool has room: %v", c, err, held, drawn)
	}
	if err == nil {
		m.held[task] = c
	}
}

// claimAny claims slices that may be wrong in every way.
func (m *machine) claimAny(t *rapid.T) {
	c := drawClaim(t)
	if m.books.Claim(c) == nil {
		m.held[c.Task] = c
	}
}

// restoreAny restores what may never have been claimed.
func (m *machine) restoreAny(t *rapid.T) {
	c := drawClaim(t)
	if m.books.Restore(c) == nil {
		m.held[c.Task] = c
	}
}

func drawClaim(t *rapid.T) ledger.Claim {
	c := ledger.Claim{Task: drawTask(t), Agent: drawAgentID(t), Pool: drawPoolID(t)}
	texts := rapid.SliceOfN(rapid.SampledFrom([]string{
		"cpus1:cpus 1", "cpus2:cpus 0.5", "mem1:mem 1", "cpus1:mem 2", "ports1:ports 10-11", "ports2:ports 20", "ports2:ports 10", "keys1:keys {a}", "keys1:keys 1",
	}), 0, 3).Draw(t, "slices")
	for _, text := range texts {
		c.Slices = append(c.Slices, slice(t, text))
	}
	return c
}

func (m *machine) release(t *rapid.T) {
	task := drawTask(t)
	believed, held := m.held[task]

	got, ok := m.books.Release(task)

	if ok != held {
		t.Fatalf("release of %s gives back a claim: %v, it was held: %v", task, ok, held)
	}
	if ok && (got.Agent != believed.Agent || got.Pool != believed.Pool || !slices.EqualFunc(got.Slices, believed.Slices, sameSlice)) {
		t.Fatalf("release of %s gives back %+v, it held %+v", task, got, believed)
	}
	if _, again := m.books.Release(task); again {
		t.Fatalf("task %s gives back twice", task)
	}
	delete(m.held, task)
}

func sameSlice(a, b ledger.Slice) bool {
	return a.Partition == b.Partition && a.Quantity.Equal(b.Quantity)
}

// check holds all laws against the books.
func (m *machine) check(t *rapid.T) {
	if err := m.books.Imbalance(); err != nil {
		t.Fatalf("the books do not balance: %v", err)
	}
	m.checkHeld(t)
	m.checkSums(t)
	m.checkReload(t)
}

// checkHeld adds up what the machine believes is held: it is what the books
// say, and no number or member is held twice.
func (m *machine) checkHeld(t *rapid.T) {
	type key struct {
		agent id.Agent
		part  id.Partition
	}
	claimed := map[key]int64{}
	ports := map[id.Agent]map[int64]id.Task{}
	for task, c := range m.held {
		for _, s := range c.Slices {
			claimed[key{c.Agent, s.Partition}] += s.Quantity.Amount()
			for _, r := range s.Quantity.Ranges() {
				for port := r.First; port <= r.Last; port++ {
					if ports[c.Agent] == nil {
						ports[c.Agent] = map[int64]id.Task{}
					}
					if other, taken := ports[c.Agent][port]; taken {
						t.Fatalf("tasks %s and %s both hold port %d of %s", task, other, port, c.Agent)
					}
					ports[c.Agent][port] = task
				}
			}
		}
	}
	for a := range m.books.Agents() {
		for p := range a.Partitions() {
			at := key{a.ID(), p.ID}
			if b := p.Balance; b.Claimed != claimed[at] || b.Free+b.Claimed != b.Quantity+b.Outside || b.Quantity != p.Quantity.Amount() {
				t.Fatalf("partition %s of %s: %+v with %d claimed", p.ID, a.ID(), b, claimed[at])
			}
			delete(claimed, at)
		}
	}
	if len(claimed) > 0 {
		t.Fatalf("claims on what is not there: %v", claimed)
	}
	if n := len(slices.Collect(m.books.Claims())); n != len(m.held) {
		t.Fatalf("%d claims, want %d", n, len(m.held))
	}
}

// checkSums compares the running sums with plain loops.
func (m *machine) checkSums(t *rapid.T) {
	weighted, quantity, free := map[resource.Type]float64{}, map[resource.Type]int64{}, map[resource.Type]int64{}
	for a := range m.books.Agents() {
		for p := range a.Partitions() {
			quantity[p.Type] += p.Quantity.Amount()
			free[p.Type] += p.Free.Amount()
			if !a.Closed() {
				weighted[p.Type] += float64(p.Weight) * float64(max(0, p.Free.Amount()))
			}
		}
	}
	for _, of := range []resource.Type{"cpus", "mem", "ports", "keys", "vlans"} {
		if r := m.books.R(of); r != weighted[of]/1000 {
			t.Fatalf("R(%s) = %v, want %v", of, r, weighted[of]/1000)
		}
		if m.books.Total(of) != quantity[of] || m.books.Free(of) != free[of] {
			t.Fatalf("%s: total %d and free %d, want %d and %d", of, m.books.Total(of), m.books.Free(of), quantity[of], free[of])
		}
	}
}

// checkReload loads new books from what the old ones tell, as a new leader does.
func (m *machine) checkReload(t *rapid.T) {
	var again ledger.Ledger
	for a := range m.books.Agents() {
		set(t, &again, a.Agent())
	}
	for p := range m.books.Pools() {
		if err := again.SetPool(p.Pool()); err != nil {
			t.Fatal(err)
		}
	}
	for c := range m.books.Claims() {
		if err := again.Restore(c); err != nil {
			t.Fatalf("restore: %v", err)
		}
	}
	if err := again.Imbalance(); err != nil {
		t.Fatalf("restored books do not balance: %v", err)
	}
	for _, of := range m.books.Types() {
		if got, want := again.Balance(of), m.books.Balance(of); got != want {
			t.Fatalf("%s after a restore: %+v, want %+v", of, got, want)
		}
	}
	if got, want := fmt.Sprint(again.Overcommitted()), fmt.Sprint(m.books.Overcommitted()); got != want {
		t.Fatalf("overcommitted after a restore: %s, want %s", got, want)
	}
}

// TestBooksBalance moves at random and checks every law after each move.
func TestBooksBalance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := machine{books: new(ledger.Ledger), held: map[id.Task]ledger.Claim{}}
		t.Repeat(map[string]func(*rapid.T){
			"set agent":    m.setAgent,
			"close agent":  m.closeAgent,
			"open agent":   m.openAgent,
			"remove agent": m.removeAgent,
			"set pool":     m.setPool,
			"delete pool":  m.deletePool,
			"claim a fit":  m.claimFit,
			"claim":        m.claimAny,
			"restore":      m.restoreAny,
			"release":      m.release,
			"clone":        m.clone,
			"":             m.check,
		})
	})
}

// clone goes on with a clone of the books. What happens to it does not change the
// books that were left.
func (m *machine) clone(t *rapid.T) {
	next := m.books.Clone()
	was, is := tell(m.books), tell(next)
	if was != is {
		t.Fatalf("the clone says\n%s\nwant\n%s", is, was)
	}
	if m.left == nil {
		m.left = make(map[*ledger.Ledger]string)
	}
	m.left[m.books] = was
	m.books = next
	for books, was := range m.left {
		if is := tell(books); is != was {
			t.Fatalf("books that were left say\n%s\nand said\n%s", is, was)
		}
	}
}

// tell writes down all that books say.
func tell(books *ledger.Ledger) string {
	var text strings.Builder
	for a := range books.Agents() {
		fmt.Fprintf(&text, "%s closed %t, %d claims\n", a.ID(), a.Closed(), a.ClaimCount())
		for p := range a.Partitions() {
			fmt.Fprintf(&text, "  %+v\n", p)
		}
		for of := range a.Types() {
			fmt.Fprintf(&text, "  %s %+v\n", of, a.Balance(of))
		}
	}
	for p := range books.Pools() {
		fmt.Fprintf(&text, "%+v, %d claims\n", p.Pool(), p.ClaimCount())
		for _, of := range p.Types() {
			balance, limited := p.Balance(of)
			fmt.Fprintf(&text, "  %s %+v %t\n", of, balance, limited)
		}
	}
	for c := range books.Claims() {
		fmt.Fprintf(&text, "%+v\n", c)
	}
	for _, of := range books.Types() {
		fmt.Fprintf(&text, "%s %v %+v\n", of, books.R(of), books.Balance(of))
	}
	return text.String()
}

// TestClaimsAreFound checks that of many tasks, which come and go, each is found that
// holds something, and no other.
func TestClaimsAreFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}(-[0-9]{1,9})?[a-z0-9]`), 1, 60, rapid.ID[string]).Draw(t, "names")
		var books ledger.Ledger
		set(t, &books, ledger.Agent{ID: "a1", Partitions: []ledger.Partition{partition(t, "cpus:cpus 100000", ledger.WeightOne)}})
		held := make(map[id.Task]ledger.Claim)
		for i := range rapid.IntRange(0, 200).Draw(t, "moves") {
			task := id.Task(rapid.SampledFrom(names).Draw(t, "task"))
			if want, there := held[task]; there {
				if got, was := books.Release(task); !was || got.Slices[0] != want.Slices[0] {
					t.Fatalf("%s gives back %+v, %v, want %+v", task, got, was, want)
				}
				delete(held, task)
				continue
			}
			held[task] = ledger.Claim{Task: task, Agent: "a1", Slices: []ledger.Slice{{Partition: "cpus", Quantity: resource.Scalar(int64(i + 1))}}}
			if err := books.Claim(held[task]); err != nil {
				t.Fatal(err)
			}
		}

		for _, name := range names {
			got, there := books.ClaimOf(id.Task(name))
			if want, holds := held[id.Task(name)]; there != holds || holds && (got.Task != want.Task || got.Slices[0] != want.Slices[0]) {
				t.Fatalf("%s holds %+v, %v, want %+v, %v", name, got, there, want, holds)
			}
		}
		if err := books.Imbalance(); err != nil {
			t.Fatal(err)
		}
	})
}
