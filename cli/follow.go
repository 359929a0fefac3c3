package cli

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// followAgain is the pause before a broken watch is opened again, and
// followWithin how long that is tried.
const (
	followAgain  = 200 * time.Millisecond
	followWithin = time.Minute
)

// situation is one service as a watch shows it.
type situation struct {
	synced      bool
	service     *pb.Service
	deployments map[string]*pb.Deployment
	tasks       map[string]*pb.Task
	notes       []*pb.Note // of the newest message
}

func newSituation() *situation {
	return &situation{deployments: make(map[string]*pb.Deployment), tasks: make(map[string]*pb.Task)}
}

// apply folds in one message of a watch.
func (s *situation) apply(m *pb.WatchResponse) {
	s.synced, s.notes = m.GetSynced(), m.GetNotes()
	for _, change := range m.GetChanges() {
		switch r := change.GetRecord().GetRecord().(type) {
		case *pb.Record_Service:
			s.service = r.Service
		case *pb.Record_Deployment:
			s.deployments[r.Deployment.GetId()] = r.Deployment
		case *pb.Record_Task:
			s.tasks[r.Task.GetId()] = r.Task
		}
		s.remove(change.GetDeleted())
	}
}

func (s *situation) remove(key string) {
	maps.DeleteFunc(s.tasks, func(name string, _ *pb.Task) bool { return key == "tasks/"+name })
	maps.DeleteFunc(s.deployments, func(name string, _ *pb.Deployment) bool { return key == "deployments/"+name })
}

// count returns how many tasks are in one of the states, of a revision or, with
// 0, of any.
func (s *situation) count(revision int64, states ...pb.TaskState) int {
	n := 0
	for _, t := range s.tasks {
		if (revision == 0 || t.GetRevision() == revision) && slices.Contains(states, t.GetStatus().GetState()) {
			n++
		}
	}
	return n
}

// waiting returns why the first task that is not in service is not.
func (s *situation) waiting() string {
	for _, name := range slices.Sorted(maps.Keys(s.tasks)) {
		status := s.tasks[name].GetStatus()
		switch status.GetState() {
		case pb.TaskState_TASK_STATE_PENDING, pb.TaskState_TASK_STATE_BACKOFF, pb.TaskState_TASK_STATE_RUNNING:
			if status.GetReason() != "" {
				return name + ": " + status.GetReason()
			}
			if status.GetState() == pb.TaskState_TASK_STATE_BACKOFF {
				return name + ": " + exitText(status.GetLast()) + ", attempt " + strconv.Itoa(int(status.GetAttempt()))
			}
		default:
		}
	}
	return ""
}

// follow calls seen after every message about a service until seen is done or
// ctx is. A watch that breaks, as with a change of leader, is opened again.
func (a *app) follow(ctx context.Context, service string, seen func(*situation) (done bool, err error)) error {
	broken := time.Time{}
	for {
		done, heard, err := a.watch(ctx, service, seen)
		if done || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if heard || broken.IsZero() {
			broken = time.Now()
		}
		if !again(err) || time.Since(broken) > followWithin {
			return a.asked(err)
		}
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// again reports whether a watch that ended like this may be opened again.
func again(err error) bool {
	code := connect.CodeOf(err)
	return err == nil || code == connect.CodeUnavailable || code == connect.CodeOutOfRange || code == connect.CodeUnknown
}

// watch is one watch. It reports whether seen is done, and whether anything was
// heard at all.
func (a *app) watch(ctx context.Context, service string, seen func(*situation) (bool, error)) (done, heard bool, err error) {
	cluster, err := a.cluster()
	if err != nil {
		return true, false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := cluster.Watch(ctx, connect.NewRequest(&pb.WatchRequest{Service: service, Notes: true}))
	if err != nil {
		return false, false, err
	}
	defer stream.Close()
	now := newSituation()
	for stream.Receive() {
		now.apply(stream.Msg())
		if !now.synced {
			continue
		}
		if done, err := seen(now); done || err != nil {
			return true, true, err
		}
		heard = true
	}
	return false, heard, stream.Err()
}
