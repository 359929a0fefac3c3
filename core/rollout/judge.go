package rollout

import (
	"fmt"
	"time"

	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// Progress is how far a deployment has come. The zero value is one that has not
// been judged yet; the caller keeps it with the deployment.
type Progress struct {
	Wanted        int       // Plan.Wanted at the last judgement
	Settled       int       // the most instances that were settled at one time
	Old           int       // the fewest that were still to be replaced
	At            time.Time // of the last step forward; zero before the first judgement
	FailuresInRow int       // failed starts since an instance settled
	FailuresSeen  int       // Plan.Failures at the last judgement
	Paused        bool      // at the last judgement
}

// Outcome is what has become of a deployment.
type Outcome uint8

// The outcomes.
const (
	Going  Outcome = iota // on its way
	Done                  // the goal is reached
	Failed                // it will not get there; see Verdict.Reason
)

// Verdict is the judgement of a deployment.
type Verdict struct {
	Outcome Outcome
	Reason  string // why it Failed, one line
}

// Judge tells from a plan of now what has become of the deployment that it is
// for. Progress is a new high of settled instances or a new low of those to be
// replaced; without it for deploy.Deadline the deployment has failed, whatever it
// waits for. It fails at once after deploy.Failures failed starts in a row; a
// new high of settled instances ends a row. A limit of 0 is none. Scaling begins
// the count of settled and old ones, and the deadline, anew.
//
// A paused deployment does not fail. When it goes on, the deadline begins anew
// and failures during the pause are forgotten.
func Judge(progress Progress, deploy spec.Deploy, plan Plan, now time.Time) (Progress, Verdict) {
	next := progress.advance(plan, now)
	switch {
	case plan.Done:
		return next, Verdict{Outcome: Done}
	case plan.Paused:
		return next, Verdict{}
	case deploy.Failures > 0 && next.FailuresInRow >= deploy.Failures:
		return next, failed("%s failed in a row", resource.Count(next.FailuresInRow, "start"))
	case deploy.Deadline > 0 && !now.Before(next.Due(deploy)):
		return next, failed("no progress for %v: waiting for %s", deploy.Deadline, orOther(plan.Waiting))
	}
	return next, Verdict{}
}

// Due returns when the deployment fails if there is no progress before: when to
// judge again. It is zero when there is no deadline or it does not run.
func (p Progress) Due(deploy spec.Deploy) time.Time {
	if p.Paused || deploy.Deadline <= 0 {
		return time.Time{}
	}
	return p.At.Add(deploy.Deadline)
}

// advance returns the progress after a plan.
func (p Progress) advance(plan Plan, now time.Time) Progress {
	next := p
	next.Wanted, next.FailuresSeen, next.Paused = plan.Wanted, plan.Failures, plan.Paused
	if !p.At.IsZero() {
		next.FailuresInRow += max(0, plan.Failures-p.FailuresSeen)
	}
	paused := plan.Paused || p.Paused
	if paused || plan.Settled > p.Settled {
		next.FailuresInRow = 0
	}
	if p.At.IsZero() || paused || plan.Wanted != p.Wanted {
		next.Settled, next.Old, next.At = plan.Settled, plan.Old, now
		return next
	}
	if plan.Settled > p.Settled || plan.Old < p.Old {
		next.At = now
	}
	next.Settled, next.Old = max(p.Settled, plan.Settled), min(p.Old, plan.Old)
	return next
}

func failed(format string, facts ...any) Verdict {
	return Verdict{Outcome: Failed, Reason: fmt.Sprintf(format, facts...)}
}

func orOther(waiting string) string {
	if waiting == "" {
		return "its next step"
	}
	return waiting
}
