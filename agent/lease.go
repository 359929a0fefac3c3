package agent

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/spec"
)

// Leases ends the programs that must not run where masters cannot be reached.
type Leases interface {
	// Prolong gives leases more time. An attempt whose lease nobody prolongs has
	// ended by then, also when the agent is stopped or killed.
	Prolong(ctx context.Context, leases []runtime.Lease) error
}

// Times of leases.
const (
	startWithin = time.Second            // that must be left of a lease to begin with it
	contactLook = 100 * time.Millisecond // how often a start that waits for a lease looks
)

// touch is what the agent knows of its contact with the masters.
//
// Law: a leading master gives a task up no earlier than on_lost.after after the
// last word that it heard. The word at a stamp that came back was heard, and not
// before it was said; so a program that has ended by then has ended in time.
type touch struct {
	heard      time.Duration // by Config.Clock: when the newest word was said that a leader has heard; 0: none
	prolonging bool          // a worker is at it
	again      bool          // there is more to prolong since
}

// inTouch takes note that a leading master has heard what this agent said then.
func (a *Agent) inTouch(ctx context.Context, said time.Duration) {
	a.touch.heard = max(a.touch.heard, said)
	a.prolong(ctx)
}

// endsOff reports whether a task is ended when masters are out of reach.
func (in *instance) endsOff() bool { return in.rev.spec.OnPartition == spec.EndOff }

// leaseOf returns the lease that a task may have now that is ended off. Before a leader
// has heard anything of this agent that is one which has run out: that the machine was
// started not long ago proves nothing.
func (a *Agent) leaseOf(in *instance) runtime.Lease {
	s := in.rev.spec
	lease := runtime.Lease{Key: in.key(), Grace: s.Deploy.Grace}
	if a.touch.heard > 0 {
		lease.Until = a.touch.heard + s.OnLost.After - spec.LeaseMargin
	}
	return lease
}

// prolong has the leases of all programs prolonged, apart from Run.
func (a *Agent) prolong(ctx context.Context) {
	var leases []runtime.Lease
	for _, in := range a.tasks {
		if in.endsOff() && in.hasProgram() {
			leases = append(leases, a.leaseOf(in))
		}
	}
	if len(leases) == 0 {
		return
	}
	if a.touch.prolonging {
		a.touch.again = true
		return
	}
	a.touch.prolonging = true
	a.workers.Go(func() {
		err := a.runtime.Prolong(ctx, leases)
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.ErrorContext(ctx, "leases not prolonged; tasks that must not run twice will stop", slog.Any("error", err))
		}
		a.do(ctx, func() {
			again := a.touch.again
			a.touch.prolonging, a.touch.again = false, false
			if again {
				a.prolong(ctx)
			}
		})
	})
}

// errGone is the error for a start of which nothing is left to start.
var errGone = errors.New("the task is not here any more")

// awaitLease gives a launch its lease, and waits for one that is long enough to
// begin with: so what was ended because masters are out of reach is started again
// when they are back, and have had their say.
func (a *Agent) awaitLease(ctx context.Context, launch *runtime.Launch) error {
	for {
		offered := make(chan *runtime.Lease, 1)
		taken := a.do(ctx, func() {
			var lease *runtime.Lease
			if in, ok := a.tasks[launch.Key.Task]; ok && in.key() == launch.Key {
				lease = new(a.leaseOf(in))
			}
			offered <- lease
		})
		if !taken {
			return context.Cause(ctx)
		}
		lease := <-offered
		if lease == nil {
			return errGone
		}
		if lease.Until-lease.Grace-a.cfg.Clock() >= startWithin {
			launch.Lease = *lease
			return nil
		}
		if !wait(ctx, contactLook) {
			return context.Cause(ctx)
		}
	}
}
