package task

import "time"

// Event is something that happens to a task: one of Assign, Block, Accept,
// Start, BecomeReady, BecomeUnready, BecomeUnhealthy, BecomeHealthy, End, Drain,
// Stop and Lose.
type Event interface {
	// String names the event, as in "become ready".
	String() string
	// step returns the status after the event, and whether it may happen now.
	step(s Status) (Status, bool)
}

// Assign gives a pending task its place. The master does this.
type Assign struct{ At time.Time }

// Block says why a pending task has no place yet. The master does this.
type Block struct {
	At     time.Time
	Reason string
}

// Accept begins a new attempt: the agent fetches artifacts and starts the
// program. Attempt must be one more than the attempts before, which is what
// keeps the agent from starting one twice.
type Accept struct {
	At      time.Time
	Attempt int
}

// Start says that the program runs.
type Start struct{ At time.Time }

// BecomeReady says that the program is ready.
type BecomeReady struct{ At time.Time }

// BecomeUnready says that the program is not ready, or no longer, and why.
type BecomeUnready struct {
	At     time.Time
	Reason string
}

// BecomeUnhealthy says that the program runs and is not alive, and why. It may
// be ready all the same, and serves until another one takes its place.
type BecomeUnhealthy struct {
	At     time.Time
	Reason string
}

// BecomeHealthy says that a program that was not alive is alive again.
type BecomeHealthy struct{ At time.Time }

// End says that the program ended, or that it could not be started. What the
// task becomes follows from what it was:
//
//   - it was being stopped: Stopped;
//   - it Completes and its exit is good: Finished;
//   - it was draining: Stopped, for it is not wanted and not started again;
//   - it may run Again: Backoff;
//   - else: Failed.
type End struct {
	At        time.Time
	Exit      *Exit     // nil when there was no program to end
	Completes bool      // to end with exit code 0 is its aim: a job's or a cron's task
	Again     bool      // start it again, as for a service's instance
	RetryAt   time.Time // with Again: when; zero means after RetryDelay
}

// Drain begins to take a task out of service; its program runs on until Stop.
type Drain struct {
	At     time.Time
	Reason string
}

// Stop tells the agent to end the program. A task without a place ends at once.
type Stop struct {
	At     time.Time
	Reason string
}

// Lose says that nothing will be heard of the task again. The master does this.
type Lose struct {
	At     time.Time
	Reason string
}

func (Assign) String() string          { return "assign" }
func (Block) String() string           { return "block" }
func (Accept) String() string          { return "accept" }
func (Start) String() string           { return "start" }
func (BecomeReady) String() string     { return "become ready" }
func (BecomeUnready) String() string   { return "become unready" }
func (BecomeUnhealthy) String() string { return "become unhealthy" }
func (BecomeHealthy) String() string   { return "become healthy" }
func (End) String() string             { return "end" }
func (Drain) String() string           { return "drain" }
func (Stop) String() string            { return "stop" }
func (Lose) String() string            { return "lose" }
