package engine

// NoteKind tells what a note is about. The set is closed: see NoteKinds.
type NoteKind string

// The kinds of note.
const (
	ServiceDeployed      NoteKind = "service.deployed"
	ServiceScaled        NoteKind = "service.scaled"
	ServiceRestarted     NoteKind = "service.restarted"
	ServiceStopped       NoteKind = "service.stopped"
	ServiceRemoved       NoteKind = "service.removed"
	DeploymentStarted    NoteKind = "deployment.started"
	DeploymentDone       NoteKind = "deployment.done"
	DeploymentFailed     NoteKind = "deployment.failed"
	DeploymentRolledBack NoteKind = "deployment.rolled-back"
	DeploymentPaused     NoteKind = "deployment.paused"
	DeploymentResumed    NoteKind = "deployment.resumed"
	DeploymentAborted    NoteKind = "deployment.aborted"
	DeploymentSuperseded NoteKind = "deployment.superseded"
	TaskPlaced           NoteKind = "task.placed"
	TaskReady            NoteKind = "task.ready"
	TaskFailed           NoteKind = "task.failed"
	TaskUnhealthy        NoteKind = "task.unhealthy"
	TaskHealthy          NoteKind = "task.healthy"
	TaskLost             NoteKind = "task.lost"
	TaskReturned         NoteKind = "task.returned"
	TaskEnded            NoteKind = "task.ended"
	TaskMoves            NoteKind = "task.moves"
	TaskStays            NoteKind = "task.stays"
	AgentAppeared        NoteKind = "agent.joined"
	AgentSuspect         NoteKind = "agent.suspect"
	AgentUnreachable     NoteKind = "agent.unreachable"
	AgentLeft            NoteKind = "agent.left"
	AgentReturned        NoteKind = "agent.returned"
	AgentLost            NoteKind = "agent.lost"
	AgentDraining        NoteKind = "agent.draining"
	AgentDrained         NoteKind = "agent.drained"
	AgentUndrained       NoteKind = "agent.undrained"
	AgentRemoved         NoteKind = "agent.removed"
	BreakerOpened        NoteKind = "breaker.opened"
	BreakerClosed        NoteKind = "breaker.closed"
	BreakerReleased      NoteKind = "breaker.released"
	BreakerSet           NoteKind = "breaker.set"
	PoolSet              NoteKind = "pool.set"
	PoolDeleted          NoteKind = "pool.deleted"
	PoolOvercommitted    NoteKind = "pool.overcommitted"
	JobStarted           NoteKind = "job.started"
	JobSucceeded         NoteKind = "job.succeeded"
	JobFailed            NoteKind = "job.failed"
	CronStarted          NoteKind = "cron.started"
	CronSkipped          NoteKind = "cron.skipped"
)

// NoteKinds returns every kind of note.
func NoteKinds() []NoteKind {
	return []NoteKind{
		ServiceDeployed, ServiceScaled, ServiceRestarted, ServiceStopped, ServiceRemoved,
		DeploymentStarted, DeploymentDone, DeploymentFailed, DeploymentRolledBack, DeploymentPaused,
		DeploymentResumed, DeploymentAborted, DeploymentSuperseded,
		TaskPlaced, TaskReady, TaskUnhealthy, TaskHealthy, TaskFailed, TaskLost, TaskReturned, TaskEnded, TaskMoves, TaskStays,
		AgentAppeared, AgentSuspect, AgentUnreachable, AgentLeft, AgentReturned, AgentLost, AgentDraining, AgentDrained, AgentUndrained, AgentRemoved,
		BreakerOpened, BreakerClosed, BreakerReleased, BreakerSet,
		PoolSet, PoolDeleted, PoolOvercommitted,
		JobStarted, JobSucceeded, JobFailed, CronStarted, CronSkipped,
	}
}

// note adds a line to the story.
func (e *Engine) note(n Note) {
	n.At = e.now
	e.batch.notes = append(e.batch.notes, n)
}
