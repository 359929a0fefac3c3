package router

import (
	"sync"
	"time"
)

// watch bounds each wait for a client. One timer serves all waits of a request:
// it is started by the first, and looks when it fires how long the present wait
// has lasted.
//
// The law: interrupt is called only between begin and end, so that what it breaks
// off is never a later wait, or another request's.
type watch struct {
	limit     time.Duration
	interrupt func() // makes the wait end; called with mu held

	mu        sync.Mutex // guards all below
	timer     *time.Timer
	scheduled bool // the timer is running
	waiting   bool
	due       time.Time // when the present wait has lasted too long
	expired   bool      // a wait has lasted too long; no other begins
	stopped   bool      // no other wait begins
}

// begin starts a wait, and reports whether it may begin.
func (w *watch) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.expired || w.stopped {
		return false
	}
	w.waiting, w.due = true, time.Now().Add(w.limit)
	if !w.scheduled {
		w.schedule(w.limit)
	}
	return true
}

// end says that what was waited for has come, or never will.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = false
}

// restart makes the present wait count from now.
func (w *watch) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting {
		w.due = time.Now().Add(w.limit)
	}
}

// stop breaks off the present wait and lets no other begin.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.scheduled {
		w.timer.Stop()
	}
	if w.waiting {
		w.interrupt()
	}
}

// hasExpired reports whether a wait has lasted too long. A nil watch has seen
// none.
func (w *watch) hasExpired() bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.expired
}

func (w *watch) schedule(after time.Duration) {
	w.scheduled = true
	if w.timer == nil {
		w.timer = time.AfterFunc(after, w.look)
	} else {
		w.timer.Reset(after)
	}
}

// look breaks off a wait that has lasted too long.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scheduled = false
	if !w.waiting || w.stopped {
		return
	}
	if left := time.Until(w.due); left > 0 {
		w.schedule(left)
		return
	}
	w.expired = true
	w.interrupt()
}
