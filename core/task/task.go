// Package task is the life of a task: a closed set of states and one Step
// function for its legal moves, which master and agent both use.
//
// The agent moves a task from Starting to its end and starts its program again
// when a service's instance fails: each start is an attempt with a number, and
// the same attempt of the same task is never started twice. The master decides
// the rest: where it runs, when it leaves the routing table, when it must stop.
package task

import "time"

// State is where a task is in its life.
type State uint8

// The states, in the order of a life. Those from Stopped on are ends.
const (
	Pending  State = iota + 1 // wanted, no place yet
	Assigned                  // holds a claim; the agent is told
	Starting                  // the agent fetches artifacts and starts the program
	Running                   // the program runs and is not ready
	Ready                     // the program runs and says that it is ready
	Backoff                   // the program ended and will be started again
	Draining                  // leaves the routing table; its program still runs
	Stopping                  // the agent is told to stop it
	Stopped                   // ended because we asked
	Finished                  // ended by itself with exit code 0, and that was its aim
	Failed                    // ended otherwise, and will not be started again
	Lost                      // its agent was silent for too long, or forgot it
)

// Exit is how a program ended.
type Exit struct {
	Code     int    // exit code, when Signal is 0 and Error is ""
	Signal   int    // number of the signal that ended it, or 0
	OOM      bool   // the kernel ended it for its memory
	Error    string // why it could not be started, or why we ended it
	At       time.Time
	LastLogs []string // the last lines it wrote, at most 20
}

// Good reports whether the program ended by itself with exit code 0.
func (e Exit) Good() bool { return e.Code == 0 && e.Signal == 0 && !e.OOM && e.Error == "" }

// Status is what is known of a task.
type Status struct {
	State      State
	Since      time.Time // when it entered State, or when its health last changed in it
	Attempt    int       // starts of its program so far
	ReadySince time.Time // when it became ready; zero unless Ready, or Draining or Stopping after Ready
	Failures   int       // failed attempts in a row: since the last ready instance that stayed good for the reset time
	RetryAt    time.Time // in Backoff: when it will be started again
	Last       *Exit     // of the newest attempt that ended; nil if none has
	Reason     string    // one line for people: why Pending, what the probe said, why Lost

	UnhealthySince time.Time // its program runs and is not alive since then; kept when it is stopped for it; zero: as far as is known it is
	Unhealthy      string    // what the alive probe said then
}

// IsUnhealthy reports whether a task's program is known not to be alive.
func (s Status) IsUnhealthy() bool { return !s.UnhealthySince.IsZero() }
