package fairshare_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/core/fairshare"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

// vector returns so many thousandths of cores and bytes of memory.
func vector(cpus, mem int64) resource.Vector {
	return resource.Vector{}.With(resource.CPUs, resource.Scalar(cpus)).With(resource.Mem, resource.Scalar(mem))
}

// standing is an account as the oracle knows it: all that was ever charged, and
// nothing that was counted before.
type standing struct {
	account fairshare.Account
	items   []int
}

// oracle counts everything anew, each time it is asked.
type oracle struct {
	totals     [2]int64
	priorities map[id.Pool]int
	weights    map[id.Pool]float64
	charged    map[fairshare.Account][][2]int64
	waiting    map[fairshare.Account][]int
}

func newOracle() *oracle {
	return &oracle{
		priorities: make(map[id.Pool]int), weights: make(map[id.Pool]float64),
		charged: make(map[fairshare.Account][][2]int64), waiting: make(map[fairshare.Account][]int),
	}
}

// share returns the dominant share of all accounts that match.
func (o *oracle) share(weight float64, match func(fairshare.Account) bool) float64 {
	var held [2]int64
	for account, list := range o.charged {
		for _, amounts := range list {
			if match(account) {
				held[0], held[1] = held[0]+amounts[0], held[1]+amounts[1]
			}
		}
	}
	share := 0.0
	for i, total := range o.totals {
		if total > 0 {
			share = max(share, float64(held[i])/float64(total))
		}
	}
	return share / weight
}

func (o *oracle) userShare(a fairshare.Account) float64 {
	return o.share(1, func(b fairshare.Account) bool { return a == b })
}

func (o *oracle) poolShare(name id.Pool) float64 {
	return o.share(cmp.Or(o.weights[name], 1), func(b fairshare.Account) bool { return b.Pool == name })
}

func (o *oracle) compare(a, b fairshare.Account) int {
	return cmp.Or(
		cmp.Compare(o.priorities[b.Pool], o.priorities[a.Pool]), cmp.Compare(o.poolShare(a.Pool), o.poolShare(b.Pool)),
		cmp.Compare(a.Pool, b.Pool), cmp.Compare(o.userShare(a), o.userShare(b)), cmp.Compare(a.User, b.User),
	)
}

func (o *oracle) order() []standing {
	var list []standing
	for _, account := range slices.SortedFunc(maps.Keys(o.waiting), o.compare) {
		if items := slices.Sorted(slices.Values(o.waiting[account])); len(items) > 0 {
			list = append(list, standing{account, items})
		}
	}
	return list
}

