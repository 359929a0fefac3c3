package sim_test

import (
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sync"
	"time"
)

var errRefused = errors.New("connection refused")

// network is what messages go over. Each way of each connection draws its delays
// from a source of its own, so that they do not hang on the order of goroutines.
type network struct {
	seed  uint64
	began time.Time

	mu      sync.Mutex
	blocked map[[2]string]int       // how many cuts there are, from the one to the other
	turned  map[[2]string]time.Time // when that changed last
	cuts    map[string][]time.Time  // when cuts began at an end, the oldest first
	changed chan struct{}           // closed and made anew when blocked changes
	lines   map[string]int          // connections made so far, by their ends
	loss    int                     // of a thousand writes
	late    time.Duration           // the longest delay that is drawn now
}

func newNetwork(seed uint64) *network {
	return &network{
		seed: seed, began: time.Now(), blocked: make(map[[2]string]int), turned: make(map[[2]string]time.Time), cuts: make(map[string][]time.Time), changed: make(chan struct{}),
		lines: make(map[string]int), late: 2 * time.Millisecond,
	}
}

// source returns the randomness of one name.
func (n *network) source(name string) *rand.Rand {
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, name) // never fails
	return rand.New(rand.NewPCG(n.seed, hash.Sum64()))
}

// cut keeps what is sent from the one to the other until heal.
func (n *network) cut(from, to string) {
	n.change(from, to, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for _, end := range []string{from, to} {
		if old := n.cuts[end]; len(old) == 0 || old[len(old)-1].Before(now) {
			n.cuts[end] = append(n.cuts[end], now)
		}
	}
}

// cutSince returns how often an end was cut off from something since then.
func (n *network) cutSince(end string, since time.Time) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for _, at := range n.cuts[end] {
		if at.After(since) {
			count++
		}
	}
	return count
}

func (n *network) heal(from, to string) { n.change(from, to, -1) }

func (n *network) change(from, to string, by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocked[[2]string{from, to}] += by
	n.turned[[2]string{from, to}] = time.Now()
	close(n.changed)
	n.changed = make(chan struct{})
}

// passes reports whether messages come through, and what is closed when that may
// have changed.
func (n *network) passes(from, to string) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.blocked[[2]string{from, to}] <= 0, n.changed
}

// reachable reports whether both ways are open.
func (n *network) reachable(a, b string) bool {
	there, _ := n.passes(a, b)
	back, _ := n.passes(b, a)
	return there && back
}

// steady returns since when both ways are open; zero while they are not.
func (n *network) steady(a, b string) time.Time {
	if !n.reachable(a, b) {
		return time.Time{}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	since := n.began
	for _, way := range [][2]string{{a, b}, {b, a}} {
		if at := n.turned[way]; at.After(since) {
			since = at
		}
	}
	return since
}

// weather sets how much is lost and how late the rest comes.
func (n *network) weather(loss int, late time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss, n.late = loss, late
}

// fate draws what becomes of what is written.
func (n *network) fate(draw *rand.Rand) (delay time.Duration, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delay = 100*time.Microsecond + time.Duration(draw.Int64N(int64(n.late)))
	return delay, draw.IntN(1000) < n.loss
}

// way names a new connection's way from the one to the other.
func (n *network) way(from, to string) *rand.Rand {
	n.mu.Lock()
	name := from + ">" + to
	n.lines[name]++
	number := n.lines[name]
	n.mu.Unlock()
	return n.source(name + string(rune('0'+number%10)) + string(rune('0'+number/10%10)) + string(rune('0'+number/100)))
}
