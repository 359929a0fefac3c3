package route

import "github.com/aloft-run/aloft/core/id"

// Busy is a task that has left the table while requests to it still run.
type Busy struct {
	Task     id.Task
	Requests int // more than zero
}

// Confirmation is what a router says of itself. It is complete each time, so
// that a lost or repeated one does no harm.
//
// A task that is neither in the table of that version nor in Busy has no request
// in flight through the router, and gets none until a later table names it.
type Confirmation struct {
	Router  id.Router
	Version Version // the newest table that the router has applied
	Busy    []Busy  // ordered by task
	Closed  []int   // ports with a rule of their own on which the router cannot listen; in order
}