// TestTreeIsAsIfCountedAnew holds a tree with two lines to the oracle after any
// moves: shares, the order of those who wait, and ties, which go by name.
func TestTreeIsAsIfCountedAnew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o, tree := newOracle(), fairshare.New()
		lines := []*fairshare.Line[int]{fairshare.NewLine(tree, cmp.Compare[int])}
		in := []map[fairshare.Account][]int{{}}
		account := rapid.Custom(func(t *rapid.T) fairshare.Account {
			return fairshare.Account{Pool: id.Pool(rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "pool")), User: rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "user")}
		})
		amount := rapid.Int64Range(0, 4)
		item := 0
		t.Repeat(map[string]func(*rapid.T){
			"total": func(t *rapid.T) {
				o.totals = [2]int64{rapid.Int64Range(0, 20).Draw(t, "cpus"), rapid.Int64Range(0, 20).Draw(t, "mem")}
				tree.SetTotal(resource.CPUs, o.totals[0])
				tree.SetTotal(resource.Mem, o.totals[1])
			},
			"pool": func(t *rapid.T) {
				name := account.Draw(t, "a").Pool
				o.priorities[name], o.weights[name] = rapid.IntRange(0, 1).Draw(t, "priority"), rapid.SampledFrom([]float64{0.5, 1, 2}).Draw(t, "weight")
				tree.SetPool(name, o.priorities[name], o.weights[name])
			},
			"charge": func(t *rapid.T) {
				a, amounts := account.Draw(t, "a"), [2]int64{amount.Draw(t, "cpus"), amount.Draw(t, "mem")}
				o.charged[a] = append(o.charged[a], amounts)
				tree.Charge(a, vector(amounts[0], amounts[1]))
			},
			"refund": func(t *rapid.T) {
				a := account.Draw(t, "a")
				if n := len(o.charged[a]); n > 0 {
					tree.Refund(a, vector(o.charged[a][0][0], o.charged[a][0][1]))
					o.charged[a] = o.charged[a][1:]
				}
			},
			"line": func(*rapid.T) {
				if len(lines) < 2 {
					lines, in = append(lines, fairshare.NewLine(tree, cmp.Compare[int])), append(in, map[fairshare.Account][]int{})
				}
			},
			"wait": func(t *rapid.T) {
				i, a := rapid.IntRange(0, len(lines)-1).Draw(t, "line"), account.Draw(t, "a")
				item++
				lines[i].Add(a, item*7%100)
				in[i][a] = append(in[i][a], item*7%100)
			},
			"leave": func(t *rapid.T) {
				i, a := rapid.IntRange(0, len(lines)-1).Draw(t, "line"), account.Draw(t, "a")
				if n := len(in[i][a]); n > 0 {
					lines[i].Remove(a, in[i][a][n-1])
					in[i][a] = in[i][a][:n-1]
				} else if lines[i].Remove(a, -1) {
					t.Fatalf("%v left, and was not there", a)
				}
			},
			"": func(t *rapid.T) {
				for i, line := range lines {
					o.waiting = in[i]
					checkLine(t, o, tree, line)
				}
			},
		})
	})
}

func checkLine(t *rapid.T, o *oracle, tree *fairshare.Tree, line *fairshare.Line[int]) {
	t.Helper()
	want := o.order()
	var got []standing
	for account, item := range line.All() {
		if n := len(got); n == 0 || got[n-1].account != account {
			got = append(got, standing{account: account})
		}
		got[len(got)-1].items = append(got[len(got)-1].items, item)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("in line are %v, want %v", got, want)
	}
	if first, priority, ok := line.First(); ok != (len(want) > 0) || ok && (first != want[0].items[0] || priority != o.priorities[want[0].account.Pool]) {
		t.Fatalf("the first is %d of priority %d, %t, of %v", first, priority, ok, want)
	}
	for account := range o.charged {
		if tree.Share(account) != o.userShare(account) || tree.PoolShare(account.Pool) != o.poolShare(account.Pool) {
			t.Fatalf("%v has %g, its pool %g, want %g and %g", account, tree.Share(account), tree.PoolShare(account.Pool), o.userShare(account), o.poolShare(account.Pool))
		}
		if copied := tree.Clone(); copied.Share(account) != tree.Share(account) || copied.PoolShare(account.Pool) != tree.PoolShare(account.Pool) {
			t.Fatalf("the copy of %v has %g", account, copied.Share(account))
		}
	}
}

// party is a user with tasks without end, all alike.
type party struct {
	account fairshare.Account
	task    [2]int64
	tasks   int64
}

// fill gives turns to parties that wait for ever until the cluster is full, or the
// one whose turn it is does not fit.
func fill(tree *fairshare.Tree, total [2]int64, parties []*party) {
	line := fairshare.NewLine(tree, func(a, b *party) int { return cmp.Compare(a.account.User, b.account.User) })
	for _, p := range parties {
		line.Add(p.account, p)
	}
	for {
		p, _, _ := line.First()
		if total[0] -= p.task[0]; total[0] < 0 {
			return
		}
		if total[1] -= p.task[1]; total[1] < 0 {
			return
		}
		p.tasks++
		tree.Charge(p.account, vector(p.task[0], p.task[1]))
	}
}

func drawTotal(t *rapid.T, tree *fairshare.Tree) [2]int64 {
	total := [2]int64{rapid.Int64Range(50, 500).Draw(t, "cpus"), rapid.Int64Range(50, 500).Draw(t, "mem")}
	tree.SetTotal(resource.CPUs, total[0])
	tree.SetTotal(resource.Mem, total[1])
	return total
}

