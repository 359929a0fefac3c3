package simulate_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/simulate"
	"github.com/aloft-run/aloft/store/memory"
)

// A real master with agents in sessions comes to the same end as the engine on a
// clock of its own, and waits and use are counted alike.
func TestReal(t *testing.T) {
	t.Parallel()
	w, err := simulate.Drawn{Arrivals: "every 2s", For: time.Minute, Sizes: []string{"cpus=2,mem=1GiB"}, Length: "30s", Copies: "2", Pools: "batch", Users: "anna,ben", Seed: 5}.Workload()
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := machines(t, "5:cpus=6,mem=16GiB").WithPools(w)
	if err != nil {
		t.Fatal(err)
	}
	cfg := simulate.Config{Cluster: cluster, Workload: w}
	address := startMaster(t, cluster.Records)

	there, err := simulate.RunReal(t.Context(), simulate.Real{Config: cfg, Master: address, Speed: 60})
	if err != nil {
		t.Fatal(err)
	}
	virtual, err := simulate.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}

	if there.Jobs != virtual.Jobs || there.Copies != virtual.Copies || there.Jobs.Done != len(w.Jobs) {
		t.Errorf("real: %+v %+v, virtual: %+v %+v", there.Jobs, there.Copies, virtual.Jobs, virtual.Copies)
	}
	if len(there.Waits) != len(virtual.Waits) || len(there.Shares) != len(virtual.Shares) || there.Machines != virtual.Machines {
		t.Errorf("real: %+v, virtual: %+v", there, virtual)
	}
	for i, wait := range there.Waits {
		if wait.Copies != virtual.Waits[i].Copies || wait.Name != virtual.Waits[i].Name {
			t.Errorf("real: %+v, virtual: %+v", wait, virtual.Waits[i])
		}
	}
	for _, u := range there.Use {
		if u.Most > 1 || u.Most == 0 || u.RMost != u.Capacity {
			t.Errorf("more is used than there is, or nothing: %+v", u)
		}
	}
}

// startMaster starts a master whose store has these records, and returns its
// address.
func startMaster(t *testing.T, records []engine.Record) string {
	t.Helper()
	state := memory.New(memory.Config{}).Join()
	if err := master.Fill(t.Context(), state, records); err != nil {
		t.Fatal(err)
	}
	m, err := master.New(master.Config{ID: "m", SilentAfter: time.Minute, SuspectAfter: time.Minute}, state)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(ctx) })
	running.Go(func() {
		_ = master.Serve(ctx, slog.New(slog.DiscardHandler), listener, m.Handler(http.NotFoundHandler()))
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	for m.Ready() != nil {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		}
	}
	return "http://" + listener.Addr().String()
}
