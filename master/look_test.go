package master_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
)

func TestStates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	// A call of is makes a task of web; the later ones of a list are older.
	is := func(name id.Task, state task.State, change ...func(*task.Status)) *engine.Task {
		s := task.Status{State: state, Since: now}
		for _, apply := range change {
			apply(&s)
		}
		return &engine.Task{ID: name, Service: "web", Revision: 1, Status: s, CreatedAt: now}
	}
	because := func(reason string) func(*task.Status) { return func(s *task.Status) { s.Reason = reason } }
	exits := func(code int) func(*task.Status) { return func(s *task.Status) { s.Last = &task.Exit{Code: code} } }
	at := func(after time.Duration) func(*task.Status) { return func(s *task.Status) { s.Since = now.Add(after) } }
	deployment := func(state engine.DeploymentState, reason string) *engine.Deployment {
		return &engine.Deployment{ID: "web-1", Service: "web", State: state, Reason: reason, StartedAt: now}
	}
	tests := map[string]struct {
		service engine.Service
		records []engine.Record
		waiting string
		state   string
		reason  string
	}{
		"all are ready": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 2},
			[]engine.Record{is("web-1-1", task.Ready), is("web-1-2", task.Ready)},
			"web-1-1 to stop", "running", "",
		},
		"none are wanted": {engine.Service{Kind: spec.Service, Revision: 1}, nil, "", "running", ""},
		"none has a place": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 1},
			[]engine.Record{is("web-1-1", task.Pending, because("1 agent short of mem"))},
			"room for web-1-1", "pending", "1 agent short of mem",
		},
		"none is ready, and nobody says why": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 1},
			[]engine.Record{is("web-1-1", task.Starting)},
			"web-1-1 to become ready", "pending", "waiting for web-1-1 to become ready",
		},
		"none is there at all": {engine.Service{Kind: spec.Service, Revision: 1, Instances: 1}, nil, "", "pending", ""},
		"one is not ready": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 2},
			[]engine.Record{is("web-1-1", task.Ready), is("web-1-2", task.Running, because("503"))},
			"", "degraded", "503",
		},
		"one waits to be started again": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 2},
			[]engine.Record{is("web-1-1", task.Ready), is("web-1-2", task.Backoff, exits(3))},
			"", "degraded", "exit code 3",
		},
		"one starts": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 2},
			[]engine.Record{is("web-1-1", task.Ready), is("web-1-2", task.Assigned)},
			"", "degraded", "1 of 2 ready",
		},
		"the newest trouble counts": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 3},
			[]engine.Record{is("web-1-9", task.Running, because("older")), is("web-1-10", task.Running, because("newer"))},
			"", "pending", "newer",
		},
		"a deployment goes on": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 1, Deployment: "web-1"},
			[]engine.Record{deployment(engine.Going, ""), is("web-1-1", task.Starting)},
			"web-1-1 to become ready", "deploying", "waiting for web-1-1 to become ready",
		},
		"a deployment has no room": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 1, Deployment: "web-1"},
			[]engine.Record{deployment(engine.Going, ""), is("web-1-1", task.Pending, because("2 agents short of cpus by 1"))},
			"room for web-1-1", "deploying", "waiting for room for web-1-1: 2 agents short of cpus by 1",
		},
		"a deployment seen in a list": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 1, Deployment: "web-1"},
			[]engine.Record{deployment(engine.Going, ""), is("web-1-1", task.Pending, because("no room"))},
			"", "deploying", "no room",
		},
		"a deployment is paused": {
			engine.Service{Kind: spec.Service, Revision: 1, Instances: 1, Deployment: "web-1"},
			[]engine.Record{deployment(engine.Paused, "paused by an operator")},
			"an operator", "deploying", "paused by an operator",
		},
		"the first deployment failed": {
			engine.Service{Kind: spec.Service}, []engine.Record{deployment(engine.DeployFailed, "2 starts failed")}, "", "failed", "2 starts failed",
		},
		"nothing was ever deployed": {engine.Service{Kind: spec.Service}, nil, "", "failed", ""},
		"it is stopped":             {engine.Service{Kind: spec.Service, Revision: 1, Stopped: true, Instances: 2}, nil, "", "stopped", ""},
		"it stops": {
			engine.Service{Kind: spec.Service, Revision: 1, Stopped: true}, []engine.Record{is("web-1-1", task.Draining)}, "", "stopping", "",
		},
		"it is removed": {
			engine.Service{Kind: spec.Service, Revision: 1, Stopped: true, Removing: true},
			[]engine.Record{is("web-1-1", task.Stopping)},
			"", "stopping", "it is forgotten once its last task has ended",
		},
		"a daemon on all agents": {
			engine.Service{Kind: spec.Daemon, Revision: 1}, []engine.Record{is("web-1-1", task.Ready), is("web-1-2", task.Ready)}, "", "running", "",
		},
		"a daemon on some agents": {
			engine.Service{Kind: spec.Daemon, Revision: 1}, []engine.Record{is("web-1-1", task.Ready), is("web-1-2", task.Starting)}, "", "degraded", "1 of 2 ready",
		},
		"a daemon without agents": {engine.Service{Kind: spec.Daemon, Revision: 1}, nil, "", "running", ""},
		"a job has no place": {
			engine.Service{Kind: spec.Job, Revision: 1, Result: engine.Underway},
			[]engine.Record{is("web-1-1", task.Pending, because("no agent fits"))},
			"", "pending", "no agent fits",
		},
		"a job runs":               {engine.Service{Kind: spec.Job, Revision: 1, Result: engine.Underway}, []engine.Record{is("web-1-1", task.Running)}, "", "running", ""},
		"a job is done":            {engine.Service{Kind: spec.Job, Revision: 1, Result: engine.Succeeded}, []engine.Record{is("web-1-1", task.Finished)}, "", "succeeded", ""},
		"a job has failed":         {engine.Service{Kind: spec.Job, Revision: 1, Result: engine.Unsuccessful}, []engine.Record{is("web-1-1", task.Failed, exits(9))}, "", "failed", "exit code 9"},
		"a job has failed somehow": {engine.Service{Kind: spec.Job, Revision: 1, Result: engine.Unsuccessful}, nil, "", "failed", "a copy failed"},
		"the last failure counts": {
			engine.Service{Kind: spec.Job, Revision: 1, Result: engine.Unsuccessful},
			[]engine.Record{is("web-1-2", task.Failed, exits(1)), is("web-1-1", task.Lost, because("agent a1 is silent"), at(time.Hour))},
			"", "failed", "agent a1 is silent",
		},
		"a job was stopped":        {engine.Service{Kind: spec.Job, Revision: 1, Result: engine.Unsuccessful, Stopped: true}, nil, "", "stopped", ""},
		"a cron waits":             {engine.Service{Kind: spec.Cron, Revision: 1}, nil, "", "scheduled", ""},
		"a cron runs":              {engine.Service{Kind: spec.Cron, Revision: 1, Result: engine.Underway}, []engine.Record{is("web-1-1", task.Running)}, "", "running", ""},
		"a cron's run has no room": {engine.Service{Kind: spec.Cron, Revision: 1, Result: engine.Underway}, []engine.Record{is("web-1-1", task.Pending, because("no room"))}, "", "pending", "no room"},
		"a cron's run is done":     {engine.Service{Kind: spec.Cron, Revision: 1, Result: engine.Succeeded}, nil, "", "scheduled", ""},
		"a cron's run has failed":  {engine.Service{Kind: spec.Cron, Revision: 1, Result: engine.Unsuccessful}, []engine.Record{is("web-1-1", task.Failed, exits(2))}, "", "scheduled", "the newest run failed: exit code 2"},
		"a cron is stopped":        {engine.Service{Kind: spec.Cron, Revision: 1, Stopped: true}, nil, "", "stopped", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.service.Name = "web"

			state, reason := master.StateOf(tc.waiting, &tc.service, tc.records...)

			if state != tc.state || reason != tc.reason {
				t.Errorf("it is %s: %q; want %s: %q", state, reason, tc.state, tc.reason)
			}
		})
	}
}

func TestServiceShowsItsTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.join("a1", 1, func(m *machine) { m.becomes = func(string) pb.TaskState { return pb.TaskState_TASK_STATE_FAILED } })
		n.deploy("job: once\nretries: 5\nrun: {command: [a]}\n")
		n.eventually("it has failed", func() bool { return n.service("once").GetState() == "failed" })
		n.deploy(web(2, "v1")) // more than there is room for

		once, large := n.service("once"), n.service("web")

		if list := once.GetTasks(); len(list) != 3 || list[0].GetId() != "once-1-6" || once.GetReason() != "exit code 1" {
			t.Errorf("the job shows %v", once)
		}
		if large.GetState() != "deploying" || large.GetWanted() != 2 || large.GetDeployment().GetId() != "web-1" ||
			large.GetRevision().GetNumber() != 1 || len(large.GetTasks()) < 2 {
			t.Errorf("the service shows %v", large)
		}
	})
}

// TestTurns has tasks of two users wait for what a third job holds. Where they stand in
// the queue is told as fields, and the same by explain and of the service.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.join("a1", 1, func(m *machine) { m.becomes = func(string) pb.TaskState { return pb.TaskState_TASK_STATE_RUNNING } })
		jobOf := func(name, user string, copies int) string {
			return fmt.Sprintf("job: %s\nuser: %s\ncopies: %d\nresources: {cpus: 1, mem: 1MiB}\nrun: {command: [a]}\n", name, user, copies)
		}
		n.deploy(jobOf("first", "anna", 1))
		n.eventually("it runs", func() bool { return n.service("first").GetState() == "running" })
		n.deploy(jobOf("second", "anna", 2))
		n.deploy(jobOf("third", "ben", 1))
		explain := func(name string) *pb.Turn {
			return must[pb.ExplainResponse](t)(n.api.Explain(n.Context(), ask(&pb.ExplainRequest{Name: name}))).GetTurn()
		}
		tests := map[string]*pb.Turn{
			"first":      nil,
			"third":      {Task: "third-1-1", Place: 1, Waiting: 3},
			"second":     {Task: "second-1-1", Place: 2, Waiting: 3, First: "third-1-1", Users: []string{"ben"}},
			"second-1-2": {Task: "second-1-2", Place: 3, Waiting: 3, First: "third-1-1", Users: []string{"ben", "anna"}},
		}
		for name, want := range tests {
			if diff := cmp.Diff(want, explain(name), protocmp.Transform()); diff != "" {
				t.Errorf("the turn of %s (-want +got):\n%s", name, diff)
			}
		}
		for _, name := range []string{"first", "second", "third"} {
			if diff := cmp.Diff(tests[name], n.service(name).GetTurn(), protocmp.Transform()); diff != "" {
				t.Errorf("the service %s has the turn (-want +got):\n%s", name, diff)
			}
		}

		time.Sleep(31 * time.Second) // until room is kept for what has waited the longest

		if turn := explain("third"); turn.GetExpectedStart() != nil || !strings.Contains(turn.GetWhy(), "agent a1 is kept for it") {
			t.Errorf("the turn of what room is kept for is %v", turn)
		}
	})
}
