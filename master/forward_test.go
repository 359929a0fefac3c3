package master_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/store/memory"
)

// TestDeposedLeader is asked for something while it does not know yet that it leads
// no more: what it has not begun is answered by the next leader, in each protocol.
func TestDeposedLeader(t *testing.T) {
	t.Parallel()
	for name, option := range map[string]connect.ClientOption{
		"connect": connect.WithClientOptions(), "json": connect.WithProtoJSON(), "grpc": connect.WithGRPC(), "grpc-web": connect.WithGRPCWeb(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { deposed(t, option) })
		})
	}
}

func deposed(t *testing.T, option connect.ClientOption) {
	t.Helper()
	var slow atomic.Bool
	s := startSeveralOn(t, memory.Config{Fault: func(call memory.Call) memory.Fate {
		if call.Kind == memory.Commit && slow.Load() {
			return memory.Fate{Delay: 500 * time.Millisecond}
		}
		return memory.Fate{}
	}}, "m1", "m2")
	former := aloftv1connect.NewClusterServiceClient(s.nodes["m1"].client(), "http://masters", option)
	set := func(pool string) error {
		_, err := former.SetPool(t.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: pool}}))
		return err
	}
	slow.Store(true)
	var asking sync.WaitGroup
	asking.Go(func() { _ = set("begun") }) // nobody knows what became of it
	synctest.Wait()
	asking.Go(func() {
		if err := set("waiting"); err != nil {
			t.Errorf("a call that was not begun: %v", err)
		}
	})
	synctest.Wait()

	s.cluster.Depose()

	slow.Store(false)
	asking.Wait()
	checkPool(t, s.nodes["m2"], "waiting")
}

// TestCallsAtAPlannedEnd: a call whose commit is under way when its leader is told to end, or
// to hand over, is answered with what became of it, and those that wait behind it are
// done by the next leader.
func TestCallsAtAPlannedEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(s *several){
		"told to end": func(s *several) { s.nodes["m1"].stop() },
		"told to hand over": func(s *several) {
			_, err := s.nodes["m2"].api.TransferLeadership(s.Context(), ask(&pb.TransferLeadershipRequest{}))
			if err != nil {
				s.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var slow atomic.Bool
				s := startSeveralOn(t, memory.Config{Fault: func(call memory.Call) memory.Fate {
					if call.Kind == memory.Commit && len(call.Ops) > 0 && slow.CompareAndSwap(true, false) {
						return memory.Fate{Delay: 700 * time.Millisecond}
					}
					return memory.Fate{}
				}}, "m1", "m2")
				slow.Store(true)
				var asking sync.WaitGroup
				for _, node := range []string{"m1", "m2"} {
					for _, pool := range []string{"begun", "waiting"} {
						asking.Go(func() {
							if err := s.nodes[node].setPool(pool + "-" + node); err != nil {
								t.Errorf("the call that was %s through %s: %v", pool, node, err)
							}
						})
						synctest.Wait()
					}
				}

				end(s)

				asking.Wait()
				for _, pool := range []string{"begun-m1", "waiting-m1", "begun-m2", "waiting-m2"} {
					checkPool(t, s.nodes["m2"], pool)
				}
			})
		})
	}
}

// checkPool checks that there is a pool.
func checkPool(t *testing.T, n *node, name string) {
	t.Helper()
	pools := must[pb.ListPoolsResponse](t)(n.api.ListPools(t.Context(), ask(&pb.ListPoolsRequest{}))).GetPools()
	if !slices.ContainsFunc(pools, func(p *pb.PoolView) bool { return p.GetPool().GetId() == name }) {
		t.Errorf("pools are %v; want %s", pools, name)
	}
}

// TestHaltedLeader says that it does not lead long after another one has begun to:
// the call that waited for its answer goes to that one.
func TestHaltedLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSeveral(t, memory.Config{})
		s.silent = time.Minute // so that nobody takes the connection for lost
		s.startAll("m1", "m2", "m3")
		standby := s.nodes["m3"]
		if err := standby.setPool("before"); err != nil { // by a connection that is there from now on
			t.Fatal(err)
		}
		goOn := s.nodes["m1"].halt()
		var asking sync.WaitGroup
		asking.Go(func() {
			if err := standby.setPool("during"); err != nil {
				t.Errorf("a call to the leader that was halted: %v", err)
			}
		})
		synctest.Wait()
		s.cluster.Depose()
		time.Sleep(30 * time.Second)

		goOn()

		asking.Wait()
		checkPool(t, standby, "during")
	})
}

// TestLongElection: calls wait for a leader for longer than elections take where
// machines are busy.
func TestLongElection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startSeveral(t, "m1", "m2")
		next := s.nodes["m2"]
		next.member.Cut()
		s.kill("m1")
		var asking sync.WaitGroup
		asking.Go(func() {
			if err := next.setPool("during"); err != nil {
				t.Errorf("a call while nobody leads: %v", err)
			}
		})
		time.Sleep(8 * time.Second)

		next.member.Heal()

		asking.Wait()
		checkPool(t, next, "during")
	})
}

// setPool writes a pool.
func (n *node) setPool(name string) error {
	_, err := n.api.SetPool(n.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: name}}))
	return err
}
