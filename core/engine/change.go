package engine

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
)

// Changes is all that a batch of steps changed: what to commit, then what to
// publish. Take hands them out; nothing in them is changed afterwards.
type Changes struct {
	Batch   uint64       // its number, from 1: each Take has a higher one than that before
	Records []Change     // each key at most once, in the order of first change
	Table   *route.Table // the new routing table; nil: as before
	Notes   []Note       // what happened, for people
	Agents  []id.Agent   // whose answer of Desired or Strays may have changed, in order
	Forget  []Ended      // tasks that their agents may forget once the records are durable, in order
}

// Empty reports whether there is nothing to commit and nothing to publish.
func (c Changes) Empty() bool {
	return len(c.Records) == 0 && c.Table == nil && len(c.Notes) == 0 && len(c.Agents) == 0 && len(c.Forget) == 0
}

// Change is the new value of one record.
type Change struct {
	Key    Key
	Record Record // nil: deleted
}

// Ended is a task that an agent has reported as ended, and that needs no more
// of it. If the word is lost, the agent names the task again when it next joins,
// and it is handed out again.
type Ended struct {
	Agent id.Agent
	Task  id.Task
}

// Answer is the reply to an operator's event.
type Answer struct {
	Changed    bool
	Service    *Service      // as it is after the event; nil for agents and pools
	Deployment id.Deployment // started by the event, or ""
	Deployed   []Deployed    // for Deploy, one per submission
	Pool       *Pool         // as it is after the event; nil for others, and once deleted
	Moves      MovesPlan     // for Rebalance
	Missing    []string      // for DrainAgent by force: what services will lack, for people
}

// Deployed is what became of one submission.
type Deployed struct {
	Service    id.Service
	Revision   id.Revision
	Deployment id.Deployment // "" when nothing needs new instances
	Run        int64         // of a job: the run that was started, or is underway
	Changed    bool
}

// Note is a line of the cluster's story: what happened to what, and why.
type Note struct {
	At         time.Time
	Kind       NoteKind
	Service    id.Service
	Deployment id.Deployment
	Task       id.Task
	Agent      id.Agent
	Pool       id.Pool
	Text       string
}
