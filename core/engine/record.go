package engine

import (
	"cmp"
	"strconv"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// Kind tells what a record is about.
type Kind uint8

// The kinds of record, in the order in which a new leader loads them.
const (
	ClusterKind Kind = iota + 1
	AgentKind
	PoolKind
	ServiceKind
	RevisionKind
	DeploymentKind
	TaskKind
)

// Key names a record. IDs are unique within a kind; that of a revision is the
// service's name, a slash and the number.
type Key struct {
	Kind Kind
	ID   string
}

// Record is one durable piece of the cluster: a *Cluster, *Agent, *Pool,
// *Service, *Revision, *Deployment or *Task. A record that has left the engine is never
// changed again: the engine replaces it by a new one.
type Record interface {
	Key() Key
}

// Cluster is what leaders remember for each other beside the things that have
// records of their own. There is one such record, or none before there is
// something to remember.
type Cluster struct {
	Tasks    int64       // the most numbers of tasks that a removed service gave out
	Routers  []id.Router // that may have a table, in order
	Regained time.Time   // when an agent came back after all had been silent, or enough did for the breaker to close
	Breaker  Breaker
	Kept     Reservation
}

// Reservation is room that is kept for one task of a job, which others have passed
// by: no job of its priority or a lower one takes it that would not have ended
// before. Services may, and daemons. The zero value is none.
type Reservation struct {
	Task  id.Task
	Agent id.Agent
	Since time.Time
	Start time.Time // when enough tasks on the agent will have ended, by their timeouts; zero if that is not known
}

// Agent is one machine as the cluster knows it.
type Agent struct {
	ledger.Agent // Closed is what the books say; the reasons stand below
	BootID       string
	Hostname     string
	Version      string // of its aloft binary
	Address      string // where its tasks' ports are reached: a host name or IP
	JoinedAt     time.Time
	SilentSince  time.Time // it was last heard of then; zero while it is connected
	Unreachable  bool      // it is silent for longer than a session takes to come back
	DrainedBy    time.Time // deadline for its jobs to end; zero without one
	Draining     bool      // an operator wants it empty
	Leaving      bool      // it said goodbye, and so is drained until it comes back
	DrainForced  bool      // at DrainedBy its instances stop, too, whatever there is in their place
}

// State tells in one word how an agent with so many tasks stands: ready, suspect,
// unreachable, draining, drained or left. One that is suspect, unreachable or left is
// silent.
func (a *Agent) State(tasks int) string {
	switch {
	case !a.SilentSince.IsZero() && a.Leaving && tasks == 0:
		return "left"
	case a.Unreachable:
		return "unreachable"
	case !a.SilentSince.IsZero():
		return "suspect"
	case a.Draining && tasks == 0:
		return "drained"
	case a.Draining:
		return "draining"
	default:
		return "ready"
	}
}

// Pool is a share of the cluster.
type Pool struct {
	ledger.Pool
	Version int64 // grows with every change; guards writes
}

// weight returns the pool's part of what jobs get, beside those of other pools.
func (p *Pool) weight() float64 {
	return float64(cmp.Or(p.Weight, ledger.WeightOne)) / ledger.WeightOne
}

// Service is what is wanted under one name: a service, job, daemon or cron.
type Service struct {
	Name        id.Service
	Kind        spec.Kind
	Revision    id.Revision   // the one that is wanted, 0 after its first deployment failed
	LastGood    id.Revision   // the newest whose deployment was done; where a rollback goes
	Newest      id.Revision   // the highest number given out
	Instances   int           // wanted now; scale sets it, a deployment only when its spec says another number than the one before; of a daemon: the agents that fit
	Stopped     bool          // an operator wants none of it
	Removing    bool          // it is forgotten once its last task has ended
	Deployment  id.Deployment // the running one, or ""
	Deployments int           // numbers given out
	Tasks       int64         // numbers given out
	RestartedAt time.Time     // instances created before are to be replaced
	Run         int64         // number of the newest run of a job or cron
	Runs        []int64       // those of a job or cron that are not over, ascending
	NextRun     time.Time     // of a cron
	Result      Result        // of a job, or of a cron's newest run
	Breaker     ServiceBreaker
	Version     int64 // grows with every change an operator makes; guards writes
	CreatedAt   time.Time
	ChangedAt   time.Time
}

// Result tells how a job stands.
type Result uint8

// How a job stands. A service or daemon has NoResult.
const (
	NoResult Result = iota
	Underway
	Succeeded
	Unsuccessful
)

// Revision is one immutable version of a service's spec.
type Revision struct {
	Service    id.Service
	Number     id.Revision
	Generation id.Revision // the first revision whose instances are the same as this one's
	Before     id.Revision // the good one that was wanted before; 0 for none
	Spec       *spec.Spec
	Source     string // the document as it was sent
	Reason     string // why, in the operator's words
	CreatedAt  time.Time
}

// Deployment is the way from one revision to the next.
type Deployment struct {
	ID          id.Deployment
	Service     id.Service
	From        id.Revision // 0: the first
	To          id.Revision
	State       DeploymentState
	Reason      string // why it ended or waits, for people
	Automatic   bool   // a rollback that no operator asked for
	FromStopped bool   // the service was stopped before; when this fails it is again
	Progress    rollout.Progress
	Peak        int // the most claims above the wished number so far
	StartedAt   time.Time
	PausedAt    time.Time // zero unless it is paused, or was when it ended
	EndedAt     time.Time
	Failure     *Failure // the newest failed start of the new revision
}

// Failure shows one failed attempt.
type Failure struct {
	Task id.Task
	Exit task.Exit
}

// DeploymentState is where a deployment is.
type DeploymentState uint8

// The states of a deployment; those from Done on are ends.
const (
	Going DeploymentState = iota + 1
	Paused
	Done
	RolledBack   // failed, and a deployment back was started
	DeployFailed // failed, and left as it was
	Superseded   // a newer deployment took its place
	Aborted      // an operator ended it, and a deployment back was started
)

// Task is one run of a program on one agent.
type Task struct {
	ID        id.Task
	Service   id.Service
	Revision  id.Revision
	Run       int64        // of a job or cron
	Copy      int          // of a job or cron, from 0; a retry has the copy of the task it follows
	Retry     int32        // 0 for the first task of a copy
	Restart   bool         // asked to be replaced
	Claim     ledger.Claim // while Pending empty, but for the agent of a daemon's task; kept for reading after the end
	Ports     Ports
	Status    task.Status
	Moves     Move    // asked to move to another agent
	Follows   id.Task // the instance in whose place it was started, if that moves
	CreatedAt time.Time
}

// Move is where an instance is to move. The zero value is nowhere.
type Move struct {
	To   id.Agent
	Turn int // the moves of one rebalance begin in the order of their turns
}

// RevisionKey returns the key of a service's revision.
func RevisionKey(service id.Service, number id.Revision) Key {
	return Key{RevisionKind, string(service) + "/" + strconv.FormatInt(int64(number), 10)}
}

// Key returns the key of the one record of the cluster as a whole.
func (*Cluster) Key() Key { return Key{ClusterKind, "known"} }

// Key returns the agent's key.
func (a *Agent) Key() Key { return Key{AgentKind, string(a.ID)} }

// Key returns the pool's key.
func (p *Pool) Key() Key { return Key{PoolKind, string(p.ID)} }

// Key returns the service's key.
func (s *Service) Key() Key { return Key{ServiceKind, string(s.Name)} }

// Key returns the revision's key.
func (r *Revision) Key() Key { return RevisionKey(r.Service, r.Number) }

// Key returns the deployment's key.
func (d *Deployment) Key() Key { return Key{DeploymentKind, string(d.ID)} }

// Key returns the task's key.
func (t *Task) Key() Key { return Key{TaskKind, string(t.ID)} }
