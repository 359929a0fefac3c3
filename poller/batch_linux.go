package poller

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// batchMax is how many sockets a hand asks the kernel for at once.
const batchMax = 8

// news is what the kernel tells of one socket.
type news struct {
	of   Token
	bits uint32 // of epoll
}

// batch is what the kernel told a hand at once. The hand takes one after the other, and so does
// any other that has nothing: what belongs to a hand that the kernel has put aside does not wait
// for it. Only its hand fills a batch, when it is empty.
type batch struct {
	state  atomic.Uint64 // how often it was filled, which is next, and how many there are
	tokens [batchMax]atomic.Uint64
	bits   [batchMax]atomic.Uint32
}

// The parts of a batch's state. Who was put aside while it took one sees that the batch is another,
// though as much is left of it.
const (
	countBits = 8
	countMask = 1<<countBits - 1
	oneTaken  = 1 << countBits
	fillShift = 2 * countBits
)

// fill has all see what the kernel has told.
func (b *batch) fill(events []unix.EpollEvent) {
	for i, event := range events {
		b.tokens[i].Store(uint64(uint32(event.Fd))<<32 | uint64(uint32(event.Pad))) //nolint:gosec // bits are kept
		b.bits[i].Store(event.Events)
	}
	b.state.Store((b.state.Load()>>fillShift+1)<<fillShift | uint64(len(events)))
}

// take returns the next that nobody has taken.
func (b *batch) take() (next news, ok bool) {
	for {
		next, state, ok := b.look()
		if !ok || b.claim(state) {
			return next, ok
		}
	}
}

// look returns what is next in the state in which the batch is.
func (b *batch) look() (next news, state uint64, ok bool) {
	state = b.state.Load()
	at := state >> countBits & countMask
	if at >= state&countMask {
		return news{}, state, false
	}
	token := b.tokens[at].Load()
	return news{Token{int32(token >> 32), int32(token)}, b.bits[at].Load()}, state, true //nolint:gosec // bits are kept
}

// claim takes what look has found, unless the batch has changed since.
func (b *batch) claim(state uint64) bool { return b.state.CompareAndSwap(state, state+oneTaken) }
