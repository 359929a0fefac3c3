package master_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// several are the masters of one cluster, which reach each other.
type several struct {
	*testing.T

	cluster *memory.Cluster
	silent  time.Duration // after which they take each other for silent; 0: the default

	mu    sync.Mutex // guards all below
	nodes map[string]*node
	dead  map[string]bool // their machines refuse connections
	mute  map[string]bool // their machines do not answer
	loses map[string]bool // connections to their machines break when a call was sent
}

func startSeveral(t *testing.T, names ...string) *several {
	t.Helper()
	return startSeveralOn(t, memory.Config{}, names...)
}

// startSeveralOn is startSeveral with a store that may have its faults.
func startSeveralOn(t *testing.T, storage memory.Config, names ...string) *several {
	t.Helper()
	s := newSeveral(t, storage)
	s.startAll(names...)
	return s
}

func newSeveral(t *testing.T, storage memory.Config) *several {
	t.Helper()
	return &several{
		T: t, cluster: memory.New(storage),
		nodes: make(map[string]*node), dead: make(map[string]bool), mute: make(map[string]bool), loses: make(map[string]bool),
	}
}

// startAll starts masters; the first one leads.
func (s *several) startAll(names ...string) {
	s.Helper()
	for _, name := range names {
		s.start(name)
		s.nodes[name].eventually("somebody leads", func() bool { return s.nodes[name].master.Ready() == nil })
	}
}

// start starts a master, in place of one of that name that is dead.
func (s *several) start(name string) *node {
	s.Helper()
	n := start(s.T, s.cluster, master.Config{ID: name, Advertise: "http://" + name + ":1", Dial: s.dial, SilentAfter: s.silent})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[name], s.dead[name] = n, false
	return n
}

func (s *several) dial(ctx context.Context, network, address string) (net.Conn, error) {
	name, _, _ := strings.Cut(address, ":")
	s.mu.Lock()
	n, dead, mute := s.nodes[name], s.dead[name], s.mute[name]
	s.mu.Unlock()
	switch {
	case mute:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case dead || n == nil:
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	conn, err := n.lines.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &losing{Conn: conn, loses: func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.loses[name]
	}}, nil
}

// losing is a connection by HTTP/2 that may break when a call was sent by it.
type losing struct {
	net.Conn

	loses func() bool
	lost  atomic.Bool
}

// Write sends what is said, which may be a call.
func (l *losing) Write(p []byte) (int, error) {
	const preface, head, headers = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 9, 1
	for rest := bytes.TrimPrefix(p, []byte(preface)); len(rest) >= head && l.loses(); {
		if rest[3] == headers {
			l.lost.Store(true)
		}
		rest = rest[min(len(rest), head+int(rest[0])<<16+int(rest[1])<<8+int(rest[2])):]
	}
	return l.Conn.Write(p)
}

// Read reads what comes, unless that is lost.
func (l *losing) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if l.lost.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// lose has connections to a master break, or not any more.
func (s *several) lose(name string, loses bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loses[name] = loses
}

// kill ends a master as kill -9 does. What it does after its death is hidden from
// the others, and the test does not wait for it.
func (s *several) kill(name string) {
	s.Helper()
	s.mu.Lock()
	n := s.nodes[name]
	s.dead[name] = true
	s.mu.Unlock()
	var dying sync.WaitGroup
	dying.Go(n.kill)
	n.Cleanup(dying.Wait)
	synctest.Wait()
}

// leader returns the name of the master that leads, as that one says.
func (n *node) leader() string {
	answer, err := n.api.GetInfo(n.Context(), ask(&pb.GetInfoRequest{}))
	if err != nil {
		return err.Error()
	}
	return answer.Msg.GetMaster()
}

func TestAnyMasterAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2", "m3")
		standby := s.nodes["m2"]

		deployed := standby.deploy(web(1, "v1"))
		read := s.nodes["m3"].service("web")
		answer, err := standby.http().Post("http://masters/aloft.v1.ClusterService/GetInfo", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)

		if len(deployed.GetServices()) != 1 || read.GetService().GetRevision() != 1 {
			t.Errorf("deployed %v, then read %v", deployed, read)
		}
		if err != nil || !bytes.Contains(text, []byte(`"master":"m1"`)) || answer.Header.Get(master.LeaderHeader) != "m1" || answer.Body.Close() != nil {
			t.Errorf("over HTTP/1.1: %s, %v", text, answer.Header)
		}
		if _, err := standby.api.GetService(t.Context(), ask(&pb.GetServiceRequest{Service: "nope"})); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("an error of the leader comes as %v", err)
		}
	})
}

// TestWatchThroughAStandby tells changes at once, and goes on when the leader dies.
func TestWatchThroughAStandby(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		stream, err := s.nodes["m2"].api.Watch(t.Context(), ask(&pb.WatchRequest{}))
		if err != nil || !stream.Receive() || !stream.Msg().GetSynced() {
			t.Fatalf("%v, %v", err, stream.Err())
		}
		before := time.Now()
		s.nodes["m1"].deploy(web(1, "v1"))

		if !stream.Receive() || len(stream.Msg().GetChanges()) == 0 || time.Since(before) > 100*time.Millisecond {
			t.Errorf("%v after the change there is %v, %v", time.Since(before), stream.Msg(), stream.Err())
		}
		from := stream.Msg().GetRevision()
		s.kill("m1")
		s.nodes["m2"].deploy(web(2, "v1"))

		if !stream.Receive() || stream.Msg().GetRevision() <= from || len(stream.Msg().GetChanges()) == 0 {
			t.Errorf("under the next leader: %v, %v", stream.Msg(), stream.Err())
		}
	})
}

// TestSessionsAreForTheLeader: a standby sends agents on.
func TestSessionsAreForTheLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		refusing := s.nodes["m2"].open(s.nodes["m2"].client())
		refusing.send(joinOf(small("a1")))
		refusing.told()
		checkError(t, refusing.ended(), connect.CodeUnavailable, "does not lead")

		both, err := client.Open(client.Config{Masters: []string{"m2:1", "m1:1"}, Dial: s.dial})
		if err != nil {
			t.Fatal(err)
		}
		s.nodes["m1"].Cleanup(both.Close)
		s.nodes["m1"].join("a1", 4, func(m *machine) { m.client = both })
	})
}

// TestSessionsWaitForTheNextLeader: when the leader has died, a standby does not
// send agents away before it knows who is next.
func TestSessionsWaitForTheNextLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		next := s.nodes["m2"]
		s.kill("m1")
		time.Sleep(160 * time.Millisecond) // its server has hung up, and its term is not over
		began := time.Now()

		agent := next.open(next.client())
		agent.send(joinOf(small("a1")))

		next.eventually("it has its orders", func() bool { return len(agent.told()) == 1 || agent.ended() != nil })
		if err := agent.ended(); err != nil || time.Since(began) > time.Second {
			t.Errorf("after %v its session is %v", time.Since(began), err)
		}
	})
}

// TestDeadLeader is noticed long before its lease runs out; calls wait meanwhile.
func TestDeadLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2", "m3")
		s.nodes["m2"].deploy(web(1, "v1"))
		began := time.Now()
		s.kill("m1")

		leader := s.nodes["m2"].leader()

		if took := time.Since(began); took > 500*time.Millisecond || leader != "m2" && leader != "m3" {
			t.Errorf("after %v %s leads", took, leader)
		}
		if read := s.nodes["m3"].service("web"); read.GetService().GetRevision() != 1 {
			t.Errorf("the next leader has %v", read)
		}
	})
}

