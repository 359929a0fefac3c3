package memory_test

import (
	"errors"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
)

// TestFailedGroupLeavesItsBeginning fails one part of a split group, before or
// after it is written, and wants what is left to be the group cut off somewhere.
func TestFailedGroupLeavesItsBeginning(t *testing.T) {
	t.Parallel()
	operation := rapid.Custom(func(t *rapid.T) store.Op {
		return store.Op{
			Key:    rapid.StringMatching(`[abc]`).Draw(t, "key"),
			Value:  []byte(rapid.StringMatching(`[01]`).Draw(t, "value")),
			Delete: rapid.Bool().Draw(t, "delete"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		ops := rapid.SliceOfN(operation, 1, 20).Draw(t, "ops")
		fails := rapid.IntRange(0, 6).Draw(t, "fails")
		written := rapid.Bool().Draw(t, "written")
		broken, part := errors.New("broken"), 0
		cluster := memory.New(memory.Config{
			Limits: store.Limits{Ops: 3},
			Fault: func(call memory.Call) memory.Fate {
				if call.Kind != memory.Commit {
					return memory.Fate{}
				}
				if part++; part-1 != fails {
					return memory.Fate{}
				}
				return memory.Fate{Err: broken, Done: written}
			},
		})
		term, err := cluster.Join().Campaign(t.Context(), "one")
		if err != nil {
			t.Fatal(err)
		}

		_, err = term.Commit(t.Context(), ops)

		parts := (len(ops) + 2) / 3
		if failed := fails < parts; failed != errors.Is(err, broken) || failed != errors.Is(err, store.ErrInDoubt) {
			t.Fatalf("Commit of %d parts, the one at %d fails: %v", parts, fails, err)
		}
		reached := fails
		if written {
			reached++
		}
		want := map[string]string{}
		for _, op := range ops[:min(3*reached, len(ops))] {
			if op.Delete {
				delete(want, op.Key)
			} else {
				want[op.Key] = string(op.Value)
			}
		}
		got := map[string]string{}
		_, err = term.Load(t.Context(), "", func(key string, value []byte) error {
			got[key] = string(value)
			return nil
		})
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("left %v, %v, want %v", got, err, want)
		}
	})
}
