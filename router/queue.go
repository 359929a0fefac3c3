package router

import (
	"slices"
	"sync"
	"sync/atomic"
)

// ticket is the place of one request in a queue.
type ticket struct {
	queue *queue
	wake  chan struct{} // holds at most one: something has changed for this ticket
}

// queue holds the requests of a service that has no instance for them. They go in
// the order in which they came: the first one leaves when it has chosen its
// instance, and then it is the turn of the next. The queue outlives the tables.
type queue struct {
	mu     sync.Mutex
	line   []*ticket
	moving bool         // there is an instance: whoever is first may go
	length atomic.Int64 // of line, read without the mutex on the way of each request
}

// join adds a ticket at the end, or returns nil if the queue has limit already.
func (q *queue) join(limit int) *ticket {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) >= limit {
		return nil
	}
	t := &ticket{queue: q, wake: make(chan struct{}, 1)}
	q.line = append(q.line, t)
	q.length.Store(int64(len(q.line)))
	return t
}

// leave takes a ticket out. If it was the first, it is for the next one to act.
func (q *queue) leave(t *ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.line, t)
	if i < 0 {
		return
	}
	q.line = slices.Delete(q.line, i, i+1)
	q.length.Store(int64(len(q.line)))
	if len(q.line) == 0 {
		q.moving = false
	} else if i == 0 {
		signal(q.line[0].wake)
	}
}

// release lets the requests go, one after the other.
func (q *queue) release() { q.set(true) }

// recall makes the requests wait again: there is no instance after all.
func (q *queue) recall() { q.set(false) }

func (q *queue) set(moving bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) > 0 {
		q.moving = moving
		signal(q.line[0].wake)
	}
}

// nudge wakes the first, for it to see what the new table says.
func (q *queue) nudge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) > 0 {
		signal(q.line[0].wake)
	}
}

// mayGo reports whether it is the ticket's turn.
func (q *queue) mayGo(t *ticket) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.moving && len(q.line) > 0 && q.line[0] == t
}

func (q *queue) len() int { return int(q.length.Load()) }
