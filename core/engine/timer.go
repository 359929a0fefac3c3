package engine

import (
	"cmp"
	"time"
)

// timerKind tells what a timer wakes. At equal times the kinds wake in order.
type timerKind uint8

const (
	agentTimer timerKind = iota + 1
	routerTimer
	sightTimer
	serviceTimer
	queueTimer
)

// timerKey names a timer. Each key has at most one time.
type timerKey struct {
	kind timerKind
	name string
}

type timer struct {
	key timerKey
	at  time.Time
}

func (t timer) before(other timer) bool {
	if c := t.at.Compare(other.at); c != 0 {
		return c < 0
	}
	if c := cmp.Compare(t.key.kind, other.key.kind); c != 0 {
		return c < 0
	}
	return t.key.name < other.key.name
}

// timers is a heap of times to wake up, with the place of each key in it.
type timers struct {
	heap  []timer
	place map[timerKey]int
}

// next returns the earliest time, zero when there is none.
func (t *timers) next() time.Time {
	if len(t.heap) == 0 {
		return time.Time{}
	}
	return t.heap[0].at
}

// set gives key the time at, in place of the one that it had. The zero time
// takes the timer away.
func (t *timers) set(key timerKey, at time.Time) {
	i, found := t.place[key]
	switch {
	case at.IsZero() && !found:
	case at.IsZero():
		t.remove(i)
	case found:
		t.heap[i].at = at
		t.settle(i)
	default:
		if t.place == nil {
			t.place = make(map[timerKey]int)
		}
		t.heap = append(t.heap, timer{key, at})
		t.place[key] = len(t.heap) - 1
		t.settle(len(t.heap) - 1)
	}
}

// advance is set for a key that may have an earlier time, which it keeps.
func (t *timers) advance(key timerKey, at time.Time) {
	if i, found := t.place[key]; !found || at.Before(t.heap[i].at) {
		t.set(key, at)
	}
}

// due takes away the earliest timer that is not after now and returns its key.
func (t *timers) due(now time.Time) (timerKey, bool) {
	if len(t.heap) == 0 || t.heap[0].at.After(now) {
		return timerKey{}, false
	}
	key := t.heap[0].key
	t.remove(0)
	return key, true
}

func (t *timers) remove(i int) {
	last := len(t.heap) - 1
	t.swap(i, last)
	delete(t.place, t.heap[last].key)
	t.heap = t.heap[:last]
	if i < last {
		t.settle(i)
	}
}

// settle moves the timer at i up or down to where it belongs.
func (t *timers) settle(i int) {
	for i > 0 && t.heap[i].before(t.heap[(i-1)/2]) {
		t.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if t.heap[child].before(t.heap[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		t.swap(i, least)
		i = least
	}
}

func (t *timers) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.place[t.heap[i].key], t.place[t.heap[j].key] = i, j
}
