package agent

import (
	"context"
	"time"

	"github.com/aloft-run/aloft/core/task"
)

// So many tasks may be displaced within a span. When more have no port, the
// machine's range is as good as full, and they fail instead: failures are
// followed by a growing pause.
const (
	displacedMax  = 50
	displacedSpan = 10 * time.Second
)

// displacements counts the tasks that were displaced in the newest span.
type displacements struct {
	since time.Time
	count int
}

// allows counts one more, unless there were too many.
func (d *displacements) allows(now time.Time) bool {
	if now.Sub(d.since) >= displacedSpan {
		*d = displacements{since: now}
	}
	d.count++
	return d.count <= displacedMax
}

// displace ends a task that could not have its port through no fault of its
// program. It ends as stopped, which is not held against its revision, and the
// master places another with other ports.
func (a *Agent) displace(ctx context.Context, in *instance, err error) {
	a.move(ctx, in, task.Stop{At: time.Now(), Reason: words(err.Error())})
	a.end(ctx, in, nil, false)
}

// takesAnyPort reports whether the task would be as well with other ports.
func (in *instance) takesAnyPort() bool {
	for _, port := range in.rev.spec.Ports {
		if port.Number != 0 {
			return false
		}
	}
	return true
}