// TestMastersTakeOverInTurn: who leads next is known before, by the addresses, whoever came
// first.
func TestMastersTakeOverInTurn(t *testing.T) {
	t.Parallel()
	for _, started := range []string{"m1 m2 m3 m4", "m2 m4 m1 m3", "m3 m2 m1 m4"} {
		synctest.Test(t, func(t *testing.T) {
			names := strings.Fields(started)
			s := startSeveral(t, names...)
			time.Sleep(3 * time.Second)                                           // all know who is there
			for former := names[0]; len(names) > 1; time.Sleep(6 * time.Second) { // its lease is over, and the others know it
				names = slices.DeleteFunc(names, func(name string) bool { return name == former })
				slices.Sort(names)
				after, _ := slices.BinarySearch(names, former)
				next := names[after%len(names)]
				began := time.Now()
				s.kill(former)

				leader := s.nodes[next].leader()

				if took := time.Since(began); leader != next || took > 200*time.Millisecond {
					t.Errorf("started as %s: %v after the end of %s %s leads, want %s", started, took, former, leader, next)
				}
				former = leader
			}
		})
	}
}

// TestWhoDoesNotTakeOver: if the next one in turn is there and does not lead, the one after
// it does, a moment later.
func TestWhoDoesNotTakeOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2", "m3")
		time.Sleep(3 * time.Second)
		s.nodes["m2"].member.Halt()
		began := time.Now()
		s.kill("m1")

		leader := s.nodes["m3"].leader()

		if took := time.Since(began); leader != "m3" || took < 300*time.Millisecond || took > time.Second {
			t.Errorf("after %v %s leads, want a head start of 300ms", took, leader)
		}
	})
}

// TestManyThatAreGone: however many of those before it are gone and not missed yet, the last
// one leads before who hands over to it has ended.
func TestManyThatAreGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2", "m3", "m4", "m5", "m6", "m7")
		time.Sleep(3 * time.Second)
		for _, gone := range []string{"m2", "m3", "m4", "m5", "m6"} {
			s.nodes[gone].member.Halt()
		}

		answer, err := s.nodes["m1"].api.TransferLeadership(t.Context(), ask(&pb.TransferLeadershipRequest{}))

		if err != nil || answer.Msg.GetTo() != "m7" {
			t.Errorf("transferred to %v, %v", answer, err)
		}
	})
}

// TestLostAnswer: a standby that gets no answer of its leader asks again for what changes
// nothing, and says of other calls that nobody knows what became of them.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		s.nodes["m1"].deploy(web(1, "v1"))
		s.lose("m1", true)
		_, err := s.nodes["m2"].api.Scale(t.Context(), ask(&pb.ScaleRequest{Service: "web", Instances: new(int32(2))}))
		checkError(t, err, connect.CodeUnavailable)
		if err == nil || !strings.Contains(err.Error(), "the outcome is not known") {
			t.Errorf("a change: %v", err)
		}
		const breaks = time.Second
		began := time.Now()
		time.AfterFunc(breaks, func() { s.lose("m1", false) })

		answer, err := s.nodes["m2"].api.GetService(t.Context(), ask(&pb.GetServiceRequest{Service: "web"}))

		if took := time.Since(began); err != nil || answer.Msg.GetService().GetService().GetName() != "web" || took < breaks || took > 2*breaks {
			t.Errorf("after %v a read is answered by %v, %v", took, answer, err)
		}
		s.lose("m1", true)
		began = time.Now()
		_, err = s.nodes["m2"].api.GetService(t.Context(), ask(&pb.GetServiceRequest{Service: "web"}))
		checkError(t, err, connect.CodeUnavailable)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("a read is given up after %v", took)
		}
	})
}

// TestSilentLeader may be alive: only its lease ends its term.
func TestSilentLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		s.mu.Lock()
		s.mute["m1"] = true
		s.mu.Unlock()
		time.Sleep(time.Minute)
		if leader := s.nodes["m1"].leader(); leader != "m1" {
			t.Errorf("a minute without connections later %s leads", leader)
		}
		_, err := s.nodes["m2"].api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{}))
		checkError(t, err, connect.CodeUnavailable)

		s.nodes["m1"].member.Cut()
		time.Sleep(3 * time.Second) // the lease is 2 s

		if leader := s.nodes["m2"].leader(); leader != "m2" {
			t.Errorf("after its lease %s leads", leader)
		}
	})
}

