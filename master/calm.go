package master

import (
	"context"
	"os"
	"runtime/debug"
	rtmetrics "runtime/metrics"
	"sync"
	"time"
)

// calm has the garbage collector wait while a leader loads its cluster: almost all
// that is made then stays, and it would look through all of that again each time the
// heap has doubled. Several masters of one process may load at once.
var calm collector //nolint:gochecknoglobals // the collector is the process's

type collector struct {
	mu      sync.Mutex // guards all below
	waiters int        // loads that are under way
	percent int        // as it was set before the first of them, or else last
}

// begin has the collector wait until as many have called end.
func (c *collector) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters++; c.waiters == 1 {
		c.percent = debug.SetGCPercent(-1) // a memory limit, where one is set, still counts
	}
}

func (c *collector) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiters--; c.waiters == 0 {
		debug.SetGCPercent(c.percent)
	}
}

// What a master's heap may grow by between two collections, in percent of what is
// alive: as Go does by itself while that is little. The memory of a large cluster is
// mostly records that stay, and looking through them all again and again is a quarter
// of what it costs to start many tasks. So a larger heap may grow by heapSpare, but by
// percentMax at most.
const (
	percentUsual = 100
	percentMin   = 75
	percentMax   = 300
	heapSmall    = 128 << 20 // bytes
	heapSpare    = 1 << 30
)

// percentFor returns by how much a heap may grow of which so many bytes are alive.
func percentFor(live uint64) int {
	if live < heapSmall {
		return percentUsual
	}
	return int(min(max(heapSpare*100/live, percentMin), percentMax))
}

// tendEvery is how often a master looks at the size of its heap.
const tendEvery = time.Second

// TendCollector has the garbage collector of a process that is a master work by the size of the
// heap, until ctx is done. Where the environment sets GOGC, that
// counts.
func TendCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	live := []rtmetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for wait(ctx, tendEvery) {
		rtmetrics.Read(live)
		calm.set(percentFor(live[0].Value.Uint64()))
	}
}

// set has the collector work by that percentage, at the latest when nobody loads.
func (c *collector) set(percent int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.percent == percent {
		return
	}
	c.percent = percent
	if c.waiters == 0 {
		debug.SetGCPercent(percent)
	}
}
