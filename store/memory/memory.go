// Package memory keeps the state of a store in memory, for tests and simulation:
// several stores join one Cluster, and one of them leads.
//
// It keeps the laws of package store, fencing among them, and adds the faults
// that a test asks for. It starts no goroutine, reads no clock and touches no
// file: its only time is that of a timer, so that it runs in a synctest bubble.
//
// A Cluster is safe for concurrent use.
package memory

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aloft-run/aloft/store"
)

// Config is what a Cluster is made with. Zero fields get their defaults.
type Config struct {
	LeaseTTL time.Duration        // how long a term outlives its member; default 2s
	Limits   store.Limits         // default: those of an embedded member
	Fault    func(call Call) Fate // what becomes of each call; default: it succeeds
	// Committed sees each transaction that changed something, in order, at once, with
	// its revision and its epoch. It must not call the Cluster, nor keep or change ops.
	Committed func(revision int64, epoch uint64, ops []store.Op)
}

func (c Config) withDefaults() Config {
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 2 * time.Second
	}
	if c.Fault == nil {
		c.Fault = func(Call) Fate { return Fate{} }
	}
	if c.Committed == nil {
		c.Committed = func(int64, uint64, []store.Op) {}
	}
	return c
}

// Cluster is the state that its members share. Make it with New.
type Cluster struct {
	cfg Config

	mu        sync.Mutex // guards all below, and the fields of links and terms
	revision  int64
	values    map[string][]byte
	past      []store.Change      // oldest first
	forgotten int64               // changes up to this revision are not in past
	leader    *term               // nil: nobody leads
	changed   chan struct{}       // closed and made anew when leader changes
	present   map[string]presence // by name
}

// term is a leadership as the cluster knows it.
type term struct {
	*lease

	identity string
	epoch    uint64
}

// New returns a Cluster that holds nothing and that nobody has joined.
func New(cfg Config) *Cluster {
	return &Cluster{
		cfg:      cfg.withDefaults(),
		revision: 1,
		values:   make(map[string][]byte),
		changed:  make(chan struct{}),
		present:  make(map[string]presence),
	}
}

// Join returns a new member, as if a process had opened the store.
func (c *Cluster) Join() *Member {
	l := &link{cluster: c}
	return &Member{Store: store.New(l, c.cfg.Limits), link: l}
}

// Depose ends the term of now behind its leader's back, as if its lease had run
// out. The leader learns of it at once.
func (c *Cluster) Depose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader != nil {
		c.leader.revoke()
	}
}

// lead makes identity the leader, or returns who leads, and the channel that says when to
// try again.
func (c *Cluster) lead(identity string, owner *link) (won *term, leads string, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader != nil {
		return nil, c.leader.identity, c.changed
	}
	c.revision++
	c.leader = &term{lease: c.grant(owner, c.vacate), identity: identity, epoch: uint64(c.revision)}
	c.wake()
	return c.leader, identity, nil
}

// now returns who leads, and the channel that says when to ask again.
func (c *Cluster) now() (identity string, epoch uint64, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == nil {
		return "", 0, c.changed
	}
	return c.leader.identity, c.leader.epoch, c.changed
}

// commit applies ops if epoch leads. As in etcd, whose transaction counts the
// commits, each has a revision of its own, though it changes nothing.
func (c *Cluster) commit(epoch uint64, ops []store.Op) (revision int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader == nil || c.leader.epoch != epoch {
		return 0, store.ErrDeposed
	}
	for _, op := range ops {
		if _, there := c.values[op.Key]; there || !op.Delete {
			c.record(op)
		}
		if op.Delete {
			delete(c.values, op.Key)
		} else {
			c.values[op.Key] = bytes.Clone(op.Value)
		}
	}
	if len(ops) > 0 {
		c.revision++
		c.cfg.Committed(c.revision, epoch, ops)
	}
	return c.revision, nil
}

type pair struct {
	key   string
	value []byte
}

// pairs returns copies of those whose key begins with prefix, in order.
func (c *Cluster) pairs(prefix string) (list []pair, revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(c.values)) {
		if strings.HasPrefix(key, prefix) {
			list = append(list, pair{key, bytes.Clone(c.values[key])})
		}
	}
	return list, c.revision
}

// evict ends the term of epoch if it leads. An owner that is cut off learns of
// it when its lease runs out or the cut is healed.
func (c *Cluster) evict(epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch t := c.leader; {
	case t == nil || t.epoch != epoch:
	case t.owner.healed != nil:
		t.terminate()
	default:
		t.revoke()
	}
}

// end ends a term that its owner resigned.
func (c *Cluster) end(t *term) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.revoke()
}

// vacate leaves nobody leading. The caller holds c.mu.
func (c *Cluster) vacate() {
	c.leader = nil
	c.revision++
	c.wake()
}

// wake wakes all that wait for another leader. The caller holds c.mu.
func (c *Cluster) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}
