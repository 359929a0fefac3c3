package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/storetest"
)

// patience bounds what a test waits for. Only a test that fails takes so long.
const patience = 30 * time.Second

// TestMain runs the tests, or is the main of one of the processes that they
// kill.
func TestMain(m *testing.M) {
	var err error
	dir, member := os.Getenv(committerDir), os.Getenv(memberConfig)
	switch {
	case dir != "":
		err = commitForever(dir)
	case member != "":
		err = runMember(member)
	default:
		goleak.VerifyTestMain(program{m})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // the main of a process that is no test
	}
}

// program is this test's program.
type program struct{ *testing.M }

// Run waits for the goroutines of connections between members: they end by
// etcd's read timeout of 5 s, and each look for them takes about one.
func (p program) Run() int {
	code := p.M.Run()
	for range 10 {
		if goleak.Find() == nil {
			break
		}
	}
	return code
}

func TestEmbedded(t *testing.T) { t.Parallel(); embedded(t, 0) }

// TestEmbeddedPacked is TestEmbedded where all keys are in packs, which are gone through
// often.
func TestEmbeddedPacked(t *testing.T) { t.Parallel(); embedded(t, 1) }

func embedded(t *testing.T, packed int) {
	t.Helper()
	storetest.Run(t, func(t *testing.T, limits store.Limits) storetest.State {
		t.Helper()
		limits.Packed = packed
		socket := newSocket(t)
		member := open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket, Limits: limits})
		first := true
		return storetest.State{
			Open: func(t *testing.T) *store.Store {
				t.Helper()
				if first {
					first = false
					return member
				}
				return open(t, store.Config{Endpoints: []string{socket}, Limits: limits})
			},
			Depose: func(t *testing.T) {
				t.Helper()
				depose(t, socket)
			},
		}
	})
}

func TestOutside(t *testing.T) { t.Parallel(); outside(t, 0) }

// TestOutsidePacked is TestOutside where all keys are in packs.
func TestOutsidePacked(t *testing.T) { t.Parallel(); outside(t, 1) }

func outside(t *testing.T, packed int) {
	t.Helper()
	storetest.Run(t, func(t *testing.T, limits store.Limits) storetest.State {
		t.Helper()
		limits.Packed = packed
		socket := newSocket(t)
		open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
		return storetest.State{
			Open: func(t *testing.T) *store.Store {
				t.Helper()
				return open(t, store.Config{Endpoints: []string{socket}, Limits: limits})
			},
			Depose: func(t *testing.T) {
				t.Helper()
				depose(t, socket)
			},
		}
	})
}

// open opens a store that the test's end closes.
func open(tb testing.TB, cfg store.Config) *store.Store {
	tb.Helper()
	s, err := store.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// newSocket returns the URL of a unix socket that is free, on a path short
// enough for one.
func newSocket(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "aloft") //nolint:usetesting // its path is too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	return "unix://" + filepath.Join(dir, "s")
}

// etcdClient is a client as any tool's.
func etcdClient(tb testing.TB, endpoint string) *clientv3.Client {
	tb.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

// findLease returns the lease that a key is bound to.
func findLease(tb testing.TB, client *clientv3.Client, key string) clientv3.LeaseID {
	tb.Helper()
	answer, err := client.Get(tb.Context(), key)
	if err != nil || len(answer.Kvs) != 1 {
		tb.Fatalf("%s: %d pairs, %v", key, len(answer.Kvs), err)
	}
	return clientv3.LeaseID(answer.Kvs[0].Lease)
}

func depose(tb testing.TB, endpoint string) {
	tb.Helper()
	if _, err := etcdClient(tb, endpoint).Delete(tb.Context(), "/aloft/leader"); err != nil {
		tb.Fatal(err)
	}
}

// awaitChange waits until the key has changed since the revision.
func awaitChange(tb testing.TB, endpoint, key string, revision int64) {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), patience)
	defer stop()
	for answer := range etcdClient(tb, endpoint).Watch(ctx, key, clientv3.WithRev(revision+1)) {
		if len(answer.Events) > 0 {
			return
		}
	}
	tb.Fatalf("%s did not change", key)
}
