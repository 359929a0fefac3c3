package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/aloft-run/aloft/store"
)

// historyLeadsHere replays what earlier terms did, from the beginning and from
// later on: with what was there then it makes what is there now.
func historyLeadsHere(t trial) {
	one := t.Open(t.T)
	draw := rand.New(rand.NewPCG(1, 2))
	held := map[string]string{}
	at := map[int64]map[string]string{} // what was held after each revision
	for range 3 {
		term := campaign(t, one, "one")
		at[int64(term.Epoch())] = maps.Clone(held)
		for range 20 {
			key := fmt.Sprintf("%c/%d", 'a'+draw.IntN(2), draw.IntN(5))
			op := store.Op{Key: key, Value: fmt.Append(nil, draw.IntN(100)), Delete: draw.IntN(3) == 0}
			revision, err := term.Commit(t.Context(), []store.Op{op})
			if err != nil {
				t.Fatal(err)
			}
			if delete(held, key); !op.Delete {
				held[key] = string(op.Value)
			}
			at[revision] = maps.Clone(held)
		}
		if err := term.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	last := campaign(t, one, "one")
	for _, most := range []int64{1 << 40, 30, 5, 0} {
		for _, prefix := range []string{"", "a/"} {
			replays(t, last, prefix, most, at, held)
		}
	}
}

// replays checks one replay.
func replays(t trial, term *store.Term, prefix string, most int64, at map[int64]map[string]string, want map[string]string) {
	t.Helper()
	var changes []store.Change
	since, err := term.History(t.Context(), prefix, most, func(c store.Change) error {
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := maps.Clone(was(at, since))
	revision := since
	for _, c := range changes {
		if c.Revision < revision || !strings.HasPrefix(c.Key, prefix) || string(c.Before) != got[c.Key] {
			t.Fatalf("after revision %d comes %+v, where %q was held", revision, c, got[c.Key])
		}
		revision = c.Revision
		if delete(got, c.Key); !c.Delete {
			got[c.Key] = string(c.Value)
		}
	}
	if diff := cmp.Diff(below(want, prefix), below(got, prefix)); diff != "" {
		t.Errorf("the last %d revisions below %q (-want +got):\n%s", most, prefix, diff)
	}
}

// was returns what was held at a revision.
func was(at map[int64]map[string]string, revision int64) map[string]string {
	for ; revision > 0; revision-- {
		if held, ok := at[revision]; ok {
			return held
		}
	}
	return map[string]string{}
}
