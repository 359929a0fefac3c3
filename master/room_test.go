package master_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store"
)

// TestFullStoreIsRead: a master whose store is almost as large as it may be refuses
// what makes it larger and says why; it is read, and what gives room is done.
func TestFullStoreIsRead(t *testing.T) {
	t.Parallel()
	const quota, part, parts = 64 << 20, 255 << 10, 235 // 65 pages of 4 KiB each: 93 percent, for what etcd counts goes up and down
	cfg := store.Config{DataDir: t.TempDir(), Quota: quota}
	state, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	term, err := state.Campaign(t.Context(), "filler")
	if err != nil {
		t.Fatal(err)
	}
	for i := range parts { // under a name that no record has
		if _, err := term.Commit(t.Context(), []store.Op{{Key: fmt.Sprint("filler/", i), Value: make([]byte, part)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := term.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	api := leading(t, state)
	deadline := time.Now().Add(time.Minute)
	for room, _ := state.Room(); room.Used < quota/10*9; room, _ = state.Room() { // etcd counts now and then
		if _, err := api.ListPools(t.Context(), ask(&pb.ListPoolsRequest{})); time.Now().After(deadline) {
			t.Fatalf("of %d bytes only %d are used: %v", quota, room.Used, err)
		}
	}

	_, refusal := api.SetPool(t.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: "front"}}))

	checkError(t, refusal, connect.CodeResourceExhausted, "the store is full", "--quota")
	info := must[pb.GetInfoResponse](t)(api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{})))
	if room := info.GetRoom(); !room.GetFull() || !room.GetScarce() || room.GetQuotaBytes() != quota {
		t.Errorf("the master says of its room: %v", room)
	}
	if pools := must[pb.ListPoolsResponse](t)(api.ListPools(t.Context(), ask(&pb.ListPoolsRequest{}))).GetPools(); len(pools) != 0 {
		t.Errorf("pools are %v", pools)
	}
	_, unknown := api.DeletePool(t.Context(), ask(&pb.DeletePoolRequest{Pool: "front"}))
	checkError(t, unknown, connect.CodeNotFound, "front")
}

// leading runs a master on a store until the test ends.
func leading(t *testing.T, state *store.Store) aloftv1connect.ClusterServiceClient {
	t.Helper()
	m, err := master.New(master.Config{ID: "m1", Registerer: prometheus.NewRegistry(), Log: testLogger(t)}, state)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := m.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("master ended: %v", err)
		}
	})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	running.Go(func() {
		_ = master.Serve(ctx, slog.New(slog.DiscardHandler), listener, m.Handler(http.NotFoundHandler()))
	})
	c, err := client.New(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		stop()
		running.Wait()
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	return c.Cluster()
}
