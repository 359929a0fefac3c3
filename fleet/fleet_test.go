package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aloft-run/aloft/fleet"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// TestAgentsKnockTogether: those that share a connection ask together for the way in, at
// the beginning and when all sessions broke, and then all are in.
func TestAgentsKnockTogether(t *testing.T) {
	t.Parallel()
	const agents, perClient = 60, 20
	rest, err := fleet.AtRest(fleet.Size{Agents: agents}, noon)
	if err != nil {
		t.Fatal(err)
	}
	address, knocks := serveMaster(t)
	f, err := fleet.New(fleet.Config{Masters: []string{address}, Agents: rest.Agents, PerClient: perClient})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	defer running.Wait()
	defer stop()
	for round := int64(1); round <= 2; round++ {
		awaitAll(t, f, agents)
		if asked := knocks.Load(); asked < round*agents/perClient || asked > agents {
			t.Errorf("by round %d they have knocked %d times", round, asked)
		}
		f.Break()
	}
	awaitAll(t, f, agents)
}

func awaitAll(t *testing.T, f *fleet.Fleet, agents int) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.After(time.Minute)
	for f.Joined(1) < agents {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%d of %d agents are in", f.Joined(1), agents)
		}
	}
}

// serveMaster runs a master until the test ends, and counts the knocks.
func serveMaster(t *testing.T) (address string, knocks *atomic.Int64) {
	t.Helper()
	m, err := master.New(master.Config{ID: "m1"}, memory.New(memory.Config{}).Join())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	knocks = new(atomic.Int64)
	handler := m.Handler(http.NotFoundHandler())
	counting := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, "/Knock") {
			knocks.Add(1)
		}
		handler.ServeHTTP(w, req)
	})
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for name, run := range map[string]func() error{
		"master": func() error { return m.Run(ctx) },
		"server": func() error { return master.Serve(ctx, slog.New(slog.DiscardHandler), listener, counting) },
	} {
		running.Go(func() {
			if err := run(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s ended: %v", name, err)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return fmt.Sprint("http://", listener.Addr()), knocks
}
