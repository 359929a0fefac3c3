package master_test

import (
	"testing"

	"github.com/aloft-run/aloft/master"
)

func TestLargerHeapsMayGrowByMore(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		live uint64
		rush bool
		want int
	}{
		"a small one as usual":                         {60 << 20, false, 100},
		"one of some size by three times that":         {200 << 20, false, 300},
		"a large one by what is spare":                 {1 << 30, false, 150},
		"a very large one by a part":                   {8 << 30, false, 75},
		"a small one in a rush by what that will take": {64 << 20, true, 200},
		"one that never was looked at in a rush":       {0, true, 3200},
		"one of some size in a rush as usual":          {200 << 20, true, 300},
		"a large one in a rush as usual":               {1 << 30, true, 150},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := master.PercentFor(of.live, of.rush); found != of.want {
				t.Errorf("a heap of %d bytes may grow by %d %%; want %d", of.live, found, of.want)
			}
		})
	}
}
