package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/aloft-run/aloft/store"
)

// TestPacksHoldWhatAMapWould lives the life of a store whose keys come into packs and stay
// alone: groups are committed, terms follow each other, the process is started again with
// another bound, etcd drops what is old, and each time what is loaded, what a snapshot
// holds, and what the history tells is what a map holds to which the same was done.
func TestPacksHoldWhatAMapWould(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			l := newPackLife(t, seed)
			for range 300 {
				l.step()
			}
			l.wantHeld()
			l.wantFewPacks()
		})
	}
}

// packLife is a store, and what should be in it.
type packLife struct {
	*testing.T

	rng    *rand.Rand
	dir    string
	socket string
	packed int          // from how many operations on
	store  *store.Store // the member
	beside *store.Store // on the same data, from outside
	term   *store.Term  // of one of both
	values int          // that were written, each another
	held   map[string]string
	at     map[int64]map[string]string // what was held after each revision
}

func newPackLife(t *testing.T, seed uint64) *packLife {
	t.Helper()
	l := &packLife{T: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), held: map[string]string{}, at: map[int64]map[string]string{0: {}}}
	l.open()
	t.Cleanup(func() { _ = l.store.Close() })
	return l
}

func (l *packLife) open() {
	l.Helper()
	l.packed, l.socket = []int{1, 2, 8, 1 << 20}[l.rng.IntN(4)], newSocket(l.T)
	s, err := store.Open(l.Context(), store.Config{DataDir: l.dir, ListenClient: l.socket, Limits: store.Limits{Packed: l.packed}})
	if err != nil {
		l.Fatal(err)
	}
	l.store, l.beside = s, open(l.T, store.Config{Endpoints: []string{l.socket}, Limits: store.Limits{Packed: l.packed}})
	l.lead()
}

func (l *packLife) lead() {
	l.Helper()
	l.term = campaign(l.T, []*store.Store{l.store, l.beside}[l.rng.IntN(2)], "one")
	l.at[int64(l.term.Epoch())] = maps.Clone(l.held)
}

func (l *packLife) step() {
	l.Helper()
	switch n := l.rng.IntN(100); {
	case n < 80:
		l.commit()
	case n < 85:
		l.wantHeld()
	case n < 88:
		l.compact()
	case n < 92:
		l.wantSaved()
	default:
		if err := l.term.Resign(l.Context()); err != nil {
			l.Fatal(err)
		}
		if n < 96 {
			l.restart(n < 94)
		} else {
			l.lead()
		}
		if l.rng.IntN(2) == 0 {
			l.wantHeld()
		}
		l.wantTold()
	}
}

// restart starts the process again, on what it had or on a backup of that.
func (l *packLife) restart(restored bool) {
	l.Helper()
	saved := snapshot(l.T, l.store)
	if err := errors.Join(l.beside.Close(), l.store.Close()); err != nil {
		l.Fatal(err)
	}
	if restored {
		l.dir = l.TempDir()
		if _, err := store.Restore(l.Context(), store.Config{DataDir: l.dir}, bytes.NewReader(saved)); err != nil {
			l.Fatal(err)
		}
	}
	l.open()
}

func (l *packLife) commit() {
	l.Helper()
	var ops []store.Op
	for range 1 + l.rng.IntN(l.rng.IntN(20)+1) {
		op := store.Op{Key: fmt.Sprintf("%c/%d", 'a'+l.rng.IntN(2), l.rng.IntN(20)), Delete: l.rng.IntN(3) == 0}
		if !op.Delete {
			l.values++
			op.Value = fmt.Append(nil, l.values)
		}
		if l.rng.IntN(50) == 0 && !op.Delete {
			op.Value = append(op.Value, make([]byte, 100_000)...)
		}
		ops = append(ops, op)
	}
	revision, err := l.term.Commit(l.Context(), ops)
	if err != nil {
		l.Fatal(err)
	}
	for _, op := range ops {
		if delete(l.held, op.Key); !op.Delete {
			l.held[op.Key] = string(op.Value)
		}
	}
	l.at[revision] = maps.Clone(l.held)
}

// compact drops what is old, in the file too.
func (l *packLife) compact() {
	l.Helper()
	revision := commitNothing(l.T, l.term)
	if _, err := etcdClient(l.T, l.socket).Compact(l.Context(), revision, clientv3.WithCompactPhysical()); err != nil {
		l.Log(err) // it was just there
	}
}

// wantHeld wants that a load and a scan find what is held.
func (l *packLife) wantHeld() {
	l.Helper()
	for _, prefix := range []string{"", "a/"} {
		var mu sync.Mutex // guards scanned
		loaded, scanned := map[string]string{}, map[string]string{}
		var order []string
		_, err := l.term.Load(l.Context(), prefix, func(key string, value []byte) error {
			loaded[key], order = string(value), append(order, key)
			return nil
		})
		_, err2 := l.term.Scan(l.Context(), prefix, func(_ int, pairs []store.Pair) error {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range pairs {
				scanned[string(p.Key)] = string(p.Value)
			}
			return nil
		})
		if err := errors.Join(err, err2); err != nil {
			l.Fatal(err)
		}
		l.want("loaded", prefix, loaded)
		l.want("scanned", prefix, scanned)
		if !slices.IsSorted(order) || len(order) != len(loaded) {
			l.Fatalf("loaded in the order %v", order)
		}
	}
}

