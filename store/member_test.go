package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/aloft-run/aloft/store"
)

func TestRestartKeepsData(t *testing.T) {
	t.Parallel()
	cfg := store.Config{DataDir: t.TempDir(), LeaseTTL: time.Hour}
	before := open(t, cfg)
	old := campaign(t, before, "old")
	put(t, old, "a", "1")
	if err := before.Close(); err != nil { // without resigning, as a process that dies
		t.Fatal(err)
	}

	term := campaign(t, open(t, cfg), "new") // at once, not in an hour

	if term.Epoch() <= old.Epoch() {
		t.Errorf("epoch %d follows %d", term.Epoch(), old.Epoch())
	}
	if got := load(t, term); got != "a=1 " {
		t.Errorf("loaded %q", got)
	}
}

func TestTermOutlivesItsLease(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	alone := open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket, LeaseTTL: time.Second})
	term := campaign(t, alone, "one")
	witness := etcdClient(t, socket)
	lease, err := witness.Grant(t.Context(), 3) // nobody keeps this one alive
	if err != nil {
		t.Fatal(err)
	}
	written, err := witness.Put(t.Context(), "/witness", "", clientv3.WithLease(lease.ID))
	if err != nil {
		t.Fatal(err)
	}

	awaitChange(t, socket, "/witness", written.Header.GetRevision()) // until it has run out

	put(t, term, "a", "1")
}

func TestNewerDataIsRefused(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	leading := open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
	term := campaign(t, leading, "one")
	standby := open(t, store.Config{Endpoints: []string{socket}})
	if _, err := etcdClient(t, socket).Put(t.Context(), "/aloft/version", "3"); err != nil {
		t.Fatal(err)
	}

	_, err := store.Open(t.Context(), store.Config{Endpoints: []string{socket}})
	wantWords(t, err, store.ErrNewerData, socket)
	if err := term.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = standby.Campaign(t.Context(), "two")
	wantWords(t, err, store.ErrNewerData)

	other := open(t, store.Config{Endpoints: []string{socket}, Prefix: "/other/"})
	campaign(t, other, "one")
}

func TestOutsideThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)

	_, err := store.Open(t.Context(), store.Config{Endpoints: []string{socket}, DialTimeout: 100 * time.Millisecond})

	wantWords(t, err, nil, socket, "no answer within 100ms")
}

func TestWarningsReachTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etcd"), 0o755); err != nil { // etcd wants it for its owner alone
		t.Fatal(err)
	}
	var text lockedBuffer

	open(t, store.Config{DataDir: dir, Log: slog.New(slog.NewTextHandler(&text, nil))})

	lines := strings.Split(text.String(), "\n")
	if !slices.ContainsFunc(lines, func(line string) bool {
		return strings.Contains(line, "level=WARN") && strings.Contains(line, "part=etcd") && strings.Contains(line, "drwxr-xr-x")
	}) { // on a busy machine etcd has more to say
		t.Errorf("log:\n%s", text.String())
	}
}

// lockedBuffer takes lines from several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestThreeMembers(t *testing.T) {
	t.Parallel()
	cluster := map[string]string{"m1": freeURL(t), "m2": freeURL(t), "m3": freeURL(t)}
	dirs := map[string]string{"m1": t.TempDir(), "m2": t.TempDir(), "m3": t.TempDir()}
	start := func(name string) (*store.Store, error) {
		return store.Open(t.Context(), store.Config{DataDir: dirs[name], Name: name, Cluster: cluster})
	}
	members := startAll(t, start, "m1", "m2", "m3")
	first := campaign(t, members["m1"], "m1")
	put(t, first, "a", "1")

	if err := members["m1"].Close(); err != nil {
		t.Fatal(err)
	}
	second := campaign(t, members["m2"], "m2") // when the lease has run out
	put(t, second, "b", "2")
	if got := load(t, second); got != "a=1 b=2 " {
		t.Errorf("the second leader loaded %q", got)
	}

	back := startAll(t, start, "m1")["m1"]
	identity, epoch, err := back.Leader(t.Context())
	if err != nil || identity != "m2" || epoch != second.Epoch() {
		t.Errorf("m1 sees %q, %d, %v lead, want m2, %d", identity, epoch, err, second.Epoch())
	}
	if err := second.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := load(t, campaign(t, back, "m1")); got != "a=1 b=2 " {
		t.Errorf("the member that came back loaded %q", got)
	}
}

func TestMemberWaitsForTheOthers(t *testing.T) {
	t.Parallel()
	cluster := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	enough := errors.New("waited enough")
	ctx, stop := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, enough)
	defer stop()

	_, err := store.Open(ctx, store.Config{DataDir: t.TempDir(), Name: "m1", Cluster: cluster})

	wantWords(t, err, enough)
}

func TestDataOfAnotherCluster(t *testing.T) {
	t.Parallel()
	several := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	dirs := map[string]string{"m1": t.TempDir(), "m2": t.TempDir()}
	alone := open(t, store.Config{DataDir: dirs["m1"]})
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}

	_, err := store.Open(t.Context(), store.Config{DataDir: dirs["m1"], Name: "m1", Cluster: several})
	wantWords(t, err, nil, dirs["m1"], "a cluster of 1, and Cluster is of 2")

	dirs["m1"] = t.TempDir()
	members := startAll(t, func(name string) (*store.Store, error) {
		return store.Open(t.Context(), store.Config{DataDir: dirs[name], Name: name, Cluster: several})
	}, "m1", "m2")
	if err := members["m2"].Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Config{DataDir: dirs["m2"]})
	wantWords(t, err, nil, dirs["m2"], "a cluster of 2, and Cluster does not say")
}

// startAll starts members together, since a majority is ready or none is, and
// closes them at the end.
func startAll(
	t *testing.T, start func(name string) (*store.Store, error), names ...string,
) map[string]*store.Store {
	t.Helper()
	var starting sync.WaitGroup
	stores, problems := make([]*store.Store, len(names)), make([]error, len(names))
	for i, name := range names {
		starting.Go(func() { stores[i], problems[i] = start(name) })
	}
	starting.Wait()
	if err := errors.Join(problems...); err != nil {
		t.Fatal(err)
	}
	members := make(map[string]*store.Store)
	for i, name := range names {
		members[name] = stores[i]
		t.Cleanup(func() { _ = stores[i].Close() })
	}
	return members
}

// freeURL returns a URL on an address of loopback that no other test has, so that
// it stays free while nobody listens there.
func freeURL(tb testing.TB) string {
	tb.Helper()
	return fmt.Sprintf("http://127.%d.%d.%d:7118", rand.N(256), rand.N(256), 2+rand.N(253))
}

func campaign(tb testing.TB, s *store.Store, identity string) *store.Term {
	tb.Helper()
	ctx, stop := context.WithTimeout(tb.Context(), patience)
	defer stop()
	term, err := s.Campaign(ctx, identity)
	if err != nil {
		tb.Fatal(err)
	}
	return term
}

func put(tb testing.TB, term *store.Term, key, value string) {
	tb.Helper()
	if _, err := term.Commit(tb.Context(), []store.Op{{Key: key, Value: []byte(value)}}); err != nil {
		tb.Fatal(err)
	}
}

// load returns all pairs in one line.
func load(tb testing.TB, term *store.Term) string {
	tb.Helper()
	var all strings.Builder
	_, err := term.Load(tb.Context(), "", func(key string, value []byte) error {
		fmt.Fprintf(&all, "%s=%s ", key, value)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return all.String()
}
