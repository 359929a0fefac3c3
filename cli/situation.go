package cli

import (
	"cmp"

	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// situation is one service as a watch shows it. It is told by each message what has changed,
// and keeps count: a job may have very many tasks, and there is a message for each few of them.
type situation struct {
	name        string
	synced      bool
	removed     bool // it was there, and is no more
	service     *pb.Service
	deployments map[string]*pb.Deployment
	tasks       map[string]*pb.Task
	in          map[pb.TaskState]int // tasks in each state
	stuck       map[string]bool      // tasks that are not in service, and it is known why
	copies      copies
}

func newSituation(service string) *situation {
	return &situation{
		name: service, deployments: make(map[string]*pb.Deployment), tasks: make(map[string]*pb.Task),
		in: make(map[pb.TaskState]int), stuck: make(map[string]bool),
	}
}

// apply folds in one message of a watch.
func (s *situation) apply(m *pb.WatchResponse) {
	s.synced = m.GetSynced()
	for _, change := range m.GetChanges() {
		switch r := change.GetRecord().GetRecord().(type) {
		case *pb.Record_Service:
			s.service = r.Service
		case *pb.Record_Deployment:
			s.deployments[r.Deployment.GetId()] = r.Deployment
		case *pb.Record_Task:
			s.change(r.Task.GetId(), r.Task)
		}
		if change.GetDeleted() != "" {
			s.remove(change.GetDeleted())
		}
	}
	s.copies.settle(s.service.GetRun(), s.tasks)
}

// change takes in how a task is now, nil where it is gone.
func (s *situation) change(name string, now *pb.Task) {
	before := s.tasks[name]
	if before != nil {
		s.in[before.GetStatus().GetState()]--
	}
	delete(s.tasks, name)
	delete(s.stuck, name)
	if now != nil {
		s.tasks[name] = now
		s.in[now.GetStatus().GetState()]++
		if hasReason(now.GetStatus()) {
			s.stuck[name] = true
		}
	}
	s.copies.change(before, now)
}

// remove forgets a record that is gone, by where it stood.
func (s *situation) remove(storeKey string) {
	key, err := wire.KeyOf(storeKey)
	if err != nil { // of a kind that this version does not show
		return
	}
	switch key.Kind {
	case engine.ServiceKind:
		s.removed = s.removed || key.ID == s.name
	case engine.TaskKind:
		s.change(key.ID, nil)
	case engine.DeploymentKind:
		delete(s.deployments, key.ID)
	default:
	}
}

// running returns the deployment that is under way, or nil.
func (s *situation) running() *pb.Deployment { return s.deployments[s.service.GetDeployment()] }

// ready returns how many tasks are in service.
func (s *situation) ready() int { return s.in[pb.TaskState_TASK_STATE_READY] }

// wanted returns how many instances there should be. Those of a daemon are the
// ones that it has.
func (s *situation) wanted() int {
	if s.service.GetKind() != pb.SpecKind_SPEC_KIND_DAEMON {
		return int(s.service.GetInstances())
	}
	n := 0
	for _, t := range s.tasks {
		if !ended(t) && t.GetStatus().GetState() < pb.TaskState_TASK_STATE_DRAINING {
			n++
		}
	}
	return n
}

// over reports whether this is a job whose newest run has come to its end, and
// every task of it.
func (s *situation) over() bool {
	if s.service.GetKind() != pb.SpecKind_SPEC_KIND_JOB {
		return false
	}
	for _, t := range s.tasks {
		if !ended(t) {
			return false
		}
	}
	return s.service.GetResult() > pb.JobResult_JOB_RESULT_UNDERWAY || s.service.GetStopped()
}

// told returns the ended tasks whose output is still what the service has to
// tell: those of a newest run, or the newest of a service of which none is live.
func (s *situation) told() map[string]bool {
	names := make(map[string]bool)
	if runsToCompletion(s.service.GetKind()) {
		for _, t := range s.copies.newest {
			names[t.GetId()] = true
		}
		return names
	}
	var newest *pb.Task
	for _, t := range s.tasks {
		if t.GetAgent() == "" {
			continue
		}
		if !ended(t) {
			return nil
		}
		if newest == nil || newer(t, newest) {
			newest = t
		}
	}
	names[newest.GetId()] = true
	return names
}

// newer reports whether a was created after b. Of names that end in a number the
// longer ones are the higher.
func newer(a, b *pb.Task) bool {
	return cmp.Or(
		a.GetCreatedAt().AsTime().Compare(b.GetCreatedAt().AsTime()),
		cmp.Compare(len(a.GetId()), len(b.GetId())), cmp.Compare(a.GetId(), b.GetId()),
	) > 0
}

// unready returns the newest task of a revision if its output may tell why that
// is not in service: it has had a place, and is not among those that served.
// Otherwise it returns "".
func (s *situation) unready(revision int64, served map[string]bool) string {
	var newest *pb.Task
	for _, t := range s.tasks {
		if t.GetRevision() == revision && (newest == nil || newer(t, newest)) {
			newest = t
		}
	}
	if newest.GetAgent() == "" || served[newest.GetId()] {
		return ""
	}
	return newest.GetId()
}

// waiting returns why the first task that is not in service is not.
func (s *situation) waiting() string {
	first := ""
	for name := range s.stuck {
		if first == "" || name < first {
			first = name
		}
	}
	if first == "" {
		return ""
	}
	status := s.tasks[first].GetStatus()
	return first + ": " + cmp.Or(status.GetReason(), exitText(status.GetLast())+", attempt "+number(status.GetAttempt()))
}

// hasReason reports whether a task is not in service, and it is known why.
func hasReason(status *pb.TaskStatus) bool {
	switch status.GetState() {
	case pb.TaskState_TASK_STATE_PENDING, pb.TaskState_TASK_STATE_RUNNING:
		return status.GetReason() != ""
	case pb.TaskState_TASK_STATE_BACKOFF:
		return true
	default:
		return false
	}
}
