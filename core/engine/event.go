package engine

import (
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// Event is something that happened, or that somebody asks for.
type Event interface {
	// fold checks the event, and if nothing speaks against it, changes the
	// cluster.
	fold(e *Engine) (Answer, error)
}

// Events from agents.
type (
	// AgentJoined opens a session: the agent tells what it has and all that it
	// runs. Tasks that it does not name are not there.
	AgentJoined struct {
		Agent    ledger.Agent
		Leaving  bool // it drains, and ends when it is empty
		BootID   string
		Hostname string
		Version  string
		Address  string // where its tasks' ports are reached; "": 127.0.0.1
		Tasks    []Report
	}
	// AgentReported tells of tasks that changed.
	AgentReported struct {
		Agent id.Agent
		Tasks []Report
	}
	// AgentSilent says that the session of an agent broke, and when it was last
	// heard of; zero: now. Its clocks run from then.
	AgentSilent struct {
		Agent id.Agent
		Heard time.Time
	}
	// AgentsWait says that agents are at the leader's door, which has no time for them
	// yet: they count as heard of where they would be given up, and nowhere else.
	AgentsWait struct{ Agents []id.Agent }
	// Report is an agent's word on one task.
	Report struct {
		Task   id.Task
		Status task.Status
	}
)

// Events from routers.
type (
	// RouterConfirmed says what a router has applied and what it still serves.
	RouterConfirmed struct{ Confirmation route.Confirmation }
	// RouterGone says that the session of a router broke.
	RouterGone struct{ Router id.Router }
	// RouterLeft says that a router has stopped in good order: no request is in
	// flight through it, and none will be.
	RouterLeft struct{ Router id.Router }
)

// Events from operators. Version, where not 0, is the Version of the record on
// which the request was based: if it has changed since, the request is refused
// with ErrStale.
type (
	// Deploy asks for specs, all or none. A spec equal to the wanted revision
	// changes nothing.
	Deploy struct {
		Specs    []Submission
		Reason   string
		Versions map[id.Service]int64
	}
	// Submission is one spec with the text that it was read from.
	Submission struct {
		Spec   *spec.Spec
		Source string
	}
	// Scale sets the wanted number of instances.
	Scale struct {
		Service   id.Service
		Instances int
		Version   int64
	}
	// Restart replaces every instance, or only the one that Task names, start
	// before stop.
	Restart struct {
		Service id.Service
		Task    id.Task
		Version int64
	}
	// StopService ends every task of a service and keeps its history. Remove
	// also forgets the service once its last task has ended.
	StopService struct {
		Service id.Service
		Remove  bool
		Version int64
	}
	// RollBack deploys an earlier revision again; To 0 is the last good one
	// before the wanted one.
	RollBack struct {
		Service id.Service
		To      id.Revision
		Version int64
	}
	// PauseDeployment holds a deployment where it is.
	PauseDeployment struct{ Deployment id.Deployment }
	// ResumeDeployment lets a paused deployment go on.
	ResumeDeployment struct{ Deployment id.Deployment }
	// AbortDeployment ends a deployment and goes back to the revision before.
	AbortDeployment struct{ Deployment id.Deployment }
	// DrainAgent empties an agent, start before stop; Deadline, where not 0, is
	// how long its jobs may go on. It is refused with ErrConflict where a service
	// would be left with fewer instances than it must have, because there is no
	// room elsewhere. Force drains all the same: what finds no room stays until
	// room comes, or until the deadline.
	DrainAgent struct {
		Agent    id.Agent
		Deadline time.Duration
		Force    bool
		Leaving  bool // the agent itself asks: it is never refused, and over when the agent comes back
	}
	// UndrainAgent lets an agent take tasks again.
	UndrainAgent struct{ Agent id.Agent }
	// Rebalance moves instances, start before stop, so that services are spread
	// more evenly: of the named ones, or of all. Max bounds how many; 0 is 10.
	Rebalance struct {
		Services []id.Service
		Max      int
	}
	// AbortMoves takes back the moves that are not over: of the named services, or
	// of all.
	AbortMoves struct{ Services []id.Service }
	// RemoveAgent forgets a silent agent that has no tasks.
	RemoveAgent struct{ Agent id.Agent }
	// ReleaseBreaker closes the breaker although agents are missing: their tasks
	// are given up, and it does not open again for them. So it does with those of
	// services, or with the one of Service alone.
	ReleaseBreaker struct{ Service id.Service }
	// SetBreaker sets when the breaker opens. Limit is in percent of the agents:
	// 0 leaves it as it is, below 0 the breaker never opens. A Window of 0 leaves
	// it as it is.
	SetBreaker struct {
		Limit  int
		Window time.Duration
	}
	// SetPool makes or changes a pool. Create refuses one that exists.
	SetPool struct {
		Pool    ledger.Pool
		Create  bool
		Version int64
	}
	// DeletePool forgets a pool that nobody draws from.
	DeletePool struct {
		Pool    id.Pool
		Version int64
	}
)

// Tick says only that time has passed.
type Tick struct{}

func (Tick) fold(*Engine) (Answer, error) { return Answer{}, nil }
