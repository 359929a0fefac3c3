//go:build linux

package poller

import (
	"time"

	"golang.org/x/sys/unix"
)

// Batch is a batch for its test.
type Batch struct{ inner batch }

// BatchMax is how many news a batch has room for.
const BatchMax = batchMax

// Fill is the batch's.
func (b *Batch) Fill(events []unix.EpollEvent) { b.inner.fill(events) }

// Look is the batch's.
func (b *Batch) Look() (of Token, bits uint32, state uint64, ok bool) {
	next, state, ok := b.inner.look()
	return next.of, next.bits, state, ok
}

// Claim is the batch's.
func (b *Batch) Claim(state uint64) bool { return b.inner.claim(state) }

// TokenOf returns what an event is about.
func TokenOf(event unix.EpollEvent) Token { return Token{event.Fd, event.Pad} }

// Asleep returns how many hands wait until the kernel wakes them.
func (l *Loop) Asleep() int { return int(l.asleep.Load()) }

// Waits reports whether a goroutine waits for something to read.
func (c *Conn) Waits() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sides[reading].waiter.parked != nil
}

// RestAfter returns how long a resting loop, which has not been started, rests when the kernel has told
// of so many sockets, and of so many more.
func (l *Loop) RestAfter(told ...int) time.Duration {
	h := &l.hands[0]
	h.loop = l
	for _, n := range told {
		for more := h.told(n); more; more = h.take() {
		}
	}
	return h.nextRest()
}
