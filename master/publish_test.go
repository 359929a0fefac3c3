package master_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/store/memory"
)

// life takes a cluster through a life in which everybody is told something. The
// commits may fail meanwhile. Who watches it has been told of all in the end.
func life(n *node, j *journal) {
	n.Helper()
	n.leads()
	follower := n.follow("")
	synctest.Wait()
	n.join("a1", 3, func(m *machine) { m.heard = j.hears })
	n.join("a2", 3, func(m *machine) { m.heard = j.hears })
	r := n.balance("r1")
	j.watch(n)
	n.persist("deploy v1", func() error { return n.try(web(2, "v1")) })
	n.readyOf("web", 1, 2, j)
	n.persist("deploy v2", func() error { return n.try(web(2, "v2")) })
	n.readyOf("web", 2, 2, j)
	n.persist("scale", func() error {
		_, err := n.api.Scale(n.Context(), ask(&pb.ScaleRequest{Service: "web", Instances: new(int32(1))}))
		return err
	})
	n.eventually("one instance is left", func() bool {
		list, err := n.api.ListTasks(n.Context(), ask(&pb.ListTasksRequest{}))
		return err == nil && len(list.Msg.GetTasks()) == 1
	})
	n.eventually("the router serves one", func() bool { return len(r.serves()) == 1 })
	n.persist("remove", func() error {
		_, err := n.api.Stop(n.Context(), ask(&pb.StopRequest{Service: "web", Remove: true}))
		if connect.CodeOf(err) == connect.CodeNotFound {
			return nil // an earlier try has removed it
		}
		return err
	})
	n.eventually("web is forgotten", func() bool {
		_, err := n.api.GetService(n.Context(), ask(&pb.GetServiceRequest{Service: "web"}))
		return connect.CodeOf(err) == connect.CodeNotFound
	})
	if diff := cmp.Diff(n.listed(), follower.seen(), protocmp.Transform()); diff != "" {
		n.Errorf("a watcher, who was told until it ended with %v (-lists +watch):\n%s", follower.ended(), diff)
	}
	follower.stop()
}

func (n *node) try(spec string) error {
	_, err := n.api.Deploy(n.Context(), ask(&pb.DeployRequest{Files: files(spec)}))
	return err
}

// persist calls until that is done. Only the lack of a leader may refuse it.
func (n *node) persist(what string, call func() error) {
	n.Helper()
	n.eventually(what, func() bool {
		err := call()
		if err != nil && connect.CodeOf(err) != connect.CodeUnavailable {
			n.Fatalf("%s: %v", what, err)
		}
		return err == nil
	})
}

// readyOf waits until a revision is in service, and checks what is read of it.
func (n *node) readyOf(service string, revision int64, ready int32, j *journal) {
	n.Helper()
	n.eventually(fmt.Sprintf("revision %d of %s is in service", revision, service), func() bool {
		answer, err := n.api.GetService(n.Context(), ask(&pb.GetServiceRequest{Service: service}))
		if err != nil {
			return false
		}
		v := answer.Msg.GetService()
		if j != nil {
			j.reads("a reader", &pb.Record{Record: &pb.Record_Service{Service: v.GetService()}})
		}
		for _, t := range v.GetTasks() {
			if j != nil {
				j.reads("a reader", &pb.Record{Record: &pb.Record_Task{Task: t}})
			}
			if t.GetRevision() != revision {
				return false
			}
		}
		return v.GetReady() == ready && v.GetState() == "running"
	})
}

func TestNothingIsToldBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := keepJournal(t)
		j.delay = 70 * time.Millisecond
		n := start(t, memory.New(memory.Config{Fault: j.fault}), master.Config{})

		life(n, j)
	})
}

// TestEveryCommitMayFail has each commit of a life fail in turn. The term ends,
// nothing that is not durable is told, and the next term goes on to the end.
func TestEveryCommitMayFail(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ops  int // in a transaction: a larger group may break anywhere
		done bool
	}{
		"and nothing of it was done":             {},
		"and only the answer was lost":           {done: true},
		"after any operation":                    {ops: 1},
		"after any three operations":             {ops: 3},
		"after any three operations, these done": {ops: 3, done: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			commits := 1
			for failing := 1; failing <= commits && !t.Failed(); failing++ {
				synctest.Test(t, func(t *testing.T) {
					j := keepJournal(t)
					j.broken = func(commit int) (bool, bool) { return commit == failing, tc.done }
					n := start(t, memory.New(memory.Config{Fault: j.fault, Limits: store.Limits{Ops: tc.ops}}), master.Config{})

					life(n, j)

					commits = max(commits, j.count())
				})
				if t.Failed() {
					t.Errorf("when commit %d of %d fails", failing, commits)
				}
			}
			t.Logf("%d commits", commits)
		})
	}
}

