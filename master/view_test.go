package master_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/task"
	"github.com/aloft-run/aloft/master"
)

// BenchmarkPublish publishes changes of 100 of 100,000 tasks, alone and while somebody
// reads everything again and again. It reports
//
//	max-ms  the longest that one took
func BenchmarkPublish(b *testing.B) {
	for _, readers := range []int{0, 1} {
		b.Run(fmt.Sprintf("readers=%d", readers), func(b *testing.B) { benchmarkPublish(b, readers) })
	}
}

func benchmarkPublish(b *testing.B, readers int) {
	b.Helper()
	const tasks, batch = 100_000, 100
	at := func(i int, state task.State) engine.Record {
		name := id.Task(fmt.Sprintf("service-%04d-1-%d", i%100, i))
		return &engine.Task{
			ID: name, Service: id.Service(fmt.Sprintf("service-%04d", i%100)), Revision: 1, Status: task.Status{State: state, Attempt: 1},
			Claim: ledger.Claim{Task: name, Agent: id.Agent(fmt.Sprintf("agent-%06d", i%10_000))},
		}
	}
	var records []engine.Record
	for i := range tasks {
		records = append(records, at(i, task.Running))
	}
	view := master.ViewOf(records...)
	ctx, stop := context.WithCancel(b.Context())
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	for range readers {
		reading.Go(func() {
			for ctx.Err() == nil {
				_ = view.ReadAll(ctx) // what does not keep up begins anew
			}
		})
	}
	var longest time.Duration
	next := 0

	for b.Loop() {
		changed := make([]engine.Record, 0, batch)
		for range batch {
			changed = append(changed, at(next%tasks, []task.State{task.Running, task.Ready}[next/tasks%2]))
			next++
		}
		began := time.Now()
		view.Publish(changed...)
		longest = max(longest, time.Since(began))
	}

	b.ReportMetric(millis(longest), "max-ms")
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
