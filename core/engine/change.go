package engine

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

// Changes is all that a batch of steps changed: what to commit, then what to
// publish. Take hands them out; nothing in them is changed afterwards.
type Changes struct {
	Records []Change     // each key at most once, in the order of first change
	Table   *route.Table // the new routing table; nil: as before
	Notes   []Note       // what happened, for people
}

// Change is the new value of one record.
type Change struct {
	Key    Key
	Record Record // nil: deleted
}

// Note is a line of the cluster's story: what happened to what, and why.
type Note struct {
	At         time.Time
	Kind       string // a closed set, such as task.failed; see NoteKinds
	Service    id.Service
	Deployment id.Deployment
	Task       id.Task
	Agent      id.Agent
	Pool       id.Pool
	Text       string
}

// Answer is the reply to an operator's event.
type Answer struct {
	Changed    bool
	Service    *Service      // as it is after the event; nil for agents and pools
	Deployment id.Deployment // started by the event, or ""
	Deployed   []Deployed    // for Deploy, one per submission
	Pool       *Pool
}

// Deployed is what became of one submission.
type Deployed struct {
	Service    id.Service
	Revision   id.Revision
	Deployment id.Deployment // "" when nothing needs new instances
	Changed    bool
}
