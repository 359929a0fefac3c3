package master_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// agentState returns how the cluster sees an agent.
func (n *node) agentState(name string) string {
	n.Helper()
	for _, v := range must[pb.ListAgentsResponse](n.T)(n.api.ListAgents(n.Context(), ask(&pb.ListAgentsRequest{}))).GetAgents() {
		if v.GetAgent().GetId() == name {
			return v.GetState()
		}
	}
	return "unknown"
}

// silent reports whether an agent is in no session.
func (n *node) silent(name string) bool {
	n.Helper()
	state := n.agentState(name)
	return state == "suspect" || state == "unreachable"
}

func TestOrdersFollowTheTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		s.beat()
		if told := s.told(); len(told) != 1 || !told[0].GetComplete() || len(told[0].GetRun()) != 0 {
			t.Fatalf("after the join: %v", told)
		}

		n.deploy(web(2, "v1"))

		told := s.told()
		if len(told) != 1 || told[0].GetComplete() || len(told[0].GetRun()) != 2 || len(told[0].GetRevisions()) != 1 {
			t.Fatalf("after a deployment of 2: %v", told)
		}
		order := told[0].GetRun()[0]
		if order.GetTask() != "web-1-1" || order.GetService() != "web" || order.GetRevision() != 1 || order.GetAttempts() != 0 ||
			len(order.GetPorts()) != 1 || len(order.GetResources()) != 3 {
			t.Errorf("order %v", order)
		}
		if rev := told[0].GetRevisions()[0]; rev.GetSpec().GetRun().GetEnv()["VERSION"] != "v1" {
			t.Errorf("revision %v", rev)
		}

		s.send(reportOf(isNow("web-1-1", pb.TaskState_TASK_STATE_READY), isNow("web-1-2", pb.TaskState_TASK_STATE_READY)))
		if told := s.told(); len(told) != 0 {
			t.Errorf("a report was answered with %v", told)
		}

		n.deploy(strings.Replace(web(2, "v1"), "grace: 7s", "grace: 9s", 1)) // takes effect without new instances
		must[pb.ScaleResponse](t)(n.api.Scale(t.Context(), ask(&pb.ScaleRequest{Service: "web", Instances: new(int32(1))})))
		n.eventually("a stop", func() bool {
			told = s.told()
			return len(told) > 0
		})
		if len(told) != 1 || len(told[0].GetStop()) != 1 || told[0].GetStop()[0].GetGrace().AsDuration() != 9*time.Second {
			t.Fatalf("after scaling down: %v", told)
		}
		stopped := told[0].GetStop()[0].GetTask()
		for range 2 { // it says so until it is told to forget
			s.send(reportOf(isNow(stopped, pb.TaskState_TASK_STATE_STOPPED)))
			if told := s.told(); len(told) != 1 || !slices.Equal(told[0].GetForget(), []string{stopped}) {
				t.Fatalf("the end was answered with %v", told)
			}
		}
	})
}

// TestReturningAgentIsToldNames of what it has, and the rest of what is new to it.
func TestReturningAgentIsToldNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		first := n.open(n.client())
		first.send(joinOf(small("a1")))
		first.told()
		n.deploy(web(2, "v1"))
		if told := first.told(); len(told) != 1 || len(told[0].GetRun()) != 2 {
			t.Fatalf("after the deployment: %v", told)
		}
		before := must[pb.GetInfoResponse](t)(n.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{}))).GetRevision()

		again := n.open(n.client())
		again.send(joinOf(small("a1"), isNow("web-1-1", pb.TaskState_TASK_STATE_ASSIGNED)))

		told := again.told()
		if len(told) != 1 || !told[0].GetComplete() || len(told[0].GetRun()) != 2 || len(told[0].GetRevisions()) != 1 {
			t.Fatalf("after the second join: %v", told)
		}
		known, fresh := told[0].GetRun()[0], told[0].GetRun()[1]
		if known.GetTask() != "web-1-1" || len(known.GetResources()) > 0 || fresh.GetTask() != "web-1-2" || len(fresh.GetResources()) == 0 {
			t.Errorf("of what it has it is told %v, of what is new to it %v", known, fresh)
		}
		if after := must[pb.GetInfoResponse](t)(n.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{}))).GetRevision(); after != before {
			t.Errorf("its return was written: revision %d, then %d", before, after)
		}
	})
}

func TestStraysAreStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(small("a1"), isNow("old-1-1", pb.TaskState_TASK_STATE_READY)))
		s.beat()
		n.deploy("service: web\nresources: {cpus: 1}\nrun: {command: [a]}\n")
		complete := func(when string) {
			t.Helper()
			told := s.told()
			if len(told) == 0 || !told[0].GetComplete() || len(told[0].GetRun())+len(told[0].GetStop())+len(told[0].GetForget()) > 0 {
				t.Fatalf("%s it was told %v", when, told)
			}
		}
		complete("after it joined with what is nobody's") // and so stops it

		s.send(reportOf(isNow("old-1-1", pb.TaskState_TASK_STATE_STOPPED)))
		if told := s.told(); len(told) == 0 || told[0].GetForget()[0] != "old-1-1" {
			t.Fatalf("after that has ended: %v", told)
		}
		n.eventually("it is trusted again", func() bool { return n.service("web").GetClaims() == 1 })
		s.told()

		s.send(reportOf(isNow("other-1-1", pb.TaskState_TASK_STATE_RUNNING)))
		told := s.told()
		if len(told) != 1 || !told[0].GetComplete() || len(told[0].GetRun()) != 1 || told[0].GetRun()[0].GetTask() != "web-1-1" {
			t.Errorf("after it told of another: %v", told)
		}
	})
}

// TestLostTaskMeetsItsReplacement has an agent return with a task that was given up.
// What is ready and has settled stays.
func TestLostTaskMeetsItsReplacement(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		back  func(was *pb.TaskReport) *pb.TaskReport
		stays string
	}{
		"it is ready": {func(was *pb.TaskReport) *pb.TaskReport { return was }, "web-1-1"},
		"it is not ready": {
			func(*pb.TaskReport) *pb.TaskReport { return isNow("web-1-1", pb.TaskState_TASK_STATE_RUNNING) }, "web-1-2",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := single(t)
				away := n.open(n.client())
				away.send(joinOf(small("a1")))
				n.deploy(web(1, "v1"))
				synctest.Wait()
				was := isNow("web-1-1", pb.TaskState_TASK_STATE_READY)
				away.send(reportOf(was))
				synctest.Wait()
				away.cancel()
				n.eventually("it is silent", func() bool { return n.silent("a1") })
				n.join("a2", 4)
				n.eventually("another takes its place", func() bool {
					return slices.ContainsFunc(n.service("web").GetTasks(), func(task *pb.Task) bool {
						return task.GetAgent() == "a2" && task.GetStatus().GetState() == pb.TaskState_TASK_STATE_READY
					})
				})

				back := n.open(n.client())
				back.send(joinOf(small("a1"), tc.back(was)))

				told := back.told()
				if len(told) == 0 || !told[0].GetComplete() || len(told[0].GetRun())+len(told[0].GetStop()) != 1 || len(told[0].GetForget()) > 0 {
					t.Errorf("it was told %v", told)
				}
				n.eventually("one goes", func() bool {
					for _, order := range slices.Concat(told, back.told()) {
						if len(order.GetStop()) > 0 {
							back.send(reportOf(isNow("web-1-1", pb.TaskState_TASK_STATE_STOPPED)))
						}
					}
					told = nil
					tasks := n.service("web").GetTasks()
					return len(tasks) == 1 && tasks[0].GetId() == tc.stays
				})
			})
		})
	}
}

func TestSilentAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		s.told()

		time.Sleep(2 * time.Second)
		s.send(&pb.SessionRequest{Message: &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{}}})
		time.Sleep(3*time.Second - time.Millisecond)
		if state := n.agentState("a1"); state != "ready" {
			t.Errorf("a moment before, the agent is %s", state)
		}
		time.Sleep(101 * time.Millisecond) // it is looked for ten times a second
		synctest.Wait()

		checkError(t, s.ended(), connect.CodeDeadlineExceeded, "nothing was heard for too long")
		if state := n.agentState("a1"); state != "unreachable" {
			t.Errorf("after silence the agent is %s", state)
		}
		for _, v := range must[pb.ListAgentsResponse](t)(n.api.ListAgents(t.Context(), ask(&pb.ListAgentsRequest{}))).GetAgents() {
			if silent := time.Since(v.GetAgent().GetSilentSince().AsTime()); silent < 3*time.Second {
				t.Errorf("it was last heard of %v ago", silent)
			}
		}
	})
}

func TestSlowStoreIsNotTheAgentsSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := keepJournal(t)
		n := start(t, memory.New(memory.Config{Fault: j.fault}), master.Config{})
		n.leads()
		m := n.join("a1", 4)
		n.deploy(web(1, "v1"))
		n.eventually("it runs", func() bool { return n.service("web").GetReady() == 1 })
		j.mu.Lock()
		j.delay = 20 * time.Second
		j.mu.Unlock()
		time.Sleep(time.Second)

		m.says("web-1-1", pb.TaskState_TASK_STATE_RUNNING, 1)

		n.eventually("the report counts", func() bool { return n.service("web").GetReady() == 0 })
		if ended := 0; m.look(func() bool { ended = m.sessions; return ended > 0 }) {
			t.Errorf("%d sessions ended meanwhile: %v", ended, m.broke)
		}
	})
}

// TestSlowJoinIsNotTheMastersSilence: an agent waits longer for the first word of a
// master than for those that follow.
func TestSlowJoinIsNotTheMastersSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := keepJournal(t)
		n := start(t, memory.New(memory.Config{Fault: j.fault}), master.Config{})
		n.leads()
		j.mu.Lock()
		j.delay = 10 * time.Second
		j.mu.Unlock()

		m := n.join("a1", 4)

		if ended := 0; m.look(func() bool { ended = m.sessions; return ended > 0 }) {
			t.Errorf("%d sessions ended meanwhile: %v", ended, m.broke)
		}
	})
}

// TestAgentThatDoesNotRead keeps a session open, says that it is there, and
// takes none of its orders.
func TestAgentThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{
			Protocols: protocols, DialContext: n.lines.dial, HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10},
		}
		defer transport.CloseIdleConnections()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream := aloftv1connect.NewAgentServiceClient(&http.Client{Transport: transport}, "http://masters").Session(ctx)
		s := &rawSession{t: t, stream: stream, cancel: cancel, ctx: ctx}
		defer s.active.Wait()
		defer cancel()
		s.send(joinOf(small("a1")))
		s.beat()
		n.eventually("it is there", func() bool { return n.agentState("a1") == "ready" })

		n.deploy("service: large\nrun: {command: [a], env: {A: x" + noise(100<<10) + ", B: x" + noise(100<<10) + "}}\n")
		began := time.Now()

		n.eventually("it is given up", func() bool { return n.silent("a1") })
		if waited := time.Since(began); waited < 3*time.Second || waited > 6*time.Second {
			t.Errorf("it was given up after %v", waited)
		}
	})
}

func TestAgentsWordsAreClipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		s.beat()
		n.deploy("job: once\nrun: {command: [a]}\n")
		synctest.Wait()
		long := strings.Repeat("é", 50<<10)
		report := isNow("once-1-1", pb.TaskState_TASK_STATE_FAILED)
		report.Status.Reason, report.Status.Last = long, &pb.Exit{Error: long, At: timestamppb.Now(), LastLogs: slices.Repeat([]string{long}, 30)}

		s.send(reportOf(report))

		n.eventually("it has failed", func() bool { return n.service("once").GetState() == "failed" })
		status := n.service("once").GetTasks()[0].GetStatus()
		for _, text := range append(status.GetLast().GetLastLogs(), status.GetReason(), status.GetLast().GetError()) {
			if len(text) > 4000 || !strings.HasPrefix(long, text) {
				t.Errorf("%d bytes are kept of one text", len(text))
			}
		}
		if lines := len(status.GetLast().GetLastLogs()); lines != 20 {
			t.Errorf("%d lines are kept", lines)
		}
	})
}

func TestManyAgents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		for i := range 30 {
			n.join(fmt.Sprintf("a%d", i), 4)
		}
		n.deploy(web(90, "v1"))

		n.readyOf("web", 1, 90, nil)

		counted(t, n, "aloft_master_agents", map[string]float64{"ready": 30, "suspect": 0, "unreachable": 0, "draining": 0, "drained": 0})
		counted(t, n, "aloft_master_tasks", map[string]float64{"ready": 90, "pending": 0, "lost": 0})
		counted(t, n, "aloft_master_leading", map[string]float64{"": 1})
	})
}
