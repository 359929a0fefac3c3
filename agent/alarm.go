package agent

import (
	"container/heap"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// alarms say which task has something due, and when. One that was called off
// stays until its time: whoever takes it looks at the task. The zero value has
// none.
type alarms struct{ queue alarmQueue }

type alarm struct {
	at   time.Time
	task id.Task
}

// set has a task looked at when the time has come.
func (a *alarms) set(at time.Time, name id.Task) { heap.Push(&a.queue, alarm{at, name}) }

// next returns the first time at which a task is due.
func (a *alarms) next() (time.Time, bool) {
	if len(a.queue) == 0 {
		return time.Time{}, false
	}
	return a.queue[0].at, true
}

// take removes and returns the first task that is due by now.
func (a *alarms) take(now time.Time) (id.Task, bool) {
	if len(a.queue) == 0 || a.queue[0].at.After(now) {
		return "", false
	}
	return heap.Pop(&a.queue).(alarm).task, true
}

// alarmQueue is a heap.Interface, the earliest first.
type alarmQueue []alarm

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q alarmQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *alarmQueue) Push(x any)        { *q = append(*q, x.(alarm)) }

func (q *alarmQueue) Pop() any {
	last := len(*q) - 1
	popped := (*q)[last]
	*q = (*q)[:last]
	return popped
}