func TestFailedCommitEndsTheTerm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := keepJournal(t)
		cluster := memory.New(memory.Config{Fault: j.fault})
		n := start(t, cluster, master.Config{})
		n.leads()
		first := must[pb.GetInfoResponse](t)(n.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{})))
		n.deploy(web(1, "v1"))
		j.broken = func(int) (bool, bool) { return true, false }

		err := n.try(web(1, "v2"))

		checkError(t, err, connect.CodeUnavailable, "outcome is not known", errBroken.Error())
		synctest.Wait() // the call is answered first
		if n.master.Ready() == nil {
			t.Error("the master still leads")
		}
		j.broken = func(int) (bool, bool) { return false, false }
		n.leads()
		second := must[pb.GetInfoResponse](t)(n.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{})))
		if first.GetEpoch() >= second.GetEpoch() {
			t.Errorf("epoch %d follows %d", second.GetEpoch(), first.GetEpoch())
		}
		if v := n.service("web"); v.GetService().GetRevision() != 1 {
			t.Errorf("after the failed deployment: %v", v)
		}
	})
}

func TestDeposedLeaderTellsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		old := start(t, cluster, master.Config{ID: "old"})
		old.leads()
		agent := old.join("a1", 4)
		r := old.balance("r1")
		old.deploy(web(1, "v1"))
		old.readyOf("web", 1, 1, nil)
		old.eventually("the router serves it", func() bool { return len(r.serves()) == 1 })
		told, tables := len(agent.has()), len(r.seen())
		old.member.Cut() // it does not learn that it is deposed
		asked := make(chan error, 1)
		go func() { asked <- old.try(web(3, "v2")) }()
		synctest.Wait()
		newer := start(t, cluster, master.Config{ID: "newer"})
		newer.leads() // once the lease has run out

		checkError(t, <-asked, connect.CodeUnavailable)
		if len(agent.has()) != told || len(r.seen()) != tables {
			t.Errorf("the deposed leader ordered %v, and sent %d tables", agent.has(), len(r.seen())-tables)
		}
		if v := newer.service("web"); v.GetService().GetRevision() != 1 {
			t.Errorf("the new leader knows of %v", v)
		}
		_, err := old.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{}))
		checkError(t, err, connect.CodeUnavailable, "does not lead")
		old.member.Heal()
	})
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := keepJournal(t)
		j.delay = 10 * time.Millisecond
		n := start(t, memory.New(memory.Config{Fault: j.fault}), master.Config{})
		n.leads()
		var asking sync.WaitGroup
		for i := range 500 {
			asking.Go(func() {
				if i%5 == 0 { // some are refused, which is nobody else's harm
					refused[pb.DeployResponse](t, connect.CodeNotFound, fmt.Sprintf("pool lost-%d", i))(n.api.Deploy(t.Context(),
						ask(&pb.DeployRequest{Files: files(fmt.Sprintf("service: web-%d\npool: lost-%d\nrun: {command: [a]}\n", i, i))})))
					return
				}
				answer := n.deploy(fmt.Sprintf("service: web-%d\nrun: {command: [a]}\n", i))
				if got := answer.GetServices()[0].GetService(); got != fmt.Sprintf("web-%d", i) {
					t.Errorf("the answer to web-%d is about %s", i, got)
				}
			})
		}
		asking.Wait()

		if commits := j.count(); commits > 30 {
			t.Errorf("500 calls were %d commits", commits)
		}
		if list := must[pb.ListServicesResponse](t)(n.api.ListServices(t.Context(), ask(&pb.ListServicesRequest{PageSize: 1000}))); len(list.GetServices()) != 400 {
			t.Errorf("%d services are there", len(list.GetServices()))
		}
		counted(t, n, "aloft_master_refused_events_total", map[string]float64{"unknown": 100})
	})
}

// counted checks the values of a metric by its one label.
func counted(t *testing.T, n *node, name string, want map[string]float64) {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, label := range m.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			if family.GetName() == name {
				got[strings.Join(labels, ",")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	for label, value := range want {
		if got[label] != value {
			t.Errorf("%s of %q is %v, want %v; all: %v", name, label, got[label], value, got)
		}
	}
}
