package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
)

// TestSnapshotWhileCommitting saves a store that goes on working, from inside and
// from outside, and restores it.
func TestSnapshotWhileCommitting(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	inside := open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
	outside := open(t, store.Config{Endpoints: []string{newSocket(t), socket}}) // the first does not answer
	term := campaign(t, inside, "one")
	for name, s := range map[string]*store.Store{"inside": inside, "outside": outside} {
		t.Run(name, func(t *testing.T) {
			put(t, term, "kept", name)
			before, err := term.Commit(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			stop := commitUntilStopped(t, term)
			var saved bytes.Buffer

			revision, err := s.Snapshot(t.Context(), &saved)

			stop()
			if err != nil || revision < before {
				t.Fatalf("Snapshot = %d, %v, after revision %d", revision, err, before)
			}
			dir := filepath.Join(t.TempDir(), "restored")
			found, err := store.Restore(t.Context(), store.Config{DataDir: dir}, &saved)
			if err != nil || found < revision {
				t.Fatalf("Restore = %d, %v, of a snapshot of revision %d", found, err, revision)
			}
			again := campaign(t, open(t, store.Config{DataDir: dir}), "one")
			if got := load(t, again); !strings.HasPrefix(got, "kept="+name+" ") {
				t.Errorf("restored %q", got)
			}
		})
	}
}

// TestEpochsGrowOverARestore lets the old cluster go on after its snapshot, and
// restores twice.
func TestEpochsGrowOverARestore(t *testing.T) {
	t.Parallel()
	old := open(t, store.Config{DataDir: t.TempDir()})
	saved, newest, revision := snapshot(t, old), uint64(0), int64(0)
	for n := range 20 {
		term := campaign(t, old, "old")
		put(t, term, "a", fmt.Sprint(n))
		newest, revision = term.Epoch(), commitNothing(t, term)
		if err := term.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		dir := t.TempDir()
		if _, err := store.Restore(t.Context(), store.Config{DataDir: dir}, bytes.NewReader(saved)); err != nil {
			t.Fatal(err)
		}

		restored := open(t, store.Config{DataDir: dir})
		term := campaign(t, restored, "new")

		if term.Epoch() <= newest || term.Epoch() <= uint64(revision) {
			t.Errorf("epoch %d after a restore, %d and revision %d before", term.Epoch(), newest, revision)
		}
		since, err := term.History(t.Context(), "", 1<<40, func(c store.Change) error {
			return fmt.Errorf("a change before the restore is told: %+v", c)
		})
		if err != nil || since <= revision {
			t.Errorf("history since %d, %v", since, err)
		}
		put(t, term, "a", "new")
		if got := load(t, term); got != "a=new " {
			t.Errorf("loaded %q", got)
		}
		newest, revision = term.Epoch(), commitNothing(t, term)
		saved = snapshot(t, restored)
		if err := restored.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRestoreOfThree(t *testing.T) {
	t.Parallel()
	one := open(t, store.Config{DataDir: t.TempDir(), LeaseTTL: time.Second})
	first := campaign(t, one, "one")
	put(t, first, "a", "1")
	saved := snapshot(t, one)
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t), "m3": freeURL(t)}
	configs := make(map[string]store.Config)
	for name := range urls {
		configs[name] = store.Config{DataDir: t.TempDir(), Name: name, Cluster: urls}
		if _, err := store.Restore(t.Context(), configs[name], bytes.NewReader(saved)); err != nil {
			t.Fatal(err)
		}
	}

	members := startAll(t, func(name string) (*store.Store, error) {
		return store.Open(t.Context(), configs[name])
	}, "m1", "m2", "m3")

	wantNames(t, members["m2"], "m1 m2 m3")
	term := campaign(t, members["m1"], "m1") // when the lease has run out that was saved
	if term.Epoch() <= first.Epoch() {
		t.Errorf("epoch %d follows %d", term.Epoch(), first.Epoch())
	}
	put(t, term, "b", "2")
	if err := members["m1"].Close(); err != nil {
		t.Fatal(err)
	}
	if got := load(t, campaign(t, members["m3"], "m3")); got != "a=1 b=2 " {
		t.Errorf("m3 loaded %q", got)
	}
}

// TestRestoredKnowNoneOfTheOld opens one restored member and one that was not,
// which have the URLs that they know of each other.
func TestRestoredKnowNoneOfTheOld(t *testing.T) {
	t.Parallel()
	urls := map[string]string{"m1": freeURL(t), "m2": freeURL(t)}
	configs := map[string]store.Config{}
	for name := range urls {
		configs[name] = store.Config{DataDir: t.TempDir(), Name: name, Cluster: urls}
	}
	start := func(name string) (*store.Store, error) { return store.Open(t.Context(), configs[name]) }
	old := startAll(t, start, "m1", "m2")
	saved := snapshot(t, old["m1"])
	for _, s := range old {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	restored := configs["m1"]
	restored.DataDir = t.TempDir()
	if _, err := store.Restore(t.Context(), restored, bytes.NewReader(saved)); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("waited enough")
	ctx, stop := context.WithTimeoutCause(t.Context(), 2*time.Second, enough) // four election timeouts
	defer stop()
	errs := make(chan error)

	for _, cfg := range []store.Config{restored, configs["m2"]} {
		go func() {
			_, err := store.Open(ctx, cfg)
			errs <- err
		}()
	}

	wantWords(t, <-errs, enough)
	wantWords(t, <-errs, enough)
}

func TestRestoreIsRefused(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	s := open(t, store.Config{DataDir: t.TempDir(), ListenClient: socket})
	put(t, campaign(t, s, "one"), "a", "1")
	saved := snapshot(t, s)
	if _, err := etcdClient(t, socket).Put(t.Context(), "/aloft/version", "3"); err != nil {
		t.Fatal(err)
	}
	newer := snapshot(t, s)
	changed := bytes.Clone(saved)
	changed[len(changed)/2] ^= 1
	cancelled, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("waited enough")
	cancel(enough)
	tests := map[string]struct {
		ctx   context.Context //nolint:containedctx // of one call
		cfg   store.Config
		saved []byte
		want  error // nil: any
		words string
	}{
		"empty":               {saved: nil, want: store.ErrDamaged},
		"without its end":     {saved: saved[:len(saved)-1], want: store.ErrDamaged},
		"without its sum":     {saved: saved[:len(saved)-sha256.Size], want: store.ErrDamaged},
		"of which half came":  {saved: saved[:len(saved)/2], want: store.ErrDamaged},
		"changed":             {saved: changed, want: store.ErrDamaged},
		"that is too long":    {saved: append(bytes.Clone(saved), 0), want: store.ErrDamaged},
		"of something else":   {saved: withSum(bytes.Repeat([]byte("text"), 4096)), words: "not of etcd"},
		"of a newer program":  {saved: newer, want: store.ErrNewerData, words: "format 3, known up to 2"},
		"of another prefix":   {cfg: store.Config{Prefix: "/other/"}, saved: saved, words: "no state of aloft below /other/"},
		"for a member":        {cfg: store.Config{Name: "m1", Cluster: map[string]string{"m2": "http://127.0.0.1:1"}}, saved: saved, words: "not in Cluster"},
		"for one that joins":  {cfg: joining(), saved: saved, words: "gets its data from the others"},
		"that nobody awaits":  {ctx: cancelled, saved: saved, want: enough},
		"for outside members": {cfg: store.Config{Endpoints: []string{socket}}, saved: saved, want: store.ErrOutside},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if len(tc.cfg.Endpoints) == 0 {
				tc.cfg.DataDir = dir
			}
			if tc.ctx == nil {
				tc.ctx = t.Context()
			}

			_, err := store.Restore(tc.ctx, tc.cfg, bytes.NewReader(tc.saved))

			wantWords(t, err, tc.want, tc.words)
			if left, err := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}

func TestRestoreNeedsAnEmptyFolder(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{DataDir: t.TempDir()})
	put(t, campaign(t, s, "one"), "a", "1")
	saved, dir := snapshot(t, s), t.TempDir()
	write(t, filepath.Join(dir, "notes.txt"), "mine")

	_, err := store.Restore(t.Context(), store.Config{DataDir: dir}, bytes.NewReader(saved))

	wantWords(t, err, nil, dir, "not empty", "notes.txt")
	if text, err := os.ReadFile(filepath.Join(dir, "notes.txt")); string(text) != "mine" {
		t.Errorf("the file that was there: %q, %v", text, err)
	}
	_, err = store.Restore(t.Context(), store.Config{DataDir: filepath.Join(dir, "notes.txt")}, bytes.NewReader(saved))
	wantWords(t, err, nil, "notes.txt")

	dir = t.TempDir()
	if _, err := store.Restore(t.Context(), store.Config{DataDir: dir}, bytes.NewReader(saved)); err != nil {
		t.Fatal(err)
	}
	_, err = store.Restore(t.Context(), store.Config{DataDir: dir}, bytes.NewReader(saved))
	wantWords(t, err, nil, dir, "not empty")
}

func TestSnapshotFails(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{DataDir: t.TempDir()})
	put(t, campaign(t, s, "one"), "a", "1")
	full := errors.New("no space left")

	_, err := s.Snapshot(t.Context(), failingWriter{full})
	wantWords(t, err, full, "snapshot")

	_, err = store.Restore(t.Context(), store.Config{DataDir: t.TempDir()}, iotest.ErrReader(full))
	wantWords(t, err, full, "receive the snapshot")

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = s.Snapshot(t.Context(), io.Discard)
	wantWords(t, err, store.ErrClosed)
	_, err = memory.New(memory.Config{}).Join().Snapshot(t.Context(), io.Discard)
	wantWords(t, err, nil, "not kept anywhere")
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func snapshot(t *testing.T, s *store.Store) []byte {
	t.Helper()
	var saved bytes.Buffer
	if _, err := s.Snapshot(t.Context(), &saved); err != nil {
		t.Fatal(err)
	}
	return saved.Bytes()
}

// commitNothing returns the revision of now.
func commitNothing(t *testing.T, term *store.Term) int64 {
	t.Helper()
	revision, err := term.Commit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// withSum ends data as a snapshot ends.
func withSum(data []byte) []byte {
	sum := sha256.Sum256(data)
	return append(data, sum[:]...)
}

func joining() store.Config {
	urls := map[string]string{"m1": "http://127.0.0.1:1", "m2": "http://127.0.0.1:2"}
	return store.Config{Name: "m1", Join: true, Cluster: urls}
}
