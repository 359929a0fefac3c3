package master_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
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
	stamps []int64     // that came back
	beaten []time.Time // when heartbeats came
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
			if message.GetHeartbeat() != nil {
				s.beaten = append(s.beaten, time.Now())
			}
			if stamp := message.GetHeartbeat().GetStamp(); stamp > 0 {
				s.stamps = append(s.stamps, stamp)
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

// beats returns when the heartbeats came that there were so far.
func (s *rawSession) beats() []time.Time {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.beaten)
}

// stamped returns the stamps that came back so far.
func (s *rawSession) stamped() []int64 {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.stamps)
}

func small(name string) *pb.Agent {
	return &pb.Agent{Id: name, BootId: "boot", Partitions: []*pb.Partition{
		{Id: "cpus", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "cpus", Scalar: 4000}},
		{Id: "mem", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "mem", Scalar: 1 << 40}},
		{Id: "ports", WeightThousandths: 1000, Quantity: &pb.Quantity{Type: "ports", Ranges: []*pb.Range{{First: 20000, Last: 20009}}}},
	}}
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

// TestNamesake has two agents join under one name: the second must not take the
// tasks of the first for lost.
func TestNamesake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		join := func(folder string) *rawSession {
			s := n.open(n.client())
			m := joinOf(small("a1"))
			m.GetJoin().Folder = folder
			s.send(m)
			s.beat()
			s.told()
			return s
		}
		first := join("folder-1")

		second := join("folder-2")

		checkError(t, second.ended(), connect.CodeAlreadyExists, "agent a1 is connected already, from another data folder")
		if first.ended() != nil || n.agentState("a1") != "ready" {
			t.Fatalf("the first one's session ended with %v; the agent is %s", first.ended(), n.agentState("a1"))
		}
		first.cancel()
		n.eventually("the first one is silent", func() bool { return n.silent("a1") })
		if third := join("folder-2"); third.ended() != nil {
			t.Errorf("once the first one has gone, the other is refused: %v", third.ended())
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
		if !errors.Is(s.ended(), io.EOF) || !n.silent("a1") {
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

// TestWordsThatSteerTerminals reach nobody: they are a program's.
func TestWordsThatSteerTerminals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(joinOf(small("a1")))
		s.beat()
		n.deploy(web(1, "v1"))
		failed := isNow("web-1-1", pb.TaskState_TASK_STATE_BACKOFF)
		failed.Status.Last = &pb.Exit{Code: 1, Error: "\x1b]0;title\a", LastLogs: []string{"a\tb\x1b[2J"}, At: timestamppb.Now()}
		s.send(reportOf(failed))
		synctest.Wait()

		exit := n.service("web").GetTasks()[0].GetStatus().GetLast()
		if exit.GetError() != "\ufffd]0;title\ufffd" || len(exit.GetLastLogs()) != 1 || exit.GetLastLogs()[0] != "a\tb\ufffd[2J" {
			t.Errorf("kept: %q", exit)
		}
	})
}

// TestLateJoin has the join of an older session come after that of a newer one, as
// when the older one was held up on its way: it changes nothing, also when the newer
// has ended.
func TestLateJoin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		open := func(boot string, at int64) *rawSession {
			agent := small("a1")
			agent.BootId = boot
			s := n.open(n.client())
			s.send(&pb.SessionRequest{Message: &pb.SessionRequest_Join{Join: &pb.AgentJoin{Agent: agent, Opened: at}}})
			s.beat()
			time.Sleep(time.Second)
			synctest.Wait()
			return s
		}
		newer := open("boot", 20)

		late := open("boot", 10)

		if late.ended() == nil || newer.ended() != nil || n.agentState("a1") != "ready" {
			t.Errorf("the late session ended with %v, the newer with %v, the agent is %s", late.ended(), newer.ended(), n.agentState("a1"))
		}
		newer.cancel()
		time.Sleep(time.Second)
		if late := open("boot", 15); late.ended() == nil || n.agentState("a1") == "ready" {
			t.Errorf("after the newer one the late session ended with %v, the agent is %s", late.ended(), n.agentState("a1"))
		}
		if next := open("boot", 30); next.ended() != nil {
			t.Errorf("the next session ended with %v", next.ended())
		}
		if next := open("boot-2", 5); next.ended() != nil || n.agentState("a1") != "ready" {
			t.Errorf("after the machine was started anew its session ended with %v", next.ended())
		}
	})
}

