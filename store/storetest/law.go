package storetest

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/store"
)

// agreesWithMap commits groups drawn at random, which small limits split, and
// compares with a map that does the same one by one.
func agreesWithMap(t trial) {
	term := campaign(t, t.Open(t.T), "one")
	key := rapid.StringMatching(`[ab]{1,3}`)
	operation := rapid.Custom(func(t *rapid.T) store.Op {
		return store.Op{
			Key:    key.Draw(t, "key"),
			Value:  rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value"),
			Delete: rapid.Bool().Draw(t, "delete"),
		}
	})
	held, revision := map[string]string{}, int64(0)
	rapid.Check(t.T, func(rt *rapid.T) {
		ops := rapid.SliceOfN(operation, 0, 12).Draw(rt, "ops")

		after, err := term.Commit(rt.Context(), ops)
		if err != nil {
			rt.Fatal(err)
		}
		if after < revision {
			rt.Fatalf("revision %d follows %d", after, revision)
		}
		revision = after
		for _, op := range ops {
			if op.Delete {
				delete(held, op.Key)
			} else {
				held[op.Key] = string(op.Value)
			}
		}
		prefix := rapid.StringMatching(`[ab]{0,2}`).Draw(rt, "prefix")
		got, _ := load(t, term, prefix)
		if diff := cmp.Diff(below(held, prefix), got); diff != "" {
			rt.Fatalf("below %q (-want +got):\n%s", prefix, diff)
		}
	})
}

// below returns what is held below prefix, in order.
func below(held map[string]string, prefix string) (pairs []pair) {
	for _, key := range slices.Sorted(maps.Keys(held)) {
		if strings.HasPrefix(key, prefix) {
			pairs = append(pairs, pair{key, held[key]})
		}
	}
	return pairs
}
