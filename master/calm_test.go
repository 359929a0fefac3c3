package master_test

import (
	"testing"

	"github.com/aloft-run/aloft/master"
)

func TestLargerHeapsMayGrowByMore(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		live uint64
		want int
	}{
		"a small one as usual":                 {60 << 20, 100},
		"one of some size by three times that": {200 << 20, 300},
		"a large one by what is spare":         {1 << 30, 150},
		"a very large one by a part":           {8 << 30, 75},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if found := master.PercentFor(of.live); found != of.want {
				t.Errorf("a heap of %d bytes may grow by %d %%, want %d", of.live, found, of.want)
			}
		})
	}
}