// quiet is a join whose connection speaks for the agent.
func quiet(agent *pb.Agent) *pb.SessionRequest {
	return &pb.SessionRequest{Message: &pb.SessionRequest_Join{Join: &pb.AgentJoin{Agent: agent, Quiet: true}}}
}

// TestConnectionSpeaksForQuietAgents, while it holds, and the master says as little.
func TestConnectionSpeaksForQuietAgents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		shared := n.client()
		first, second := n.open(shared), n.open(shared)
		first.send(quiet(small("a1")))
		second.send(quiet(small("a2")))
		loud := n.open(n.client())
		loud.send(joinOf(small("a3")))
		time.Sleep(time.Minute)

		for name, want := range map[string]string{"a1": "ready", "a2": "ready", "a3": "unreachable"} {
			if state := n.agentState(name); state != want {
				t.Errorf("%s is %s, want %s", name, state, want)
			}
		}
		if beats := len(first.beats()); first.ended() != nil || beats < 4 || beats > 8 {
			t.Errorf("its session ended with %v after %d heartbeats", first.ended(), beats)
		}
		if err := first.stream.CloseRequest(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		if one, other := n.agentState("a1"), n.agentState("a2"); one != "unreachable" || other != "ready" {
			t.Errorf("after its session ended a1 is %s, and a2 %s", one, other)
		}
	})
}

// TestQuietAgentsGetAsFewHeartbeatsAsTheyWant, within what has sense: one of an older
// version, which does not say, would be without them for too long else.
func TestQuietAgentsGetAsFewHeartbeatsAsTheyWant(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		wants := map[int32]int{0: 200, 1: 200, -7: 200, 100: 20, 1000: 2, 1 << 30: 2} // within 2,000 s, of one each second
		sessions := make(map[int32]*rawSession)
		for times := range wants {
			join := quiet(small(fmt.Sprint("a", times)))
			join.GetJoin().QuietTimes = times
			sessions[times] = n.open(n.client())
			sessions[times].send(join)
		}
		time.Sleep(2000 * time.Second)

		for times, want := range wants {
			if got := len(sessions[times].beats()); got < want-1 || got > want+1 {
				t.Errorf("that wants one of %d got %d heartbeats; want some %d", times, got, want)
			}
		}
	})
}

// TestQuietAgentsGetTheStampsThatTheyNeed: those that run what is to be stopped out of
// touch, at once and then as often as others.
func TestQuietAgentsGetTheStampsThatTheyNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		s := n.open(n.client())
		s.send(quiet(small("a1")))
		s.send(stamped(7))
		time.Sleep(9 * time.Second)
		few := s.stamped()
		if len(few) > 1 {
			t.Errorf("it got the stamps %v, for nothing", few)
		}
		n.deploy("service: web\non_partition: stop\non_lost: {after: 20s}\nrun: {command: [a]}\n")
		orders := s.told()
		if len(orders) == 0 || !orders[len(orders)-1].GetStamped() {
			t.Fatalf("it was told %v", orders)
		}

		s.send(stamped(8))
		synctest.Wait()

		if stamps := s.stamped()[len(few):]; !slices.Equal(stamps, []int64{8}) {
			t.Errorf("at once it got the stamps %v", stamps)
		}
		for stamp := range int64(5) {
			s.send(stamped(9 + stamp))
			time.Sleep(time.Second)
		}
		if stamps := s.stamped()[len(few):]; len(stamps) < 5 {
			t.Errorf("then it got the stamps %v", stamps)
		}
	})
}

// TestWhoSaysNothingKeepsNobodyOut: agents come in so many at a time, and one that opens
// a session and does not say who it is keeps the next one waiting for a moment only.
func TestWhoSaysNothingKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		client := n.client()
		for range master.RushLeast {
			n.open(client).send(nil) // the session is open, and nothing is said
		}
		synctest.Wait()
		began := time.Now()

		n.join("a1", 4)

		if waited := time.Since(began); waited == 0 || waited > 2*time.Second {
			t.Errorf("the agent has its orders after %v", waited)
		}
	})
}
