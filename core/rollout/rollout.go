// Package rollout plans how the tasks of a service become what is wanted: a
// deployment, a change of scale, the replacement of what died, the drain of an
// agent and a restart are one algorithm. Jobs and daemons are planned beside it.
//
// Next is a pure function of the goal, what is seen and the time. It proposes;
// the caller commits and carries out. Because of its plans there are never fewer
// than Instances - Unavailable good instances and never more than Instances +
// Surge claims, and no good instance is stopped for one that is not. Asked again
// with the same arguments it gives the same plan, so a master that was just
// elected goes on where the last one stopped.
package rollout

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// Goal is what a service shall come to.
type Goal struct {
	Revision    id.Revision   // the revision wanted
	Base        id.Revision   // the last revision known to be good; 0 if there is none; Revision itself when no deployment goes on
	Instances   int           // the wished number
	Surge       int           // claims allowed above Instances; see Limits
	Unavailable int           // of Instances, that may be missing because of us; see Limits
	Settle      time.Duration // how long an instance must stay ready before it counts
	Paused      bool          // see Next
}

// Instance is one task as it was last seen.
type Instance struct {
	Task       id.Task
	Revision   id.Revision
	State      task.State
	Since      time.Time // when it entered State
	ReadySince time.Time // when it became ready; zero unless it is
	Failures   int       // its failed attempts in a row
	Leaving    bool      // to be replaced whatever its revision: its agent drains, a restart was asked for, it is not alive
	Overdue    bool      // Leaving, and stopped now, whatever there is in its place: an operator wants that
	Held       bool      // Leaving, and not stopped while it is good: what takes its place is not there yet
	Unhealthy  bool      // it is not alive, or was not when it was stopped: a failed start
	Suspect    bool      // its agent is silent: neither counted as good nor stopped as bad
	Blocked    bool      // Pending, and no place was found for it
	Crowd      int       // how many siblings on its agent or in its zone come before it; the more, the earlier it is stopped
}

// Plan is what to do now, when to ask again if nothing happens before, and
// where the goal stands before any of this is done.
type Plan struct {
	Start    int         // new tasks to add, Pending
	Revision id.Revision // the revision to start
	Stop     []id.Task   // to begin the stop path with: drain first
	Cancel   []id.Task   // Pending, without a claim: simply forget

	Wanted  int // of the goal
	Ready   int // good instances that are to stay
	Settled int // of Ready, those ready for at least Settle
	Old     int // live instances that are to be replaced
	Going   int // instances that are on their way out

	Failures int       // failed starts of Revision's instances, as far as they are seen
	Paused   bool      // of the goal
	Done     bool      // exactly the wished instances, all settled, and none to be replaced
	AskAgain time.Time // zero: only when something changes
	Waiting  string    // what it waits for, as in "hello-5 to become ready"; "" when Done
}
