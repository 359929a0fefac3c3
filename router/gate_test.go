package router_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aloft-run/aloft/router"
)

// TestARequestThatEntersIsSeen races requests with the table that takes their
// endpoint away: each request that may go on is one that the loop has seen, or
// the loop is told when it ends.
func TestARequestThatEntersIsSeen(t *testing.T) {
	t.Parallel()
	const rounds = 100_000
	for round := range rounds {
		drained := make(chan struct{}, 1)
		gate := router.NewGate(drained)
		var ready atomic.Int64
		var racing sync.WaitGroup
		var entered [2]bool
		for i := range entered {
			racing.Go(func() {
				meet(&ready, 3)
				entered[i] = gate.Enter()
			})
		}
		meet(&ready, 3)
		seen := gate.Leave()
		racing.Wait()

		inside := 0
		for _, in := range entered {
			if in {
				inside++
			}
		}
		if int64(inside) > seen {
			t.Fatalf("round %d: %d requests are at an endpoint that was confirmed to have %d", round, inside, seen)
		}
		if gate.Enter() {
			t.Fatalf("round %d: a request entered after the endpoint had left", round)
		}
		for range inside {
			gate.Exit()
		}
		if seen > 0 && len(drained) == 0 {
			t.Fatalf("round %d: nobody was told that the endpoint became free", round)
		}
	}
}

// meet returns when n goroutines have come to this point.
func meet(ready *atomic.Int64, n int64) {
	for ready.Add(1); ready.Load() < n; {
		runtime.Gosched()
	}
}
