package rollout

import (
	"time"

	"github.com/aloft-run/aloft/core/task"
)

// lapses counts tasks that failed for good, so that what always fails is not
// started again and again without a pause.
type lapses struct {
	count int
	last  time.Time
}

// add counts a task that failed at that time.
func (l *lapses) add(at time.Time) {
	l.count++
	if at.After(l.last) {
		l.last = at
	}
}

// until returns when the next start is due; zero means at once.
func (l *lapses) until() time.Time {
	if l.count == 0 {
		return time.Time{}
	}
	return l.last.Add(task.RetryDelay(l.count))
}
