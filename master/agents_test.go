package master_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// rawSession is an agent's session in the hands of the test.
type rawSession struct {
	t      *testing.T
	stream *connect.BidiStreamForClient[pb.SessionRequest, pb.SessionResponse]
	cancel func()
	ctx    context.Context //nolint:containedctx // that of the stream, for all that works on it
	active sync.WaitGroup

	mu     sync.Mutex // guards all below
	orders []*pb.Orders
	end    error
}

// open opens a session and reads all that comes.
func (n *node) open(over connect.HTTPClient) *rawSession {
	n.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.Context()))
	s := &rawSession{t: n.T, stream: aloftv1connect.NewAgentServiceClient(over, "http://masters").Session(ctx), cancel: cancel, ctx: ctx}
	n.Cleanup(func() { cancel(); s.active.Wait() })
	s.active.Go(func() {
		for {
			message, err := s.stream.Receive()
			s.mu.Lock()
			if err != nil {
				s.end = err
				s.mu.Unlock()
				return
			}
			if orders := message.GetOrders(); orders != nil {
				s.orders = append(s.orders, orders)
			}
			s.mu.Unlock()
		}
	})
	return s
}

func (s *rawSession) send(m *pb.SessionRequest) {
	s.t.Helper()
	if err := s.stream.Send(m); err != nil {
		s.t.Logf("not sent: %v", err)
	}
}

func joinOf(agent *pb.Agent, tasks ...*pb.TaskReport) *pb.SessionRequest {
	return &pb.SessionRequest{Message: &pb.SessionRequest_Join{Join: &pb.AgentJoin{Agent: agent, Tasks: tasks}}}
}

func reportOf(tasks ...*pb.TaskReport) *pb.SessionRequest {
	return &pb.SessionRequest{Message: &pb.SessionRequest_Report{Report: &pb.AgentReport{Tasks: tasks}}}
}

func isNow(task string, state pb.TaskState) *pb.TaskReport {
	return &pb.TaskReport{Task: task, Status: &pb.TaskStatus{State: state, Attempt: 1, Since: timestamppb.Now()}}
}

// beat says that the agent is there, until the session ends.
func (s *rawSession) beat() {
	s.active.Go(func() {
		for s.ctx.Err() == nil && s.stream.Send(&pb.SessionRequest{Message: &pb.SessionRequest_Heartbeat{Heartbeat: &pb.Heartbeat{}}}) == nil {
			pause(s.ctx, 500*time.Millisecond)
		}
	})
}

func (s *rawSession) ended() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// told returns all orders so far, and forgets them.
func (s *rawSession) told() []*pb.Orders {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	orders := s.orders
	s.orders = nil
	return orders
}

func small(name string) *pb.Agent {
	return &pb.Agent{Id: name, BootId: "boot", Partitions: []*pb.Partition{
		{Id: "cpus", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "cpus", Scalar: 4000}},
		{Id: "mem", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "mem", Scalar: 1 << 40}},
		{Id: "ports", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "ports", Ranges: []*pb.Range{{First: 20000, Last: 20009}}}},
	}}
}

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

func TestLostTaskIsStoppedWhenItsAgentReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		away := n.open(n.client())
		away.send(joinOf(small("a1")))
		n.deploy(web(1, "v1"))
		synctest.Wait()
		away.send(reportOf(isNow("web-1-1", pb.TaskState_TASK_STATE_READY)))
		synctest.Wait()
		away.cancel()
		n.eventually("it is silent", func() bool { return n.agentState("a1") == "silent" })
		n.join("a2", 4)
		n.eventually("another takes its place", func() bool {
			return slices.ContainsFunc(n.service("web").GetTasks(), func(task *pb.Task) bool {
				return task.GetAgent() == "a2" && task.GetStatus().GetState() == pb.TaskState_TASK_STATE_READY
			})
		})

		back := n.open(n.client())
		back.send(joinOf(small("a1"), isNow("web-1-1", pb.TaskState_TASK_STATE_READY)))

		told := back.told()
		if len(told) == 0 || !told[0].GetComplete() || len(told[0].GetRun())+len(told[0].GetForget()) > 0 {
			t.Errorf("back with a task that was given up, it was told %v", told)
		}
	})
}

func TestNewerSessionTakesThePlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		older := n.open(n.client())
		older.send(joinOf(small("a1")))
		older.beat()
		older.told()

		newer := n.open(n.client())
		newer.send(joinOf(small("a1")))
		newer.beat()

		newer.told()
		checkError(t, older.ended(), connect.CodeAborted, "a newer session took its place")
		n.deploy(web(1, "v1"))
		if told := newer.told(); len(told) != 1 || len(told[0].GetRun()) != 1 {
			t.Errorf("the newer session was told %v", told)
		}
		time.Sleep(time.Minute)
		if state := n.agentState("a1"); state != "ready" || newer.ended() != nil {
			t.Errorf("a minute later the agent is %s, its session ended with %v", state, newer.ended())
		}
	})
}

// TestOldSessionNeverSilencesTheNew has an agent come back at any moment around
// the end of its session, while the loop is busy with a slow commit.
func TestOldSessionNeverSilencesTheNew(t *testing.T) {
	t.Parallel()
	for _, back := range []time.Duration{-time.Second, -time.Millisecond, 0, time.Millisecond, time.Second, 5 * time.Second} {
		t.Run(back.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := keepJournal(t)
				j.delay = 700 * time.Millisecond
				n := start(t, memory.New(memory.Config{Fault: j.fault}), master.Config{})
				n.leads()
				older := n.open(n.client())
				older.send(joinOf(small("a1")))
				older.beat()
				time.Sleep(10 * time.Second)
				var asking sync.WaitGroup
				asking.Go(func() { n.deploy(web(1, "v1")) }) // keeps the loop busy
				synctest.Wait()
				time.AfterFunc(max(0, -back), older.cancel)
				time.Sleep(max(0, back))

				newer := n.open(n.client())
				newer.send(joinOf(small("a1")))
				newer.beat()

				asking.Wait()
				time.Sleep(time.Minute)
				if state := n.agentState("a1"); state != "ready" || newer.ended() != nil {
					t.Errorf("the agent is %s, its session ended with %v", state, newer.ended())
				}
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

		time.Sleep(3*time.Second - time.Millisecond)
		if state := n.agentState("a1"); state != "ready" {
			t.Errorf("a moment before, the agent is %s", state)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()

		checkError(t, s.ended(), connect.CodeDeadlineExceeded, "nothing was heard for too long")
		if state := n.agentState("a1"); state != "silent" {
			t.Errorf("after silence the agent is %s", state)
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

		n.eventually("it is given up", func() bool { return n.agentState("a1") == "silent" })
		if waited := time.Since(began); waited < 3*time.Second || waited > 6*time.Second {
			t.Errorf("it was given up after %v", waited)
		}
	})
}

// noise returns text that no compression makes much shorter.
func noise(length int) string {
	text := make([]byte, length)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = "abcdefghijklmnopqrstuvwxyz234567"[random.IntN(32)]
	}
	return string(text)
}

func TestRefusedSessions(t *testing.T) {
	t.Parallel()
	partition := func(q *pb.Quantity, weight int64) *pb.Agent {
		return &pb.Agent{Id: "a1", Partitions: []*pb.Partition{{Id: "p1", Quantity: q, WeightThousandths: weight}}}
	}
	cpus := &pb.Quantity{Type: "cpus", Scalar: 1000}
	tests := map[string]struct {
		messages []*pb.SessionRequest
		code     connect.Code
		says     string
	}{
		"nothing is said": {nil, connect.CodeDeadlineExceeded, ""},
		"the first message is none": {
			[]*pb.SessionRequest{{}}, connect.CodeInvalidArgument, "must be a join",
		},
		"the first message is a report": {
			[]*pb.SessionRequest{reportOf(isNow("web-1-1", 5))}, connect.CodeInvalidArgument, "must be a join",
		},
		"the agent has no name":     {[]*pb.SessionRequest{joinOf(&pb.Agent{})}, connect.CodeInvalidArgument, "name"},
		"the name is none":          {[]*pb.SessionRequest{joinOf(&pb.Agent{Id: "../a1"})}, connect.CodeInvalidArgument, "../a1"},
		"a partition of no type":    {[]*pb.SessionRequest{joinOf(partition(nil, 1))}, connect.CodeInvalidArgument, ""},
		"a partition of no weight":  {[]*pb.SessionRequest{joinOf(partition(cpus, 0))}, connect.CodeInvalidArgument, "weight"},
		"a quantity of no kind":     {[]*pb.SessionRequest{joinOf(partition(&pb.Quantity{Type: "cpus", Kind: 9}, 1))}, connect.CodeInvalidArgument, "partitions[0].quantity.kind"},
		"more than there can be":    {[]*pb.SessionRequest{joinOf(partition(&pb.Quantity{Type: "cpus", Scalar: -1}, 1))}, connect.CodeInvalidArgument, "cpus"},
		"attributes without an end": {[]*pb.SessionRequest{joinOf(&pb.Agent{Id: "a1", Attributes: map[string]string{"a": strings.Repeat("x", 300<<10)}})}, connect.CodeInvalidArgument, "want at most"},
		"a task in no state":        {[]*pb.SessionRequest{joinOf(small("a1"), &pb.TaskReport{Task: "web-1-1"})}, connect.CodeInvalidArgument, "task web-1-1: state is missing"},
		"a report of no state":      {[]*pb.SessionRequest{joinOf(small("a1")), reportOf(&pb.TaskReport{Task: "web-1-1", Status: &pb.TaskStatus{State: 99}})}, connect.CodeInvalidArgument, "task web-1-1: state: unknown value 99"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := single(t)
				s := n.open(n.client())
				s.send(nil) // opens the stream

				for _, message := range tc.messages {
					s.send(message)
				}

				n.eventually("it is refused", func() bool { return s.ended() != nil })
				checkError(t, s.ended(), tc.code, tc.says)
			})
		})
	}
}

func TestRefusedJoinLeavesTheSessionBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		m := n.join("a1", 4)
		bad := small("a1")
		bad.Partitions[0].WeightThousandths = -1

		s := n.open(n.client())
		s.send(joinOf(bad))

		n.eventually("it is refused", func() bool { return s.ended() != nil })
		time.Sleep(time.Minute)
		if state := n.agentState("a1"); state != "ready" || m.look(func() bool { return m.sessions > 0 }) {
			t.Errorf("the agent is %s; its session ended with %v", state, m.broke)
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

func TestAgentLeavesInGoodOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		s.told()

		if err := s.stream.CloseRequest(); err != nil {
			t.Fatal(err)
		}

		n.eventually("the session has ended", func() bool { return s.ended() != nil })
		if !errors.Is(s.ended(), io.EOF) || n.agentState("a1") != "silent" {
			t.Errorf("it ended with %v; the agent is %s", s.ended(), n.agentState("a1"))
		}
	})
}

func TestSessionsEndWithTheTerm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		n := start(t, cluster, master.Config{})
		n.leads()
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		s.beat()
		s.told()

		cluster.Depose()

		n.eventually("the session has ended", func() bool { return s.ended() != nil })
		checkError(t, s.ended(), connect.CodeUnavailable, "does not lead")
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

		counted(t, n, "aloft_master_agents", map[string]float64{"ready": 30, "silent": 0, "draining": 0, "drained": 0})
		counted(t, n, "aloft_master_tasks", map[string]float64{"ready": 90, "pending": 0, "lost": 0})
		counted(t, n, "aloft_master_leading", map[string]float64{"": 1})
	})
}
