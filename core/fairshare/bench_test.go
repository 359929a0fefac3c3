package fairshare_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/aloft-run/aloft/core/fairshare"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
)

const (
	roundAgents = 10_000
	roundRoles  = 50
)

// agentHas is what one of the agents has: they differ, so that shares do.
func agentHas(n int) resource.Vector { return vector(int64(8_000+1_000*(n%9)), int64(16<<30+n%7<<30)) }

// BenchmarkRound gives what each of 10,000 agents has to the role of 50 whose turn
// it is. Naive counts and sorts all shares before each agent.
func BenchmarkRound(b *testing.B) {
	b.Run("tree", func(b *testing.B) {
		for b.Loop() {
			tree := fairshare.New()
			tree.SetTotal(resource.CPUs, roundAgents*12_000)
			tree.SetTotal(resource.Mem, roundAgents*19<<30)
			line := fairshare.NewLine(tree, cmp.Compare[int])
			for role := range roundRoles {
				tree.SetPool(id.Pool(fmt.Sprintf("r%02d", role)), 0, float64(1+role%3))
				line.Add(fairshare.Account{Pool: id.Pool(fmt.Sprintf("r%02d", role))}, role)
			}
			for n := range roundAgents {
				role, _, _ := line.First()
				tree.Charge(fairshare.Account{Pool: roles[role]}, agentHas(n))
			}
		}
	})
	b.Run("naive", func(b *testing.B) {
		for b.Loop() {
			held := make([][2]int64, roundRoles)
			order := make([]int, roundRoles)
			for role := range order {
				order[role] = role
			}
			share := func(role int) float64 {
				return max(float64(held[role][0])/(roundAgents*12_000), float64(held[role][1])/float64(roundAgents*19<<30)) / float64(1+role%3)
			}
			for n := range roundAgents {
				slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(share(a), share(b)), cmp.Compare(a, b)) })
				for of, q := range agentHas(n).All() {
					if i := 0; of == resource.Mem {
						held[order[0]][i+1] += q.Amount()
					} else {
						held[order[0]][i] += q.Amount()
					}
				}
			}
		}
	})
}

var roles = func() (names []id.Pool) {
	for role := range roundRoles {
		names = append(names, id.Pool(fmt.Sprintf("r%02d", role)))
	}
	return names
}()