// TestPlannedEnd of a leader: no call fails, and none waits long.
func TestPlannedEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		c, err := client.Open(client.Config{Masters: []string{"m1:1", "m2:1"}, Dial: s.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		var calling sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		var longest time.Duration
		calls := 0
		calling.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				_, err := c.Cluster().SetPool(ctx, ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: "p", Priority: int32(calls)}}))
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("call %d: %v", calls, err)
				}
				longest = max(longest, time.Since(began))
				calls++
				pause(ctx, time.Millisecond)
			}
		})
		time.Sleep(100 * time.Millisecond)

		s.nodes["m1"].stop()

		time.Sleep(100 * time.Millisecond)
		stop()
		calling.Wait()
		if leader := s.nodes["m2"].leader(); leader != "m2" || longest > 200*time.Millisecond || calls < 100 {
			t.Errorf("%s leads after %d calls, the longest took %v", leader, calls, longest)
		}
	})
}

// TestTransfer has another master lead at once, and refuses where there is none.
func TestTransfer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1")
		n := s.nodes["m1"]
		refused[pb.TransferLeadershipResponse](t, connect.CodeFailedPrecondition, "no other master")(
			n.api.TransferLeadership(t.Context(), ask(&pb.TransferLeadershipRequest{})))
		s.start("m2")
		n.eventually("m2 is there", func() bool { return len(n.masters()) == 2 })
		began := time.Now()

		moved := must[pb.TransferLeadershipResponse](t)(s.nodes["m2"].api.TransferLeadership(t.Context(), ask(&pb.TransferLeadershipRequest{})))

		if took := time.Since(began); moved.GetFrom() != "m1" || moved.GetTo() != "m2" || took > 100*time.Millisecond {
			t.Errorf("%v after %v", moved, took)
		}
		list := n.masters()
		if len(list) != 2 || list[0].GetLeading() || !list[1].GetLeading() || list[1].GetAddress() != "http://m2:1" {
			t.Errorf("masters: %v", list)
		}
		s.kill("m1")
		time.Sleep(5 * time.Second)
		if list := s.nodes["m2"].masters(); len(list) != 1 || list[0].GetId() != "m2" {
			t.Errorf("masters after the death of m1: %v", list)
		}
	})
}

// masters returns the masters that are there.
func (n *node) masters() []*pb.MasterInfo {
	n.Helper()
	return must[pb.ListMastersResponse](n.T)(n.api.ListMasters(n.Context(), ask(&pb.ListMastersRequest{}))).GetMasters()
}

// TestNextProcess of a master does not wait for the lease of the one before.
func TestNextProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1")
		s.kill("m1")
		began := time.Now()

		n := s.start("m1")

		n.leads()
		if took := time.Since(began); took > time.Second || n.leader() != "m1" {
			t.Errorf("after %v %s leads", took, n.leader())
		}
	})
}

// TestNobodyLeads is said after a while, and by a call that was handed on at
// once.
func TestNobodyLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		s.nodes["m1"].member.Cut()
		s.nodes["m2"].member.Cut()
		s.kill("m1")
		for _, handedOn := range []bool{false, true} {
			began := time.Now()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://masters/aloft.v1.ClusterService/GetInfo", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			if handedOn {
				request.Header.Set("Aloft-Forwarded-By", "m3")
			}
			answer, err := s.nodes["m2"].http().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			took := time.Since(began)
			if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get(master.StandbyHeader) == "" || (took < time.Second) != handedOn {
				t.Errorf("handed on %t: %v after %v", handedOn, answer.Status, took)
			}
		}
	})
}