func drawParty(t *rapid.T, a fairshare.Account) *party {
	return &party{account: a, task: [2]int64{rapid.Int64Range(1, 12).Draw(t, "c"), rapid.Int64Range(1, 12).Draw(t, "m")}}
}

// TestNobodyEnvies: no user would rather have what another one of the pool got
// without its newest task: it would not run more tasks with that.
func TestNobodyEnvies(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tree := fairshare.New()
		total := drawTotal(t, tree)
		var parties []*party
		for i := range rapid.IntRange(2, 5).Draw(t, "users") {
			parties = append(parties, drawParty(t, fairshare.Account{Pool: "p", User: string(rune('a' + i))}))
		}

		fill(tree, total, parties)

		for _, u := range parties {
			for _, v := range parties {
				rest := max(0, v.tasks-1)
				if could := min(rest*v.task[0]/u.task[0], rest*v.task[1]/u.task[1]); could > u.tasks {
					t.Fatalf("%+v envies %+v: it could run %d tasks", *u, *v, could)
				}
			}
		}
	})
}

// TestSharesAreLevel: when all wait for ever, no share is above another one by more
// than the newest task, weights considered; and so it is between pools.
func TestSharesAreLevel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tree := fairshare.New()
		total := drawTotal(t, tree)
		var parties []*party
		weights := map[id.Pool]float64{}
		for i := range rapid.IntRange(2, 4).Draw(t, "pools") {
			name := id.Pool(rune('a' + i))
			weights[name] = rapid.SampledFrom([]float64{0.5, 1, 2, 3}).Draw(t, "weight")
			tree.SetPool(name, 0, weights[name])
			parties = append(parties, drawParty(t, fairshare.Account{Pool: name, User: "u"}))
		}

		fill(tree, total, parties)

		for _, u := range parties {
			for _, v := range parties {
				one := max(float64(u.task[0])/float64(total[0]), float64(u.task[1])/float64(total[1])) / weights[u.account.Pool]
				if a, b := tree.PoolShare(u.account.Pool), tree.PoolShare(v.account.Pool); a-one > b+1e-9 {
					t.Fatalf("%s has %g, a task of which is %g, and %s has %g", u.account.Pool, a, one, v.account.Pool, b)
				}
			}
		}
	})
}

// TestMoreWeightIsNeverLess: with more weight, a pool's turn comes no later, and
// when all wait for ever it gets no fewer tasks.
func TestMoreWeightIsNeverLess(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		light, heavy := fairshare.New(), fairshare.New()
		total := drawTotal(t, light)
		heavy.SetTotal(resource.CPUs, total[0])
		heavy.SetTotal(resource.Mem, total[1])
		heavy.SetPool("b", 0, rapid.SampledFrom([]float64{1.5, 2, 5}).Draw(t, "weight"))
		task := [2]int64{rapid.Int64Range(1, 12).Draw(t, "c"), rapid.Int64Range(1, 12).Draw(t, "m")}
		got := map[*fairshare.Tree]int64{}
		for _, tree := range []*fairshare.Tree{light, heavy} {
			one := &party{account: fairshare.Account{Pool: "a", User: "u"}, task: task}
			two := &party{account: fairshare.Account{Pool: "b", User: "u"}, task: task}
			fill(tree, total, []*party{one, two})
			got[tree] = two.tasks
		}

		if got[heavy] < got[light] {
			t.Fatalf("with more weight it got %d tasks, with less %d", got[heavy], got[light])
		}
		a, b := fairshare.Account{Pool: "a", User: "u"}, fairshare.Account{Pool: "b", User: "u"}
		light.Charge(b, vector(task[0], task[1]))
		before := light.Compare(b, a)
		light.SetPool("b", 0, 2)
		if after := light.Compare(b, a); after > before {
			t.Fatalf("with more weight its turn comes later: %d, before %d", after, before)
		}
	})
}
