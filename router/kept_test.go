package router_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// tardy are masters whose first table comes after a while; 0: never.
type tardy struct {
	after time.Duration
	table route.Table
}

func (m tardy) Follow(ctx context.Context, said <-chan route.Confirmation, apply func(route.Table)) error {
	var due <-chan time.Time
	if m.after > 0 {
		due = time.After(m.after)
	}
	for {
		select {
		case <-due:
			apply(m.table)
		case _, open := <-said:
			if !open {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// TestAKeptTableIsServedLast: a router that comes back with the table of an earlier
// run asks the masters for a newer one first, for what the kept one names may have
// been stopped while nobody waited for this router. Without masters it serves at once.
func TestAKeptTableIsServedLast(t *testing.T) {
	t.Parallel()
	table := func(seq uint64, address string) route.Table {
		return route.Table{Version: route.Version{Epoch: 1, Seq: seq}, Services: []route.Service{hello(route.Endpoint{Task: "t", Revision: 1, Address: address})}}
	}
	newer := table(2, "new:80")
	tests := map[string]struct {
		masters router.Master
		answers string
		within  time.Duration
	}{
		"the masters answer after a while": {tardy{700 * time.Millisecond, newer}, "new", 700 * time.Millisecond},
		"the masters are silent":           {tardy{0, newer}, "kept", 2 * time.Second},
		"the masters answer too late":      {tardy{5 * time.Second, newer}, "kept", 2 * time.Second},
		"there is no master":               {new(absent), "kept", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "table.json")
			text, err := json.Marshal(map[string]any{"format": 1, "table": table(1, "kept:80")})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				instances := map[string]*fickle{"kept:80": {name: "kept"}, "new:80": {name: "new"}}
				clients := newPipes()
				r, err := router.New(router.Config{
					ID: "r1", Listener: clients, StateFile: file, Reach: func(address string) router.Upstream { return instances[address] },
				}, test.masters)
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				began := time.Now()

				go func() { ended <- r.Run(ctx) }()

				got := clients.ask(t, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody")
				if took := time.Since(began); got.status != http.StatusOK || got.body != test.answers || took != test.within {
					t.Errorf("answer %d %q after %v, want %q after %v", got.status, got.body, took, test.answers, test.within)
				}
				stop()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("Run = %v", err)
				}
			})
		})
	}
}
