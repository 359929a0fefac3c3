package router

import (
	"slices"
	"sync"
	"sync/atomic"
)

// ticket is the place of one request in a queue.
type ticket struct {
	queue    *queue
	wake     chan struct{} // holds at most one: something has changed for this ticket
	released atomic.Bool
	next     *ticket // the one released after this one
}

// queue holds the requests of a service that has no instance for them, in the
// order in which they came. It outlives the tables.
type queue struct {
	mu      sync.Mutex
	waiting []*ticket
	length  atomic.Int64 // len(waiting), read without the mutex on the way of each request
}

// join adds a ticket at the end, or returns nil if the queue has limit already.
func (q *queue) join(limit int) *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= limit {
		return nil
	}
	t := &ticket{queue: q, wake: make(chan struct{}, 1)}
	q.waiting = append(q.waiting, t)
	q.length.Store(int64(len(q.waiting)))
	return t
}

// leave takes a ticket out and wakes the next one if that has to act: because it
// is its turn, or because it falls to the first in the queue to try whether
// instances can be reached again.
func (q *queue) leave(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, t)
	if i < 0 { // it has been released
		if t.next != nil {
			t.next.signal()
		}
		return
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.length.Store(int64(len(q.waiting)))
	if i == 0 && len(q.waiting) > 0 {
		q.waiting[0].signal()
	}
}

// isFirst reports whether the ticket is the one that waits the longest.
func (q *queue) isFirst(t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) > 0 && q.waiting[0] == t
}

// release lets all requests go, in order: each wakes the next one when it has
// chosen its instance.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, t := range q.waiting {
		if i+1 < len(q.waiting) {
			t.next = q.waiting[i+1]
		}
		t.released.Store(true)
	}
	if len(q.waiting) > 0 {
		q.waiting[0].signal()
	}
	q.waiting = nil
	q.length.Store(0)
}

// nudge wakes the first, for it to see what the new table says.
func (q *queue) nudge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		q.waiting[0].signal()
	}
}

func (q *queue) len() int { return int(q.length.Load()) }

func (t *ticket) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
