package master_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
)

// TestTenThousandRecords are written, read, watched, and loaded by the next
// leader.
func TestTenThousandRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{Limits: store.Limits{Ops: 128}}) // as an outside etcd
		n := start(t, cluster, master.Config{ID: "m1"})
		n.leads()
		for i := range 10 {
			n.deploy(fmt.Sprintf("service: s-%d\ninstances: 1000\nrun: {command: [a]}\n", i))
		}
		f := n.follow("")
		count := func(n *node) (tasks int) {
			t.Helper()
			for token, first := "", true; first || token != ""; first = false {
				page := must[pb.ListTasksResponse](t)(n.api.ListTasks(t.Context(), ask(&pb.ListTasksRequest{PageSize: 1000, PageToken: token})))
				tasks, token = tasks+len(page.GetTasks()), page.GetNextPageToken()
			}
			return tasks
		}
		if tasks, watched := count(n), len(f.seen()); tasks != 10_000 || watched != 10_030 {
			t.Errorf("%d tasks are listed, %d records are watched", tasks, watched)
		}
		next := start(t, cluster, master.Config{ID: "m2"})

		n.stop()
		next.leads()

		if tasks := count(next); tasks != 10_000 {
			t.Errorf("the next leader lists %d tasks", tasks)
		}
		counted(t, next, "aloft_master_tasks", map[string]float64{"pending": 10_000})
		must[pb.StopResponse](t)(next.api.Stop(t.Context(), ask(&pb.StopRequest{Service: "s-3"})))
		if tasks := count(next); tasks != 9_000 {
			t.Errorf("after one service stopped there are %d tasks", tasks)
		}
	})
}

func BenchmarkLoop(b *testing.B) {
	stores := map[string]func(b *testing.B) master.Store{
		"memory": func(*testing.B) master.Store { return memory.New(memory.Config{}).Join() },
		"etcd": func(b *testing.B) master.Store {
			b.Helper()
			state, err := store.Open(b.Context(), store.Config{DataDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = state.Close() })
			return state
		},
	}
	for name, open := range stores {
		for _, callers := range []int{1, 256} {
			b.Run(fmt.Sprintf("%s, %d callers", name, callers), func(b *testing.B) {
				m, err := master.New(master.Config{ID: "m1"}, open(b))
				if err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				var running sync.WaitGroup
				running.Go(func() {
					if err := m.Run(ctx); !errors.Is(err, context.Canceled) {
						b.Errorf("it ended with %v", err)
					}
				})
				defer running.Wait()
				defer cancel()
				for m.Ready() != nil {
					time.Sleep(time.Millisecond)
				}
				benchmarkEvents(b, m, callers)
			})
		}
	}
}

// benchmarkEvents has callers change one record each, all at the same time. Every
// operation is one durable change.
func benchmarkEvents(b *testing.B, m *master.Master, callers int) {
	b.Helper()
	var next atomic.Int64
	var calling sync.WaitGroup
	b.ResetTimer()
	for range callers {
		calling.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				pool := ledger.Pool{ID: id.Pool(fmt.Sprintf("p-%d", i%int64(callers))), Priority: int(i)}
				if _, err := m.Submit(b.Context(), engine.SetPool{Pool: pool}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	calling.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
