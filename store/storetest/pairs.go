package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/store"
)

// pair is a key and its value, as a failure prints it best.
type pair struct{ Key, Value string }

// put commits one pair and returns its revision.
func put(tb testing.TB, term *store.Term, key, value string) (revision int64) {
	tb.Helper()
	revision, err := term.Commit(tb.Context(), []store.Op{{Key: key, Value: []byte(value)}})
	if err != nil {
		tb.Fatal(err)
	}
	return revision
}

func load(tb testing.TB, term *store.Term, prefix string) (pairs []pair, revision int64) {
	tb.Helper()
	revision, err := term.Load(tb.Context(), prefix, func(key string, value []byte) error {
		pairs = append(pairs, pair{key, string(value)})
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	wantScanned(tb, term, prefix, pairs, revision)
	return pairs, revision
}

// wantScanned holds a scan to a load before it.
func wantScanned(tb testing.TB, term *store.Term, prefix string, loaded []pair, revision int64) {
	tb.Helper()
	var mu sync.Mutex // guards pairs
	var pairs []pair
	scanned, err := term.Scan(tb.Context(), prefix, func(_ int, portion []store.Pair) error {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range portion {
			pairs = append(pairs, pair{string(p.Key), string(p.Value)})
		}
		return nil
	})
	slices.SortFunc(pairs, func(a, b pair) int { return strings.Compare(a.Key, b.Key) })
	if diff := cmp.Diff(loaded, pairs); err != nil || scanned < revision || diff != "" {
		tb.Errorf("a scan of %q ends with revision %d, %v, a load with %d (-load +scan):\n%s", prefix, scanned, err, revision, diff)
	}
}

func wantPairs(tb testing.TB, term *store.Term, prefix string, want ...pair) (revision int64) {
	tb.Helper()
	got, revision := load(tb, term, prefix)
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("pairs below %q (-want +got):\n%s", prefix, diff)
	}
	return revision
}

func loadsInOrder(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	ops := []store.Op{
		{Key: "task/b", Value: []byte("2")},
		{Key: "task/a", Value: []byte("1")},
		{Key: "tasks", Value: []byte("3")},
		{Key: "task/", Value: nil},
		{Key: "agent/a", Value: []byte("4")},
		{Key: "leader", Value: []byte("5")},
		{Key: "task/\xff", Value: []byte{0, 0xff}},
	}

	committed, err := term.Commit(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	below := []pair{{"task/", ""}, {"task/a", "1"}, {"task/b", "2"}, {"task/\xff", "\x00\xff"}}
	loaded := wantPairs(t, term, "task/", below...)
	if loaded != committed {
		t.Errorf("loaded revision %d, committed %d", loaded, committed)
	}
	wantPairs(t, term, "", slices.Concat([]pair{{"agent/a", "4"}, {"leader", "5"}}, below, []pair{{"tasks", "3"}})...)
	wantPairs(t, term, "none/")
}

// loadSeesOneRevision changes the last pair while the first is visited, with
// more pairs than a first page holds.
func loadSeesOneRevision(t trial) {
	const many = 3_000
	term := campaign(t, t.Open(t.T), "one")
	ops := make([]store.Op, many)
	for i := range ops {
		ops[i] = store.Op{Key: fmt.Sprintf("%05d", i), Value: []byte("old")}
	}
	committed, err := term.Commit(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	last := ops[many-1].Key
	visits := 0

	loaded, err := term.Load(t.Context(), "", func(key string, value []byte) error {
		if visits++; visits == 1 {
			put(t, term, last, "new")
		}
		if string(value) != "old" {
			t.Errorf("%s is of a later revision", key)
		}
		return nil
	})

	if err != nil || loaded != committed || visits != many {
		t.Errorf("Load = %d, %v after %d visits, want %d after %d", loaded, err, visits, committed, many)
	}
	wantPairs(t, term, last, pair{last, "new"})
}

func loadStops(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	put(t, term, "a", "1")
	put(t, term, "b", "2")
	enough := errors.New("seen enough")
	visits := 0

	_, err := term.Load(t.Context(), "", func(string, []byte) error {
		visits++
		return enough
	})

	wantError(t, "Load", err, enough)
	if visits != 1 {
		t.Errorf("%d visits after an error", visits-1)
	}
}

// scanSeesOneRevision changes the last pair while the first are visited, with more
// pairs than a portion holds, some of them written again and some deleted.
func scanSeesOneRevision(t trial) {
	const many = 5_000
	term := campaign(t, t.Open(t.T), "one")
	ops := make([]store.Op, many)
	for i := range ops {
		ops[i] = store.Op{Key: fmt.Sprintf("%05d", i), Value: []byte("older")}
	}
	for _, group := range [][]store.Op{ops, {{Key: "00007", Delete: true}, {Key: "04000", Delete: true}}} {
		if _, err := term.Commit(t.Context(), group); err != nil {
			t.Fatal(err)
		}
	}
	put(t, term, "00007", "old")
	committed := put(t, term, "00008", "old")
	var once sync.Once
	var visited atomic.Int32
	var portions [many]atomic.Int32

	scanned, err := term.Scan(t.Context(), "", func(portion int, pairs []store.Pair) error {
		once.Do(func() { put(t, term, "04999", "new") })
		portions[portion].Add(1)
		for _, p := range pairs {
			visited.Add(1)
			if key, value := string(p.Key), string(p.Value); value == "new" || (value == "old") != (key == "00007" || key == "00008") {
				t.Errorf("%s is %q", key, value)
			}
		}
		return nil
	})

	if err != nil || scanned < committed || visited.Load() != many-1 {
		t.Errorf("Scan = %d, %v after %d visits, want %d after %d", scanned, err, visited.Load(), committed, many-1)
	}
	total := 0
	for portion := range portions {
		n := int(portions[portion].Load())
		if n > 1 || n == 1 && total != portion {
			t.Errorf("portion %d was visited %d times, after %d others", portion, n, total)
		}
		total += n
	}
	wantPairs(t, term, "04999", pair{"04999", "new"})
}

func scanStops(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	put(t, term, "a", "1")
	enough := errors.New("seen enough")

	_, err := term.Scan(t.Context(), "", func(int, []store.Pair) error { return enough })

	wantError(t, "Scan", err, enough)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := term.Scan(ctx, "", func(int, []store.Pair) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan with a context that is done = %v", err)
	}
}

func emptyGroup(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	before := put(t, term, "a", "1")

	revision, err := term.Commit(t.Context(), nil)

	if err != nil || revision != before {
		t.Errorf("Commit of nothing = %d, %v, want %d", revision, err, before)
	}
}

func lastCounts(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	put(t, term, "c", "0")

	_, err := term.Commit(t.Context(), []store.Op{
		{Key: "a", Value: []byte("1")},
		{Key: "b", Value: []byte("1")},
		{Key: "a", Value: []byte("2")},
		{Key: "b", Delete: true},
		{Key: "c", Delete: true},
		{Key: "c", Value: []byte("3")},
		{Key: "never", Delete: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	wantPairs(t, term, "", pair{"a", "2"}, pair{"c", "3"})
}

func largeValue(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	value := make([]byte, 1<<20)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(value) // it never fails

	want := string(value)

	_, err := term.Commit(t.Context(), []store.Op{{Key: "large", Value: value}})
	value[0]++ // the store has its own

	if err != nil {
		t.Fatal(err)
	}
	if got, _ := load(t, term, ""); len(got) != 1 || got[0].Value != want {
		t.Error("a value of 1 MiB came back otherwise")
	}
}

// loadedIsOurs changes what a load handed out.
func loadedIsOurs(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	put(t, term, "a", "1")

	_, err := term.Load(t.Context(), "", func(_ string, value []byte) error {
		value[0] = 'x'
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantPairs(t, term, "", pair{"a", "1"})
}

func needsKey(t trial) {
	term := campaign(t, t.Open(t.T), "one")

	_, err := term.Commit(t.Context(), []store.Op{{Key: "a"}, {Value: []byte("x")}})

	if err == nil || errors.Is(err, store.ErrInDoubt) {
		t.Errorf("Commit without a key = %v", err)
	}
	wantPairs(t, term, "")
}

func doneContext(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	ctx, stop := context.WithCancel(t.Context())
	stop()

	_, err := term.Commit(ctx, []store.Op{{Key: "a", Value: []byte("x")}})

	wantError(t, "Commit", err, context.Canceled)
	if errors.Is(err, store.ErrInDoubt) {
		t.Errorf("what was not begun is in doubt: %v", err)
	}
	wantPairs(t, term, "")
}

func manyOperations(t trial) {
	const many = 20_000
	term := campaign(t, t.Open(t.T), "one")
	ops := make([]store.Op, many)
	want := make([]pair, many)
	for i := range ops {
		key := fmt.Sprintf("task/%05d", i)
		want[i] = pair{key, strings.Repeat("v", i%200)}
		ops[i] = store.Op{Key: key, Value: []byte(want[i].Value)}
	}

	committed, err := term.Commit(t.Context(), ops)
	if err != nil {
		t.Fatal(err)
	}
	if loaded := wantPairs(t, term, "task/", want...); loaded != committed {
		t.Errorf("loaded revision %d, committed %d", loaded, committed)
	}
	for i := range ops {
		ops[i] = store.Op{Key: ops[i].Key, Delete: true}
	}
	if _, err := term.Commit(t.Context(), ops); err != nil {
		t.Fatal(err)
	}
	wantPairs(t, term, "")
}

// splitsInOrder runs with limits of 4 operations and 1 KiB.
func splitsInOrder(t trial) {
	tests := map[string]struct {
		sizes     []int // of the values
		revisions int64
	}{
		"at the limit is one part":      {[]int{1, 1, 1, 1}, 1},
		"one more is two":               {[]int{1, 1, 1, 1, 1}, 2},
		"three times the limit":         {make([]int, 12), 3},
		"by bytes":                      {[]int{600, 600, 600}, 3},
		"by bytes, small ones together": {[]int{600, 10, 10, 600, 10}, 2},
	}
	term := campaign(t, t.Open(t.T), "one")
	for name, tc := range tests {
		var ops []store.Op
		for i, size := range tc.sizes {
			ops = append(ops, store.Op{Key: fmt.Sprint("k", i), Value: make([]byte, size)})
		}
		before := put(t, term, "k", name)

		after, err := term.Commit(t.Context(), ops)

		if err != nil || after-before != tc.revisions {
			t.Errorf("%s: %d transactions, %v, want %d", name, after-before, err, tc.revisions)
		}
		if got, _ := load(t, term, "k"); len(got) < len(ops)+1 {
			t.Errorf("%s: %d pairs of %d", name, len(got), len(ops)+1)
		}
	}
}

func refusesTooLarge(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	ops := []store.Op{{Key: "a", Value: []byte("x")}, {Key: "large", Value: make([]byte, 1<<10)}}

	_, err := term.Commit(t.Context(), ops)

	wantError(t, "Commit", err, store.ErrTooLarge)
	if errors.Is(err, store.ErrInDoubt) {
		t.Errorf("what is refused is in doubt: %v", err)
	}
	wantPairs(t, term, "")
}