func (l *packLife) want(what, prefix string, got map[string]string) {
	l.Helper()
	want := maps.Clone(l.held)
	maps.DeleteFunc(want, func(key, _ string) bool { return !strings.HasPrefix(key, prefix) })
	if diff := cmp.Diff(want, got); diff != "" {
		l.Fatalf("%s below %q (-want +got):\n%s", what, prefix, diff)
	}
}

// wantSaved wants that a snapshot holds what is held.
func (l *packLife) wantSaved() {
	l.Helper()
	path := filepath.Join(l.TempDir(), "saved")
	if err := os.WriteFile(path, snapshot(l.T, l.store), 0o600); err != nil {
		l.Fatal(err)
	}
	saved := map[string]string{}
	err := store.ReadSnapshot(l.Context(), path, "", func(key string, value []byte) error {
		saved[key] = string(value)
		return nil
	})
	if err != nil {
		l.Fatal(err)
	}
	l.want("saved", "", saved)
}

// wantTold wants that the history leads from what was held to what is.
func (l *packLife) wantTold() {
	l.Helper()
	most := []int64{1 << 40, 200, 20}[l.rng.IntN(3)]
	var told []store.Change
	since, err := l.term.History(l.Context(), "", most, func(c store.Change) error {
		told = append(told, c)
		return nil
	})
	if err != nil {
		if !strings.Contains(err.Error(), "not kept any more") {
			l.Fatal(err)
		}
		return
	}
	last := int64(0) // that was something at the beginning
	for revision := range l.at {
		if revision <= since {
			last = max(last, revision)
		}
	}
	got := maps.Clone(l.at[last])
	for _, c := range told {
		if before, there := got[c.Key]; string(c.Before) != before || !there && c.Delete || !c.Delete && before == string(c.Value) {
			l.Fatalf("at revision %d, since %d, %s was %.20q before, told was %.20q", c.Revision, since, c.Key, before, c.Before)
		}
		if delete(got, c.Key); !c.Delete {
			got[c.Key] = string(c.Value)
		}
	}
	l.want("told", "", got)
}

// wantFewPacks wants that what is not needed any more has been gone through.
func (l *packLife) wantFewPacks() {
	l.Helper()
	if l.packed > 8 {
		return
	}
	commitNothing(l.T, l.term)
	for range 400 {
		l.commit()
	}
	counted, err := etcdClient(l.T, l.socket).Get(l.Context(), "/aloft/pack/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if most := int64(16*l.packed + len(l.held) + 1); err != nil || counted.Count > most {
		l.Errorf("%d packs, %v, for %d keys, want at most %d", counted.Count, err, len(l.held), most)
	}
}

// FuzzPack reads packs of any bytes: what is read writes the same, and nothing is read
// where it is not.
func FuzzPack(f *testing.F) {
	f.Add(store.WritePack([]store.Op{{Key: "a", Value: []byte("1")}, {Key: "b", Delete: true}, {Key: "c"}}))
	f.Add([]byte("m"))
	f.Add([]byte{'w', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, value []byte) {
		pairs, err := store.ReadPack(value)
		if err != nil {
			return
		}
		var ops []store.Op
		for _, p := range pairs {
			ops = append(ops, store.Op{Key: string(p.Key), Value: p.Value, Delete: p.Value == nil})
		}
		again, err := store.ReadPack(store.WritePack(ops))
		if diff := cmp.Diff(pairs, again); err != nil || diff != "" {
			t.Errorf("read again: %v (-before +after):\n%s", err, diff)
		}
	})
}

// TestOlderFormat opens data as an older program left it, and leads with it: the older one
// does not any more.
func TestOlderFormat(t *testing.T) {
	t.Parallel()
	dir, socket := t.TempDir(), newSocket(t)
	s := open(t, store.Config{DataDir: dir, ListenClient: socket, Limits: store.Limits{Packed: 1 << 20}})
	term := campaign(t, s, "one")
	put(t, term, "a", "1")
	put(t, term, "b", "1")
	if err := term.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := etcdClient(t, socket)
	if _, err := client.Put(t.Context(), "/aloft/version", "1"); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "VERSION"), "1\n")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, store.Config{DataDir: dir, ListenClient: socket, Limits: store.Limits{Packed: 1}})

	term = campaign(t, again, "two")

	if got := load(t, term); got != "a=1 b=1 " {
		t.Errorf("loaded %q", got)
	}
	if _, err := term.Commit(t.Context(), []store.Op{{Key: "a", Delete: true}, {Key: "b", Value: []byte("2")}, {Key: "c", Value: []byte("2")}}); err != nil {
		t.Fatal(err)
	}
	if got := load(t, term); got != "b=2 c=2 " {
		t.Errorf("loaded %q", got)
	}
	format, err := client.Get(t.Context(), "/aloft/version")
	if err != nil || string(format.Kvs[0].Value) != fmt.Sprint(store.Format) {
		t.Errorf("the data is of format %v, %v", format.Kvs, err)
	}
}
