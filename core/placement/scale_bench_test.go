package placement_test

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/placement"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/hugepage"
)

// copiesOf is how many copies a job has.
const copiesOf = 10_000

// asInAMaster has the benchmarks' memory be as a master's is: of huge pages, behind all else
// that a master has.
var asInAMaster = sync.OnceValue(func() []byte {
	hugepage.Heap(1 << 30)
	return make([]byte, 32<<20)
})

// many returns agents of three sizes in ten zones, of two kinds of disk and five
// generations.
func many(b *testing.B, agents int) *ledger.Ledger {
	b.Helper()
	asInAMaster()
	sizes := []string{"cpus 32, mem 64GiB, ports 20000-29999", "cpus 16, mem 64GiB, ports 20000-29999", "cpus 64, mem 128GiB, ports 20000-29999"}
	var books ledger.Ledger
	for i := range agents {
		attributes := fmt.Sprintf("zone=z%d disk=%s gen=g%d", i%10, []string{"ssd", "hdd"}[i/10%2], i/20%5)
		if err := books.SetAgent(agent(b, id.Agent(fmt.Sprintf("agent-%06d", i)), sizes[i%3], attributes)); err != nil {
			b.Fatal(err)
		}
	}
	return &books
}

// request returns what the tasks of a kind ask for.
func request(b *testing.B, kind string) placement.Request {
	b.Helper()
	asked := placement.Request{Resources: vector(b, "cpus 0.1, mem 64MiB")}
	switch kind {
	case "spread":
		asked.Spread, asked.Where = []string{"zone"}, []spec.Constraint{in("disk", "ssd"), notIn("gen", "g4")}
	case "ports":
		asked.Ports = anyPorts("http")
	}
	return asked
}

// names returns the names of tasks, so that making them is not measured.
func names(n int) []id.Task {
	list := make([]id.Task, n)
	for i := range list {
		list[i] = id.Task(fmt.Sprintf("task-1-%07d", i))
	}
	return list
}

// processor returns what the process has used of processors, in nanoseconds: on a busy
// machine the time on the wall says little.
func processor(b *testing.B) int64 {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

// BenchmarkGrowth is the part of BenchmarkPlaces about copies without constraints, in
// steps of ten times as many agents.
func BenchmarkGrowth(b *testing.B) {
	for _, agents := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("agents=%d", agents), func(b *testing.B) { placeBatches(b, agents, "plain") })
	}
}

// placeBatches finds a place for each of many copies of jobs, by a batch for each job,
// and claims it.
func placeBatches(b *testing.B, agents int, kind string) {
	b.Helper()
	books, tasks, asked := many(b, agents), names(b.N), request(b, kind)
	var batch *placement.Batch
	timed(b, b.N, func(i int) {
		if i%copiesOf == 0 && (batch == nil || !batch.Again(asked)) {
			batch = placement.NewBatch(books, asked)
		}
		choice, err := batch.Next()
		if err != nil {
			b.Fatal(err)
		}
		if err := books.Claim(choice.Claim(tasks[i])); err != nil {
			b.Fatal(err)
		}
		batch.Count(choice.Agent, 1)
	})
}

// BenchmarkPlaces finds a place for each of many tasks and claims it: copies of jobs of
// 10,000, by a batch for each, or tasks of services of their own, one by one. Beside
// them are the slow way that knows the same, and the limit: a tree over what is free,
// which knows nothing else.
func BenchmarkPlaces(b *testing.B) {
	for _, agents := range []int{1_000, 10_000, 50_000} {
		for _, kind := range []string{"plain", "spread", "ports"} {
			b.Run(fmt.Sprintf("%s/batch/agents=%d", kind, agents), func(b *testing.B) { placeBatches(b, agents, kind) })
			b.Run(fmt.Sprintf("%s/single/agents=%d", kind, agents), func(b *testing.B) {
				books, tasks, asked := many(b, agents), names(b.N), request(b, kind)
				timed(b, b.N, func(i int) {
					choice, err := placement.Choose(books, asked)
					if err != nil {
						b.Fatal(err)
					}
					if err := books.Claim(choice.Claim(tasks[i])); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
		b.Run(fmt.Sprintf("plain/refused/agents=%d", agents), func(b *testing.B) {
			books := many(b, agents)
			asked := placement.Request{Resources: vector(b, "cpus 64, mem 129GiB"), Ports: anyPorts("http")}
			timed(b, b.N, func(int) {
				if _, err := placement.Choose(books, asked); err == nil {
					b.Fatal("it fits")
				}
			})
		})
		b.Run(fmt.Sprintf("plain/explained/agents=%d", agents), func(b *testing.B) {
			books := many(b, agents)
			asked := placement.Request{Resources: vector(b, "cpus 64, mem 129GiB"), Ports: anyPorts("http")}
			timed(b, 20, func(int) {
				if _, err := placement.Choose(books, asked); err == nil || err.Error() == "" {
					b.Fatal("it fits")
				}
			})
		})
		b.Run(fmt.Sprintf("plain/tree/agents=%d", agents), func(b *testing.B) {
			free := newPlainTree(many(b, agents))
			timed(b, b.N, func(int) { free.place(100, 64<<20) })
		})
	}
	b.Run("plain/oracle/agents=1000", func(b *testing.B) {
		books, tasks, asked := many(b, 1_000), names(b.N), request(b, "plain")
		timed(b, 100, func(i int) {
			best := oracle(books, asked)[0].name
			fitted, err := books.Fit(best, asked.Resources, nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := books.Claim(ledger.Claim{Task: tasks[i], Agent: best, Slices: fitted.Slices}); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// timed does something as often as is asked for, but not more often than most, and
// reports what that took of processors each time.
func timed(b *testing.B, most int, do func(i int)) {
	b.Helper()
	b.ReportAllocs()
	runtime.GC() // of what was made before: the collector would go on with that meanwhile
	b.ResetTimer()
	n := min(b.N, most)
	began := processor(b)
	for i := range n {
		do(i)
	}
	b.ReportMetric(float64(processor(b)-began)/float64(n), "cpu-ns/op")
}

// plainTree is the limit: a tree of the most free cpus and mem below each node, which
// finds the first agent with room.
type plainTree struct {
	first      int // leaf
	cpus, mems []int64
}

func newPlainTree(books *ledger.Ledger) *plainTree {
	t := &plainTree{first: 1}
	for t.first < books.AgentCount() {
		t.first *= 2
	}
	t.cpus, t.mems = make([]int64, 2*t.first), make([]int64, 2*t.first)
	leaf := t.first
	for a := range books.Agents() {
		t.cpus[leaf], t.mems[leaf] = a.Balance(resource.CPUs).Available, a.Balance(resource.Mem).Available
		leaf++
	}
	for i := t.first - 1; i > 0; i-- {
		t.cpus[i], t.mems[i] = max(t.cpus[2*i], t.cpus[2*i+1]), max(t.mems[2*i], t.mems[2*i+1])
	}
	return t
}

func (t *plainTree) place(cpus, mem int64) {
	i := 1
	for i < t.first {
		if i *= 2; t.cpus[i] < cpus || t.mems[i] < mem {
			i++
		}
	}
	t.cpus[i] -= cpus
	t.mems[i] -= mem
	for i /= 2; i > 0; i /= 2 {
		t.cpus[i], t.mems[i] = max(t.cpus[2*i], t.cpus[2*i+1]), max(t.mems[2*i], t.mems[2*i+1])
	}
}
