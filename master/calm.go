package master

import (
	"runtime/debug"
	"sync"
)

// calm has the garbage collector wait while a leader loads its cluster: almost all
// that is made then stays, and it would look through all of that again each time the
// heap has doubled. Several masters of one process may load at once.
var calm collector //nolint:gochecknoglobals // the collector is the process's

type collector struct {
	mu      sync.Mutex // guards all below
	waiters int        // loads that are under way
	percent int        // as it was set before the first of them
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
