package task

import "strconv"

// String returns the state's name, as in "pending".
func (s State) String() string {
	names := [...]string{
		"unknown", "pending", "assigned", "starting", "running", "ready", "backoff",
		"draining", "stopping", "stopped", "finished", "failed", "lost",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// Ended reports whether the task is over. An ended task never moves again, unless
// it was Lost and does Return.
func (s State) Ended() bool { return s >= Stopped && s <= Lost }

// Serving reports whether the task belongs in the routing table.
func (s State) Serving() bool { return s == Ready }

// HoldsClaim reports whether the task holds slices of an agent and a pool.
func (s State) HoldsClaim() bool { return s >= Assigned && s <= Stopping }

// Live reports whether the task is wanted: it has not ended, and it is not on
// its way out.
func (s State) Live() bool { return s >= Pending && s < Draining }
