package master_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/store/memory"
)

var errBroken = errors.New("the disk broke")

// journal knows what is durable, and since when.
type journal struct {
	*testing.T

	delay  time.Duration                      // of every commit
	broken func(commit int) (lost, done bool) // whether a commit fails, and was done after all

	mu      sync.Mutex // guards all below
	commits int
	values  map[string][]kept // by key of the store
}

type kept struct {
	record *pb.Record // nil: deleted
	since  time.Time
}

func keepJournal(t *testing.T) *journal {
	t.Helper()
	return &journal{T: t, values: make(map[string][]kept), broken: func(int) (bool, bool) { return false, false }}
}

// fault writes down what a commit makes durable, and when.
func (j *journal) fault(call memory.Call) memory.Fate {
	if call.Kind != memory.Commit || len(call.Ops) == 0 { // a question breaks nothing
		return memory.Fate{}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.commits++
	lost, done := j.broken(j.commits)
	fate := memory.Fate{Delay: j.delay, Done: done}
	if lost {
		fate.Err = errBroken
	}
	if lost && !done {
		return fate
	}
	for _, op := range call.Ops {
		value := kept{since: time.Now().Add(j.delay)}
		if !op.Delete {
			value.record = &pb.Record{}
			if err := proto.Unmarshal(op.Value, value.record); err != nil {
				j.Errorf("%s: %v", op.Key, err)
			}
		}
		j.values[op.Key] = append(j.values[op.Key], value)
	}
	return fate
}

// holds fails the test unless something that is told is durable by now.
func (j *journal) holds(who, key string, is func(*pb.Record) bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, value := range j.values[key] {
		if is(value.record) && !value.since.After(time.Now()) {
			return
		}
	}
	j.Errorf("%s was told of %s before it was durable", who, key)
}

func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.commits
}

func inState(states ...pb.TaskState) func(*pb.Record) bool {
	return func(r *pb.Record) bool {
		for _, state := range states {
			if r.GetTask().GetStatus().GetState() == state {
				return true
			}
		}
		return false
	}
}

// hears checks every message that an agent gets.
func (j *journal) hears(message *pb.SessionResponse) {
	for _, order := range message.GetOrders().GetRun() {
		j.holds("an agent", "tasks/"+order.GetTask(), inState(pb.TaskState_TASK_STATE_ASSIGNED))
		j.holds("an agent", fmt.Sprintf("revisions/%s/%d", order.GetService(), order.GetRevision()), func(r *pb.Record) bool { return r != nil })
	}
	for _, order := range message.GetOrders().GetStop() {
		j.holds("an agent", "tasks/"+order.GetTask(), inState(pb.TaskState_TASK_STATE_STOPPING))
	}
	for _, name := range message.GetOrders().GetForget() {
		j.holds("an agent", "tasks/"+name, func(r *pb.Record) bool { // a service that is removed takes its tasks with it
			return r == nil || inState(pb.TaskState_TASK_STATE_STOPPED, pb.TaskState_TASK_STATE_LOST)(r)
		})
	}
}

// reads checks every record that a reader or watcher gets.
func (j *journal) reads(who string, records ...*pb.Record) {
	for _, record := range records {
		j.holds(who, keyOf(record), func(r *pb.Record) bool { return proto.Equal(r, record) })
	}
}

func keyOf(r *pb.Record) string {
	switch r := r.GetRecord().(type) {
	case *pb.Record_Agent:
		return "agents/" + r.Agent.GetId()
	case *pb.Record_Pool:
		return "pools/" + r.Pool.GetId()
	case *pb.Record_Service:
		return "services/" + r.Service.GetName()
	case *pb.Record_Revision:
		return fmt.Sprintf("revisions/%s/%d", r.Revision.GetService(), r.Revision.GetNumber())
	case *pb.Record_Deployment:
		return "deployments/" + r.Deployment.GetId()
	case *pb.Record_Task:
		return "tasks/" + r.Task.GetId()
	default:
		return "?"
	}
}

// watch checks all that a watcher sees, from the beginning and again when the
// watch breaks, until the test ends.
func (j *journal) watch(n *node) {
	var watching sync.WaitGroup
	ctx := n.Context()
	watching.Go(func() {
		for ctx.Err() == nil {
			stream, err := n.api.Watch(ctx, ask(&pb.WatchRequest{Notes: true}))
			for err == nil && stream.Receive() {
				for _, change := range stream.Msg().GetChanges() {
					if change.GetDeleted() != "" {
						j.holds("a watcher", change.GetDeleted(), func(r *pb.Record) bool { return r == nil })
					} else {
						j.reads("a watcher", change.GetRecord())
					}
				}
			}
			pause(ctx, 50*time.Millisecond)
		}
	})
	n.Cleanup(watching.Wait)
}
