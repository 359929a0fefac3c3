package rollout_test

import (
	"testing"
	"time"

	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/task"
)

// TestUnhealthyAgain has every instance turn unhealthy two seconds after it is
// ready. Each is replaced before it is stopped, and each replacement waits longer
// than the one before, as a program that fails again and again does.
func TestUnhealthyAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(rollout.Goal{Revision: 1, Base: 1, Instances: 1, Surge: 1, Settle: time.Second})
	w.programs[1] = program{ready: time.Second}
	serve(w)
	w.programs[1] = program{ready: time.Second, hangs: 2 * time.Second}
	w.sicken(w.list[0])

	var started []time.Time
	for end := w.now.Add(30 * time.Minute); w.now.Before(end); {
		plan := rollout.Next(w.goal, w.seen(), w.now)
		if plan.Start > 0 {
			started = append(started, w.now)
		}
		w.carryOut(plan)
		if good := serving(w); good != 1 && good != 2 {
			t.Fatalf("%d are ready", good)
		}
		w.pass(soonest(w.now.Add(1), plan.AskAgain, w.upcoming()))
	}

	if len(started) < 10 || len(started) > 25 {
		t.Fatalf("%d were started in half an hour", len(started))
	}
	for n := 3; n < 8; n++ {
		if wait, least := started[n].Sub(started[n-1]), task.RetryDelay(n-1); wait < least {
			t.Errorf("number %d was started %v after the one before, want at least %v", n+1, wait, least)
		}
	}
}

func serving(w *world) int {
	n := 0
	for _, i := range w.list {
		n += number(i.status.State.Serving())
	}
	return n
}
