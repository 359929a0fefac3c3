// Package hugepage has the heap of a process that will grow large be of huge pages, of 2 MiB
// in place of 4 KiB.
//
// The kernel gives a process its memory page by page, when it is first written to. A heap
// of 2 GiB is 500,000 such moments, of 12 µs each on some virtual machines. And of small pages many
// more must be looked up again and again.
//
// Go does not ask for huge pages by itself: where little of each is used they take more memory
// (golang.org/issue/64332), and where memory is short the kernel may make room for one while the
// program waits (golang.org/issue/61718). So this is for a process that uses all of a large heap,
// and leaves the beginning of the heap as it is.
package hugepage

import (
	"math"
	"runtime"
	"runtime/debug"
)

// small is how much of the heap is of small pages still: a process that needs no more than
// that takes no more memory than it did.
const small = 32 << 20

// Heap has the heap of this process grow into huge pages, up to so many bytes, but no more than
// a quarter of the machine's memory; it takes none of that before it is used. It returns up to where,
// or 0 where there is nothing to be had: the kernel offers no huge pages, or the memory that may be
// used or reserved is bounded. It is to be called once, before the heap has grown.
//
// Go fills its heap from the front. What this allocates, without ever writing to it, has a part of the
// address space become heap, and what is said to the kernel of that part stays true of it when it is
// given back.
func Heap(most int64) (upTo int64) {
	most = min(most, affordable()/4, math.MaxInt/4)
	if most <= small || debug.SetMemoryLimit(-1) != math.MaxInt64 || !advise(most) {
		return 0
	}
	runtime.GC()
	return most
}

// advise allocates so much, and asks for huge pages for what is behind the small ones.
func advise(size int64) bool {
	heap := make([]byte, size)
	return wantHuge(heap[small:])
}
