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

// TestMain finds goroutines that are left behind. Those of a connection between
// two members end by etcd's read timeout of 5 s, so it looks more than once:
// each look takes about a second.
func TestMain(m *testing.M) {
	if dir := os.Getenv(committerDir); dir != "" {
		fmt.Fprintln(os.Stderr, commitForever(dir))
		os.Exit(1)
	}
	code := m.Run()
	leak := goleak.Find()
	for attempt := 0; code == 0 && leak != nil && attempt < 10; attempt++ {
		leak = goleak.Find()
	}
	if code == 0 && leak != nil {
		fmt.Fprintln(os.Stderr, leak)
		code = 1
	}
	os.Exit(code)
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, limits store.Limits) storetest.State {
		t.Helper()
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

func TestOutside(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, limits store.Limits) storetest.State {
		t.Helper()
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
func open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// newSocket returns the URL of a unix socket that is free, on a path short
// enough for one.
func newSocket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "aloft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return "unix://" + filepath.Join(dir, "s")
}

// etcdClient is a client as any tool's.
func etcdClient(t testing.TB, endpoint string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func depose(t testing.TB, endpoint string) {
	t.Helper()
	if _, err := etcdClient(t, endpoint).Delete(t.Context(), "/aloft/leader"); err != nil {
		t.Fatal(err)
	}
}

// awaitChange waits until the key has changed since the revision.
func awaitChange(t testing.TB, endpoint, key string, revision int64) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for answer := range etcdClient(t, endpoint).Watch(ctx, key, clientv3.WithRev(revision+1)) {
		if len(answer.Events) > 0 {
			return
		}
	}
	t.Fatalf("%s did not change", key)
}
