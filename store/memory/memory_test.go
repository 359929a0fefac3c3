package memory_test

import (
	"testing"

	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
	"github.com/aloft-run/aloft/store/storetest"
)

func TestBackend(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(_ *testing.T, limits store.Limits) storetest.State {
		cluster := memory.New(memory.Config{Limits: limits})
		return storetest.State{
			Open: func(t *testing.T) *store.Store {
				t.Helper()
				member := cluster.Join()
				t.Cleanup(func() { _ = member.Close() })
				return member.Store
			},
			Depose: func(*testing.T) { cluster.Depose() },
		}
	})
}
