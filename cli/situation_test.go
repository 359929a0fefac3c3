package cli_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/aloft-run/aloft/cli"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestProgressIsCounted: what is shown of a job is what a look at all of its tasks tells,
// whatever has changed by then, and however the changes came.
func TestProgressIsCounted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seen, tasks := cli.NewSituation("job"), make(map[string]*pb.Task)
		var run int64
		for range rapid.IntRange(1, 12).Draw(rt, "messages") {
			message := &pb.WatchResponse{Synced: true}
			for range rapid.IntRange(1, 6).Draw(rt, "changes") {
				number := rapid.Int32Range(1, 12).Draw(rt, "task")
				name := fmt.Sprint("job-", number)
				change := &pb.WatchChange{}
				switch rapid.IntRange(0, 5).Draw(rt, "what") {
				case 0:
					run = rapid.Int64Range(1, 2).Draw(rt, "run")
					change.Record = &pb.Record{Record: &pb.Record_Service{Service: &pb.Service{Name: "job", Kind: pb.SpecKind_SPEC_KIND_JOB, Run: run}}}
				case 1:
					delete(tasks, name)
					change.Deleted = "tasks/" + name
				default:
					tasks[name] = anyTask(rt, name, number)
					change.Record = &pb.Record{Record: &pb.Record_Task{Task: tasks[name]}}
				}
				message.Changes = append(message.Changes, change)
			}
			seen.Apply(message)

			finished, failed, waiting, ready := seen.Progress()

			found := fmt.Sprintf("%d finished, %d failed, %d ready, waits %q", finished, failed, ready, waiting)
			if want := lookAtAll(tasks, run); found != want {
				rt.Fatalf("%s; want %s, of %v", found, want, tasks)
			}
		}
	})
}

// anyTask is how a task of one of three copies in one of two runs may be. What it is of does not
// change, nor when it was created.
func anyTask(rt *rapid.T, name string, number int32) *pb.Task {
	status := &pb.TaskStatus{State: rapid.SampledFrom([]pb.TaskState{
		pb.TaskState_TASK_STATE_PENDING, pb.TaskState_TASK_STATE_RUNNING, pb.TaskState_TASK_STATE_BACKOFF, pb.TaskState_TASK_STATE_READY,
		pb.TaskState_TASK_STATE_FINISHED, pb.TaskState_TASK_STATE_FAILED,
	}).Draw(rt, "state")}
	if rapid.Bool().Draw(rt, "reason") {
		status.Reason = "no room"
	}
	return &pb.Task{
		Id: name, Service: "job", Run: int64(1 + number%2), Copy: number % 3,
		Agent: rapid.SampledFrom([]string{"", "a1"}).Draw(rt, "agent"), Status: status,
		CreatedAt: timestamppb.New(time.Unix(int64(number%5), 0)),
	}
}

// lookAtAll finds it the obvious way.
func lookAtAll(tasks map[string]*pb.Task, run int64) string {
	newest, waiting := make(map[int32]*pb.Task), ""
	finished, failed, ready := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(tasks)) {
		t := tasks[name]
		state, reason := t.GetStatus().GetState(), t.GetStatus().GetReason()
		if state == pb.TaskState_TASK_STATE_READY {
			ready++
		}
		switch {
		case waiting != "" || state >= pb.TaskState_TASK_STATE_READY && state != pb.TaskState_TASK_STATE_BACKOFF:
		case reason != "":
			waiting = name + ": " + reason
		case state == pb.TaskState_TASK_STATE_BACKOFF:
			waiting = name + ": , attempt 0"
		}
		if t.GetRun() == run && t.GetAgent() != "" && isNewer(t, newest[t.GetCopy()]) {
			newest[t.GetCopy()] = t
		}
	}
	for _, t := range newest {
		switch t.GetStatus().GetState() {
		case pb.TaskState_TASK_STATE_FINISHED:
			finished++
		case pb.TaskState_TASK_STATE_FAILED:
			failed++
		default:
		}
	}
	return fmt.Sprintf("%d finished, %d failed, %d ready, waits %q", finished, failed, ready, waiting)
}

// isNewer reports whether a was created after b. Of names that end in a number the longer ones
// are the higher.
func isNewer(a, b *pb.Task) bool {
	if b == nil || !a.GetCreatedAt().AsTime().Equal(b.GetCreatedAt().AsTime()) {
		return b == nil || a.GetCreatedAt().AsTime().After(b.GetCreatedAt().AsTime())
	}
	if len(a.GetId()) != len(b.GetId()) {
		return len(a.GetId()) > len(b.GetId())
	}
	return a.GetId() > b.GetId()
}
