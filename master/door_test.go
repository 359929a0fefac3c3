package master_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// knock waits until agents may come in, and returns how long that took.
func (n *node) knock(agents ...string) time.Duration {
	n.Helper()
	began := time.Now()
	api := aloftv1connect.NewAgentServiceClient(n.client(), "http://masters")
	if _, err := api.Knock(n.Context(), connect.NewRequest(&pb.KnockRequest{Agents: agents})); err != nil {
		n.Error(err)
	}
	return time.Since(began)
}

// comes opens a session of an agent, which says its name at once.
func (n *node) comes(name string, tasks ...*pb.TaskReport) *rawSession {
	n.Helper()
	s := n.open(n.client())
	s.stream.RequestHeader().Set("Aloft-Agent", name)
	s.send(joinOf(small(name), tasks...))
	return s
}

// crowd is so many names that nobody else may come in beside them.
func crowd(number int) (names []string) {
	for i := range master.RushLeast {
		names = append(names, fmt.Sprintf("crowd-%d-%d", number, i))
	}
	return names
}

// TestAgentsKnock: agents that were let in together keep others out until they have
// begun their sessions, or a moment has passed, or they have knocked again.
func TestAgentsKnock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		if waited := n.knock("a1"); waited != 0 {
			t.Errorf("with nobody else at the door it waited for %v", waited)
		}
		if waited := n.knock(append(crowd(1), "one-too-many")...); waited != time.Second {
			t.Errorf("as many as may come in waited for %v for one that does not come", waited)
		}
		if waited := n.knock("a1"); waited != time.Second {
			t.Errorf("one waited for %v for as many as may come in", waited)
		}
		time.Sleep(time.Second)

		n.knock(append(crowd(2)[1:], "a1")...)
		n.comes("a1")
		synctest.Wait()
		if waited := n.knock("a2"); waited != 0 {
			t.Errorf("it waited for %v, and one had come in", waited)
		}
		if waited := n.knock(crowd(2)[1:]...); waited != 0 {
			t.Errorf("who knocks again waited for %v for the places that it had", waited)
		}
	})
}

// TestFewerComeInAfterTheRush: a leader that is new lets in more of them, for it knows of
// what there is by them alone. Later they are fewer, so that calls pass between them.
func TestFewerComeInAfterTheRush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		n.knock(crowd(1)[1:]...)
		if waited := n.knock("a1"); waited != 0 {
			t.Errorf("one waited for %v at a new leader", waited)
		}
		time.Sleep(15 * time.Second)
		n.knock(crowd(2)[:master.ComingMax-1]...)
		if waited := n.knock("a1"); waited != 0 {
			t.Errorf("one waited for %v, and there was a place", waited)
		}
		if waited := n.knock("a2"); waited != time.Second {
			t.Errorf("one too many waited for %v", waited)
		}
		if waited := n.knock(crowd(3)...); waited != time.Second {
			t.Errorf("more than may ever come in waited for %v", waited)
		}
	})
}

// TestMoreComeInWhereThereAreMore: a new leader lets in 3 % of the agents that it knows of.
func TestMoreComeInWhereThereAreMore(t *testing.T) {
	t.Parallel()
	for agents, want := range map[int]int{0: 300, 10_000: 300, 15_000: 450, 20_000: 600, 50_000: 600} {
		if found := master.RushPlaces(agents); found != want {
			t.Errorf("of %d agents %d come in at one time; want %d", agents, found, want)
		}
	}
}

// TestAgentsComeInInTheirOrder: each is let in when those before it have had their time.
func TestAgentsComeInInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		waited := make([]time.Duration, 4)
		var knocking sync.WaitGroup
		for i := range waited {
			knocking.Go(func() { waited[i] = n.knock(crowd(i)...) })
			synctest.Wait()
		}
		knocking.Wait()

		if want := []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}; !slices.Equal(waited, want) {
			t.Errorf("they waited for %v, want %v", waited, want)
		}
	})
}

// TestAKnockIsHeldUntilAMasterLeads, and refused by one that stands by.
func TestAKnockIsHeldUntilAMasterLeads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		n := start(t, cluster, master.Config{ID: "m1", Advertise: "http://m1:7117"})
		if n.knock("a1"); n.master.Ready() != nil {
			t.Error("it was let in by a master that does not lead")
		}
		standby := start(t, cluster, master.Config{ID: "m2", Advertise: "http://m2:7117"})
		standby.eventually("it knows the leader", func() bool { return standby.master.Ready() == nil })

		_, err := aloftv1connect.NewAgentServiceClient(standby.http(), "http://masters").Knock(t.Context(), ask(&pb.KnockRequest{Agents: []string{"a1"}}))

		checkError(t, err, connect.CodeUnavailable, "does not lead")
	})
}

// TestWhoWaitsAtTheDoorKeepsItsTasks: an agent that loses its session and comes back
// behind a crowd, which takes much longer than agents are waited for, is not given up.
func TestWhoWaitsAtTheDoorKeepsItsTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		before := n.open(n.client()) // it says its name in its first message only
		before.send(joinOf(small("a1")))
		n.deploy("service: web\nresources: {cpus: 1}\nrun: {command: [./web]}\n")
		n.eventually("it is placed", func() bool { return len(n.service("web").GetTasks()) == 1 })
		ready := isNow("web-1-1", pb.TaskState_TASK_STATE_READY)
		before.send(reportOf(ready))
		n.eventually("it is ready", func() bool { return n.service("web").GetReady() == 1 })
		n.join("a2", 4)
		var knocking sync.WaitGroup
		for i := range 20 {
			knocking.Go(func() { n.knock(crowd(i)...) })
			synctest.Wait()
		}
		before.cancel()
		n.eventually("it is missed", func() bool { return n.silent("a1") })
		began := time.Now()

		n.comes("a1", ready)
		n.eventually("it is back", func() bool { return !n.silent("a1") })

		knocking.Wait()
		if waited := time.Since(began); waited < 15*time.Second {
			t.Errorf("it waited for no more than %v", waited)
		}
		if tasks := n.service("web").GetTasks(); len(tasks) != 1 || tasks[0].GetId() != "web-1-1" || tasks[0].GetStatus().GetState() != pb.TaskState_TASK_STATE_READY {
			t.Errorf("there are %v", tasks)
		}
	})
}
