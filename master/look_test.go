package master_test

import (
	"testing"
	"testing/synctest"
	"time"

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
