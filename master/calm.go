package master

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	rtmetrics "runtime/metrics"
	"sync"
	"time"
)

// calm has the garbage collector wait while a leader loads its cluster: almost all
// that is made then stays, and it would look through all of that again each time the
// heap has doubled. Several masters of one process may load at once.
var calm collector //nolint:gochecknoglobals // the collector is the process's

// Calm has the garbage collector of this process wait until done is called, as it does
// while a leader loads its cluster: for who opens a store with all its keys before
// that. done waits for the garbage to be collected; the work may go on beside it.
func Calm() (done func()) {
	calm.begin()
	return sync.OnceFunc(calm.end)
}

type collector struct {
	mu      sync.Mutex // guards all below
	waiters int        // loads that are under way
	waiting bool       // the collector does; also until it has worked once after the last of them
	percent int        // as it was set before the first of them, or else last
	tended  bool       // it works by the size of the heap
	rushed  time.Time  // when agents had to wait at the door last
}

// begin has the collector wait until as many have called end.
func (c *collector) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters++
	if !c.waiting {
		c.waiting, c.percent = true, debug.SetGCPercent(-1) // a memory limit, where one is set, still counts
	}
}

// end has the garbage collected, if there may be much, and the collector work as before
// then. Set to work on a heap that is far larger than what it aims at, it would make
// everybody who allocates help it first.
func (c *collector) end() {
	c.mu.Lock()
	c.waiters--
	last := c.waiters == 0
	c.mu.Unlock()
	if !last {
		return
	}
	if heapBytes(heapInUse) > heapSmall {
		runtime.GC()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting && c.waiters == 0 {
		c.waiting = false
		if c.tended { // what was alive when it was looked at last, before the load, says nothing
			c.percent = c.wanted()
		}
		debug.SetGCPercent(c.percent)
	}
}

// After a load of calmFrom records or more the collector waits for the first call to be
// answered, but not for longer than calmFor: to look through all that was loaded takes
// the processors that the first plans want. It waits for the agents that come back, too,
// until none has been at the door for calmAfter, or rushFor has passed, or the heap has
// grown by calmSpare.
const (
	calmFrom  = 50_000
	calmFor   = 2 * time.Second
	calmAfter = 250 * time.Millisecond
	calmLook  = 50 * time.Millisecond
	calmSpare = 256 << 20 // bytes
)

// awaitCalm waits for that after a large load, or until ctx is done.
func (r *reign) awaitCalm(ctx context.Context) {
	if r.loaded < calmFrom {
		return
	}
	select {
	case <-r.answered:
	case <-time.After(calmFor):
	case <-ctx.Done():
	}
	since, last := time.Now(), time.Now()
	most := heapBytes(heapInUse) + calmSpare
	for time.Since(last) < calmAfter && time.Since(since) < rushFor && heapBytes(heapInUse) < most && wait(ctx, calmLook) {
		if r.door.busy() {
			last = time.Now()
		}
	}
}

// The figures that the runtime keeps of the heap, in bytes: with what may be garbage, and
// what was alive when it was looked through last.
const (
	heapInUse = "/memory/classes/heap/objects:bytes"
	heapLive  = "/gc/heap/live:bytes"
)

// heapBytes returns one of them.
func heapBytes(name string) uint64 {
	sample := []rtmetrics.Sample{{Name: name}}
	rtmetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// What a master's heap may grow by between two collections, in percent of what is
// alive: as Go does by itself while that is little. The memory of a large cluster is
// mostly records that stay, and looking through them all again and again is a quarter
// of what it costs to start many tasks. So a larger heap may grow by heapSpare, but by
// percentMax at most. A small one may grow by rushSpare while more agents come than the
// door lets in: what makes room for their sessions stays, for the most part.
const (
	percentUsual = 100
	percentMin   = 75
	percentMax   = 300
	heapLeast    = 4 << 20   // bytes
	heapSmall    = 128 << 20 // also not worth to be collected at once after a load
	heapSpare    = 3 << 29
	rushSpare    = 128 << 20
)

// percentFor returns by how much a heap may grow of which so many bytes are alive.
func percentFor(live uint64, rush bool) int {
	switch {
	case live >= heapSmall:
		return int(min(max(heapSpare*100/live, percentMin), percentMax))
	case rush:
		return int(rushSpare * 100 / max(live, heapLeast))
	default:
		return percentUsual
	}
}

// tendEvery is how often a master looks at the size of its heap.
const tendEvery = time.Second

// TendCollector has the garbage collector of a process that is a master work by the size
// of the heap, until ctx is done. Where the environment sets GOGC, that counts.
func TendCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	calm.mu.Lock()
	calm.tended = true
	calm.mu.Unlock()
	for wait(ctx, tendEvery) {
		calm.tend()
	}
}

// rush has the heap grow by rushSpare for a while, for the sessions of the agents that wait.
func (c *collector) rush() {
	c.mu.Lock()
	begins := c.tended && time.Since(c.rushed) > tendEvery
	c.rushed = time.Now()
	c.mu.Unlock()
	if begins {
		c.tend()
	}
}

// tend has the collector work by the size of the heap, unless somebody loads.
func (c *collector) tend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if percent := c.wanted(); !c.waiting && c.percent != percent {
		c.percent = percent
		debug.SetGCPercent(percent)
	}
}

// wanted returns what the heap may grow by. The caller holds c.mu.
func (c *collector) wanted() int {
	return percentFor(heapBytes(heapLive), time.Since(c.rushed) < rushFor)
}
