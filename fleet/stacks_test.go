package fleet_test

import (
	"runtime"
	"sync"
)

const (
	stackDepth   = 6 << 10  // about what it takes of a stack to open a session, in bytes
	sessionParts = 6        // goroutines that a session has, and had
	sessionBytes = 64 << 10 // about what a session takes of memory, with what is thrown away
)

// makeReady has the memory at hand that the sessions of so many agents will take, of which each
// machine of a cluster has its own.
func makeReady(agents int) {
	touch(agents * sessionBytes)
	widenStacks(agents)
}

// touch has so much memory at hand, which stays with the process for what it makes next. A virtual
// machine may have to ask its host for each page that it has not used for a while, which was half
// of what it took agents to begin.
func touch(size int) {
	write(make([]byte, size))
	runtime.GC()
}

// write writes to each page.
func write(memory []byte) {
	const page = 4 << 10
	for i := 0; i < len(memory); i += page {
		memory[i] = 1
	}
}

// widenStacks has the goroutines of so many agents begin with as much of a stack as they
// come to. By itself each doubles its stack two or three times, which was a fifth of what
// it took agents to begin; an agent on a machine of its own does so once. Go gives a
// goroutine that takes the place of one that has ended what those had on average that it
// saw when it collected last.
func widenStacks(agents int) {
	const seen = 1_000 // enough for an average
	hold(agents*sessionParts, func(wait func()) { wait() }, func() {})
	hold(seen, func(wait func()) {
		var frame [stackDepth]byte
		wait()
		runtime.KeepAlive(&frame)
	}, runtime.GC)
}

// hold has so many goroutines wait at one time, and calls work meanwhile.
func hold(n int, each func(wait func()), work func()) {
	ready, enough := make(chan struct{}), make(chan struct{})
	var holding sync.WaitGroup
	for range n {
		holding.Go(func() {
			each(func() {
				ready <- struct{}{}
				<-enough
			})
		})
	}
	for range n {
		<-ready
	}
	work()
	close(enough)
	holding.Wait()
}
