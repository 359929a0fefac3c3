package router

import (
	"sync"
	"sync/atomic"
	"time"
)

// vigil bounds the waits for clients, all by the same limit. One timer serves all:
// they stand in the order in which they began, and it looks at the first. A timer
// for each request would cost more than all else that is done for it.
type vigil struct {
	limit time.Duration

	mu          sync.Mutex // guards all below, and the links of the watches
	first, last *watch
	timer       *time.Timer
	set         bool // the timer is running
}

// watch is one wait after the other of one request for its client.
//
// The law: interrupt is called between begin and end, so that what it breaks off
// is never a later wait, or another request's.
type watch struct {
	vigil     *vigil
	interrupt func() // makes the wait end

	next, prev *watch // guarded by vigil.mu, as are the three below
	waiting    bool
	stopped    bool
	due        time.Time // when the present wait has lasted too long

	expired  atomic.Bool // a wait has lasted too long; no other begins
	breaking sync.Mutex  // held while interrupt is called for that reason
}

// begin starts a wait, and reports whether it may begin.
func (w *watch) begin() bool {
	v := w.vigil
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.stopped || w.expired.Load() {
		return false
	}
	v.add(w)
	if !v.set {
		v.setTimer(v.limit)
	}
	return true
}

// end says that what was waited for has come, or never will.
func (w *watch) end() {
	w.vigil.mu.Lock()
	w.vigil.remove(w)
	w.vigil.mu.Unlock()
	if w.expired.Load() {
		w.breaking.Lock()
		defer w.breaking.Unlock()
	}
}

// restart makes the present wait count from now.
func (w *watch) restart() {
	w.vigil.mu.Lock()
	defer w.vigil.mu.Unlock()
	if w.waiting {
		w.vigil.remove(w)
		w.vigil.add(w)
	}
}

// stop breaks off the present wait and lets no other begin. Whoever calls it owns
// what interrupt acts upon.
func (w *watch) stop() {
	w.vigil.mu.Lock()
	waited := w.waiting
	w.stopped = true
	w.vigil.remove(w)
	w.vigil.mu.Unlock()
	if waited {
		w.interrupt()
	}
}

// hasExpired reports whether a wait has lasted too long. A nil watch has seen
// none.
func (w *watch) hasExpired() bool { return w != nil && w.expired.Load() }

// add puts a watch at the end of the line. The caller holds mu.
func (v *vigil) add(w *watch) {
	w.waiting, w.due = true, time.Now().Add(v.limit)
	w.prev, w.next = v.last, nil
	if v.last == nil {
		v.first = w
	} else {
		v.last.next = w
	}
	v.last = w
}

// remove takes a watch out of the line, if it is there. The caller holds mu.
func (v *vigil) remove(w *watch) {
	if !w.waiting {
		return
	}
	w.waiting = false
	if w.prev == nil {
		v.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		v.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
}

// setTimer has look called. The caller holds mu.
func (v *vigil) setTimer(after time.Duration) {
	v.set = true
	if v.timer == nil {
		v.timer = time.AfterFunc(after, v.look)
	} else {
		v.timer.Reset(after)
	}
}

// look breaks off the waits that have lasted too long.
func (v *vigil) look() {
	for _, w := range v.takeDue() {
		w.interrupt()
		w.breaking.Unlock()
	}
}

// takeDue takes the watches that are due out of the line. Whoever ends one of
// their waits stops until it has been broken off.
func (v *vigil) takeDue() (due []*watch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for w := v.first; w != nil && !w.due.After(now); w = v.first {
		v.remove(w)
		w.breaking.Lock()
		w.expired.Store(true)
		due = append(due, w)
	}
	if v.set = false; v.first != nil {
		v.setTimer(v.first.due.Sub(now))
	}
	return due
}

// close ends the timer. No wait may begin afterwards.
func (v *vigil) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.timer != nil {
		v.timer.Stop()
	}
}
