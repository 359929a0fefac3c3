package sim_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
)

// agentCPUs is what a machine has, in thousandths.
const agentCPUs = 3000

// cluster is all parts of one run. Its loop, play, does what the scenario says;
// it lives in a bubble.
type cluster struct {
	scenario scenario
	dir      string
	net      *network
	obs      *observer
	store    *memory.Cluster
	trouble  *trouble
	masters  []*masterProcess
	machines []*machine
	routers  []*routerProcess
	watcher  *watcher

	asked  atomic.Int32    // calls of operators so far
	living context.Context //nolint:containedctx // until the run ends
	alive  sync.WaitGroup  // all that the run has started

	mu    sync.Mutex    // guards all below
	queue []deed        // what is still to happen, the earliest first
	woken chan struct{} // holds one signal: queue has changed

	judged int // commits that were; owned by the loop
}

// deed is something to do at a time.
type deed struct {
	at time.Time
	do func()
}

// newCluster starts every part.
func newCluster(s scenario, dir string) (c *cluster, stop context.CancelFunc) {
	ctx, stop := context.WithCancel(context.Background())
	c = &cluster{scenario: s, dir: dir, net: newNetwork(s.seed), living: ctx, woken: make(chan struct{}, 1)}
	c.obs = newObserver(c, s.split == 0)
	c.trouble = &trouble{c: c, upset: make(map[int]string)}
	c.store = memory.New(memory.Config{Limits: store.Limits{Ops: s.split}, Fault: c.trouble.fate, Committed: c.obs.committed})
	for i := range s.masters {
		c.masters = append(c.masters, &masterProcess{c: c, name: fmt.Sprintf("m%d", i+1)})
	}
	ports, err := resource.RangesOf(resource.Range{First: 20000, Last: 20029})
	if err != nil {
		panic(err) // it is a range
	}
	for i := range s.agents + 1 {
		name := fmt.Sprintf("a%d", i+1)
		m := &machine{c: c, name: name, ports: ports, cpus: agentCPUs, dir: filepath.Join(dir, name)}
		// Each is an address of its own of the loopback, so that runs beside each
		// other do not meet when agents look whether a port is free.
		m.address = fmt.Sprintf("127.%d.%d.%d", 1+s.seed%200, s.seed/200%250, 10+i)
		c.machines = append(c.machines, m)
	}
	for i := range s.routers {
		name := fmt.Sprintf("r%d", i+1)
		c.routers = append(c.routers, &routerProcess{c: c, name: name})
	}
	for _, p := range c.masters {
		p.start()
	}
	spare := len(c.machines) - 1
	c.machines[spare].cpus = 10 * agentCPUs // for the end, when there shall be room for all
	for _, m := range c.machines[:spare] {
		m.bootUp()
		m.startAgent()
	}
	for _, p := range c.routers {
		p.start()
		c.alive.Go(func() { c.clients(ctx, p) })
	}
	c.watcher = c.watch(ctx, "w1")
	return c, stop
}

// later has something done by the loop after d, unless the run is over.
func (c *cluster) later(d time.Duration, do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := deed{time.Now().Add(d), do}
	at, _ := slices.BinarySearchFunc(c.queue, next, func(a, b deed) int {
		if a.at.After(b.at) {
			return 1
		}
		return -1 // what was planned before comes before
	})
	c.queue = slices.Insert(c.queue, at, next)
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// due returns what is to be done now, or how long to wait.
func (c *cluster) due() (do func(), wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return nil, time.Hour
	}
	if wait = time.Until(c.queue[0].at); wait > 0 {
		return nil, wait
	}
	do = c.queue[0].do
	c.queue = c.queue[1:]
	return do, 0
}

// pass lets time pass, does what is to be done, and holds the cluster to the laws
// after each step. It returns false once a law is broken.
func (c *cluster) pass(d time.Duration) bool {
	end := time.Now().Add(d)
	for c.obs.verdict() == nil {
		do, wait := c.due()
		left := time.Until(end)
		switch {
		case do != nil:
			do()
			synctest.Wait()
			continue
		case left <= 0:
			return true
		}
		timer := time.NewTimer(min(wait, left, time.Second))
		select {
		case <-timer.C:
		case <-c.woken:
		}
		timer.Stop()
		synctest.Wait()
		c.judge()
	}
	return false
}

// judge looks at what does not show in a single event.
func (c *cluster) judge() {
	c.obs.judgeEnds()
	c.obs.mu.Lock()
	commits := c.obs.commits
	c.obs.mu.Unlock()
	if c.obs.whole && commits != c.judged {
		c.judged = commits
		c.obs.judgeLoad()
	}
}

// play lives the scenario and then heals all, and returns the law that was broken.
func (c *cluster) play() *violation {
	defer c.close()
	c.alive.Go(func() {
		for pause(c.living, 3*time.Second) {
			c.judgeBalance(100 * time.Millisecond)
		}
	})
	last := time.Duration(0)
	for _, a := range c.scenario.actions {
		c.later(a.at, func() { c.act(a) })
		last = max(last, a.at)
	}
	if c.pass(last+2*time.Second) && c.heal() {
		c.judgeEnd()
	}
	return c.obs.verdict()
}

// close ends every part.
func (c *cluster) close() {
	for _, p := range c.masters {
		p.kill()
	}
	for _, m := range c.machines {
		m.powerOff()
	}
	for _, p := range c.routers {
		p.kill()
	}
}

// run plays a scenario in the bubble of the caller.
func run(s scenario, dir string) (broken *violation, story []string) {
	c, stop := newCluster(s, dir)
	broken = c.play()
	stop()
	c.alive.Wait()
	time.Sleep(2 * dialWithin) // connections that nobody waits for any more come about, or not
	return broken, c.obs.story
}

// workplace makes a folder for the files of a run, in memory where there is such
// a place: routers sync their tables.
func workplace() (dir string, remove func(), err error) {
	base := "/dev/shm"
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		base = ""
	}
	dir, err = os.MkdirTemp(base, "aloft-sim-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}
