package simulate

import (
	"cmp"
	"time"
)

// eventKind says what happens. At equal times the kinds happen in order: what
// ends makes room for what arrives.
type eventKind uint8

const (
	programEnds eventKind = iota + 1
	programStops
	programStarts
	jobGoes
	jobArrives
)

// event is something that will happen.
type event struct {
	at   time.Time
	kind eventKind
	seq  int64 // of two at one time, the one that was made first happens first
	run  *run  // of a program
	turn int   // of the run when the event was made; if that has moved on, it does not happen
	job  int   // that arrives or goes
}

func (e event) compare(other event) int {
	return cmp.Or(e.at.Compare(other.at), cmp.Compare(e.kind, other.kind), cmp.Compare(e.seq, other.seq))
}

// events is a heap of those to come.
type events struct {
	heap []event
	made int64
}

// add has something happen.
func (e *events) add(what event) {
	e.made++
	what.seq = e.made
	e.heap = append(e.heap, what)
	for i := len(e.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if e.heap[parent].compare(e.heap[i]) <= 0 {
			return
		}
		e.heap[i], e.heap[parent] = e.heap[parent], e.heap[i]
		i = parent
	}
}

// next returns when the next one happens, zero if there is none.
func (e *events) next() time.Time {
	if len(e.heap) == 0 {
		return time.Time{}
	}
	return e.heap[0].at
}

// due takes away the next one, if it is not after now.
func (e *events) due(now time.Time) (event, bool) {
	if len(e.heap) == 0 || e.heap[0].at.After(now) {
		return event{}, false
	}
	first, last := e.heap[0], len(e.heap)-1
	e.heap[0], e.heap[last] = e.heap[last], event{}
	e.heap = e.heap[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if e.heap[child].compare(e.heap[least]) < 0 {
				least = child
			}
		}
		if least == i {
			return first, true
		}
		e.heap[i], e.heap[least] = e.heap[least], e.heap[i]
		i = least
	}
}
