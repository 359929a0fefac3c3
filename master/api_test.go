package master_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/aloft-run/aloft/client"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

// town is a cluster with some of everything.
func town(t *testing.T) *node {
	t.Helper()
	n := single(t)
	must[pb.SetPoolResponse](t)(n.api.SetPool(t.Context(), ask(&pb.SetPoolRequest{Create: true, Pool: &pb.Pool{
		Id: "front", Quantities: []*pb.Quantity{{Type: "cpus", Scalar: 3000}},
	}})))
	n.join("a1", 4)
	n.deploy(strings.Replace(web(2, "v1"), "instances", "pool: front\ninstances", 1), "job: once\nrun: {command: [a]}\n")
	n.readyOf("web", 1, 2, nil)
	return n
}

// TestOperations takes a cluster through all that an operator can do with it.
func TestOperations(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, ctx := town(t), t.Context()
		version := n.service("web").GetService().GetVersion()
		scaled := must[pb.ScaleResponse](t)(n.api.Scale(ctx, ask(&pb.ScaleRequest{Service: "web", Instances: new(int32(1)), Version: version})))
		if scaled.GetService().GetInstances() != 1 || scaled.GetService().GetVersion() != version+1 {
			t.Errorf("scaled to %v", scaled)
		}
		n.readyOf("web", 1, 1, nil)

		planned := must[pb.PlanResponse](t)(n.api.Plan(ctx, ask(&pb.PlanRequest{Files: files(strings.Replace(web(1, "v2"), "instances", "pool: front\ninstances", 1))})))
		if plan := planned.GetPlans()[0]; plan.GetFrom() != 1 || plan.GetTo() != 2 || !plan.GetReplaces() || plan.GetPeakInstances() != 1 || len(plan.GetSteps()) == 0 {
			t.Errorf("the plan is %v", plan)
		}
		slow := strings.NewReplacer("instances", "pool: front\ninstances", "settle: 0s", "settle: 5s")
		deployed := n.deploy(slow.Replace(web(1, "v2"))).GetServices()[0]
		if deployed.GetRevision() != 2 || deployed.GetDeployment() != "web-2" || !deployed.GetChanged() || deployed.GetKind() != pb.SpecKind_SPEC_KIND_SERVICE {
			t.Errorf("deployed %v", deployed)
		}
		must[pb.PauseDeploymentResponse](t)(n.api.PauseDeployment(ctx, ask(&pb.PauseDeploymentRequest{Deployment: "web-2"})))
		if d := must[pb.GetDeploymentResponse](t)(n.api.GetDeployment(ctx, ask(&pb.GetDeploymentRequest{Deployment: "web-2"}))).GetDeployment(); d.GetState() != pb.DeploymentState_DEPLOYMENT_STATE_PAUSED {
			t.Errorf("paused, it is %v", d)
		}
		must[pb.ResumeDeploymentResponse](t)(n.api.ResumeDeployment(ctx, ask(&pb.ResumeDeploymentRequest{Deployment: "web-2"})))
		n.readyOf("web", 2, 1, nil)

		back := must[pb.RollbackResponse](t)(n.api.Rollback(ctx, ask(&pb.RollbackRequest{Service: "web"}))).GetService()
		if back.GetRevision() != 1 || back.GetDeployment() != "web-3" || !back.GetChanged() {
			t.Errorf("rolled back: %v", back)
		}
		n.readyOf("web", 1, 2, nil) // as many as that revision says
		n.deploy(slow.Replace(web(1, "v3")))
		if aborted := must[pb.AbortDeploymentResponse](t)(n.api.AbortDeployment(ctx, ask(&pb.AbortDeploymentRequest{Deployment: "web-4"}))); aborted.GetDeployment() != "web-5" {
			t.Errorf("the way back is %v", aborted)
		}
		n.scale("web", 1)
		n.readyOf("web", 1, 1, nil)
		if list := must[pb.ListDeploymentsResponse](t)(n.api.ListDeployments(ctx, ask(&pb.ListDeploymentsRequest{Service: "web"}))).GetDeployments(); len(list) != 5 || list[0].GetId() != "web-5" {
			t.Errorf("deployments %v", list)
		}
		if list := must[pb.ListRevisionsResponse](t)(n.api.ListRevisions(ctx, ask(&pb.ListRevisionsRequest{Service: "web"}))).GetRevisions(); len(list) != 3 || list[0].GetNumber() != 3 {
			t.Errorf("revisions %v", list)
		}

		before := n.service("web").GetTasks()[0].GetId()
		time.Sleep(time.Second)
		must[pb.RestartResponse](t)(n.api.Restart(ctx, ask(&pb.RestartRequest{Service: "web"})))
		n.eventually("it is replaced", func() bool {
			list := n.service("web").GetTasks()
			return len(list) == 1 && list[0].GetId() != before && list[0].GetStatus().GetState() == pb.TaskState_TASK_STATE_READY
		})
		if stopped := must[pb.StopResponse](t)(n.api.Stop(ctx, ask(&pb.StopRequest{Service: "web"}))); !stopped.GetService().GetStopped() {
			t.Errorf("stopped: %v", stopped)
		}
		n.eventually("it has stopped", func() bool { return n.service("web").GetState() == "stopped" })
		removed := must[pb.StopResponse](t)(n.api.Stop(ctx, ask(&pb.StopRequest{Service: "web", Remove: true})))
		if !removed.GetService().GetRemoving() {
			t.Errorf("removed: %v", removed)
		}
		refused[pb.GetServiceResponse](t, connect.CodeNotFound)(n.api.GetService(ctx, ask(&pb.GetServiceRequest{Service: "web"})))
		must[pb.DeletePoolResponse](t)(n.api.DeletePool(ctx, ask(&pb.DeletePoolRequest{Pool: "front"})))
	})
}

func TestMachines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, ctx := town(t), t.Context()
		agents := must[pb.ListAgentsResponse](t)(n.api.ListAgents(ctx, ask(&pb.ListAgentsRequest{}))).GetAgents()
		if a := agents[0]; len(agents) != 1 || a.GetState() != "ready" || a.GetTasks() != 3 ||
			amount(a.GetTotal(), "cpus") != 4000 || amount(a.GetFree(), "cpus") != 1900 || amount(a.GetFree(), "ports") != 9998 {
			t.Errorf("agents %v", agents)
		}
		partitions := must[pb.ListPartitionsResponse](t)(n.api.ListPartitions(ctx, ask(&pb.ListPartitionsRequest{Agent: "a1"}))).GetPartitions()
		if len(partitions) != 3 || partitions[0].GetPartition().GetId() != "cpus" || partitions[0].GetFree().GetScalar() != 1900 ||
			partitions[2].GetFree().GetRanges()[0].GetFirst() != 20002 {
			t.Errorf("partitions %v", partitions)
		}
		pools := must[pb.ListPoolsResponse](t)(n.api.ListPools(ctx, ask(&pb.ListPoolsRequest{}))).GetPools()
		if len(pools) != 1 || amount(pools[0].GetClaimed(), "cpus") != 2000 || amount(pools[0].GetFree(), "cpus") != 1000 || len(pools[0].GetOvercommitted()) != 0 {
			t.Errorf("pools %v", pools)
		}
		must[pb.SetPoolResponse](t)(n.api.SetPool(ctx, ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: "front", Quantities: []*pb.Quantity{{Type: "cpus", Scalar: 500}}}})))
		pools = must[pb.ListPoolsResponse](t)(n.api.ListPools(ctx, ask(&pb.ListPoolsRequest{}))).GetPools()
		if over := pools[0].GetOvercommitted(); len(over) != 1 || over[0] != "cpus" {
			t.Errorf("a pool made smaller: %v", pools)
		}
		capacity := must[pb.GetCapacityResponse](t)(n.api.GetCapacity(ctx, ask(&pb.GetCapacityRequest{}))).GetTypes()
		if c := capacity[0]; c.GetType() != "cpus" || c.GetTotal().GetScalar() != 4000 || c.GetFree().GetScalar() != 1900 || c.GetWeighted() != 1900 {
			t.Errorf("capacity %v", capacity)
		}

		if _, err := n.api.DrainAgent(ctx, ask(&pb.DrainAgentRequest{Agent: "a1"})); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("the drain of the only agent: %v, want failed_precondition", err)
		}
		drain := &pb.DrainAgentRequest{Agent: "a1", Deadline: durationpb.New(time.Hour), Force: true}
		if missing := must[pb.DrainAgentResponse](t)(n.api.DrainAgent(ctx, ask(drain))).GetMissing(); len(missing) != 1 || !strings.Contains(missing[0], "2 cannot leave") {
			t.Errorf("missing %q", missing)
		}
		found := must[pb.GetAgentResponse](t)(n.api.GetAgent(ctx, ask(&pb.GetAgentRequest{Agent: "a1"})))
		if list := found.GetResidents(); found.GetAgent().GetState() != "draining" || len(list) != 2 || list[1].GetService() != "web" ||
			list[1].GetTasks() != 2 || !strings.Contains(list[1].GetWaiting(), "room for web-") {
			t.Errorf("the agent is %v", found)
		}
		if _, err := n.api.GetAgent(ctx, ask(&pb.GetAgentRequest{Agent: "a9"})); connect.CodeOf(err) != connect.CodeNotFound {
			t.Errorf("an agent that is not there: %v", err)
		}
		if state := n.agentState("a1"); state != "draining" {
			t.Errorf("the agent is %s", state)
		}
		must[pb.UndrainAgentResponse](t)(n.api.UndrainAgent(ctx, ask(&pb.UndrainAgentRequest{Agent: "a1"})))
		if state := n.agentState("a1"); state != "ready" {
			t.Errorf("the agent is %s", state)
		}
		other := n.join("a2", 1)
		must[pb.DrainAgentResponse](t)(n.api.DrainAgent(ctx, ask(&pb.DrainAgentRequest{Agent: "a2"})))
		if state := n.agentState("a2"); state != "drained" {
			t.Errorf("the empty agent is %s", state)
		}
		other.leave()
		n.eventually("it is silent", func() bool { return n.silent("a2") })
		must[pb.RemoveAgentResponse](t)(n.api.RemoveAgent(ctx, ask(&pb.RemoveAgentRequest{Agent: "a2"})))
		if state := n.agentState("a2"); state != "unknown" {
			t.Errorf("removed, the agent is %s", state)
		}
	})
}

func amount(list []*pb.Quantity, name string) int64 {
	for _, q := range list {
		if q.GetType() == name {
			return q.GetScalar()
		}
	}
	return -1
}

func TestProblemsOfSpecs(t *testing.T) {
	t.Parallel()
	bad := "service: web\ninstances: -1\nrun: {comand: [a]}\n"
	tests := map[string]func(n *node, files []*pb.SpecFile) error{
		"deploy": func(n *node, files []*pb.SpecFile) error {
			return of(n.api.Deploy(n.Context(), ask(&pb.DeployRequest{Files: files})))
		},
		"plan": func(n *node, files []*pb.SpecFile) error {
			return of(n.api.Plan(n.Context(), ask(&pb.PlanRequest{Files: files})))
		},
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := single(t)

				err := call(n, []*pb.SpecFile{{Name: "good.yaml", Text: []byte(web(1, "v1"))}, {Name: "bad.yaml", Text: []byte(bad)}})

				checkError(t, err, connect.CodeInvalidArgument, "bad.yaml: line 2", "instances", "bad.yaml: line 3", "comand")
				refusal, ok := errors.AsType[*connect.Error](err)
				if !ok || len(refusal.Details()) != 1 {
					t.Fatalf("the error has %v", refusal)
				}
				detail, err := refusal.Details()[0].Value()
				problems, ok := detail.(*pb.Problems)
				if err != nil || !ok || len(problems.GetProblems()) < 2 {
					t.Fatalf("its detail is %v, %v", detail, err)
				}
				if p := problems.GetProblems()[0]; p.GetFile() != "bad.yaml" || p.GetLine() != 2 || p.GetField() != "instances" || p.GetMessage() == "" {
					t.Errorf("the first problem is %v", p)
				}
				if list := n.listed(); len(list) != 0 {
					t.Errorf("there is %v", list)
				}
			})
		})
	}
}

func TestValidateTellsAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)

		answer := must[pb.ValidateResponse](t)(n.api.Validate(t.Context(), ask(&pb.ValidateRequest{Files: files(
			web(1, "v1"), "service: x\n", "\xff", "{", strings.Repeat("#", 2<<20), "job: once\nrun: {command: [a]}\n",
		)})))

		if len(answer.GetSpecs()) != 2 || len(answer.GetProblems()) != 4 {
			t.Errorf("%d specs, problems %v", len(answer.GetSpecs()), answer.GetProblems())
		}
	})
}

func TestStandby(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		leader := start(t, cluster, master.Config{ID: "m1"})
		leader.leads()
		standby := start(t, cluster, master.Config{ID: "m2"})
		synctest.Wait()

		refused[pb.GetInfoResponse](t, connect.CodeUnavailable, "does not lead")(standby.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{})))
		refused[pb.DeployResponse](t, connect.CodeUnavailable)(standby.api.Deploy(t.Context(), ask(&pb.DeployRequest{Files: files(web(1, "v1"))})))
		checkError(t, standby.logs(&pb.LogsRequest{Name: "web"}).wait(), connect.CodeUnavailable)
		session := standby.open(standby.client())
		session.send(joinOf(small("a1")))
		standby.eventually("the session is refused", func() bool { return session.ended() != nil })
		checkError(t, session.ended(), connect.CodeUnavailable)
		counted(t, standby, "aloft_master_leading", map[string]float64{"": 0})

		leader.stop()
		standby.leads()

		info := must[pb.GetInfoResponse](t)(standby.api.GetInfo(t.Context(), ask(&pb.GetInfoRequest{})))
		if info.GetMaster() != "m2" || info.GetEpoch() < 3 || info.GetRevision() < 2 || info.GetLeadingSince() == nil {
			t.Errorf("info %v", info)
		}
	})
}

// TestCallsFindTheLeader has a client of two masters keep working while they
// take turns.
func TestCallsFindTheLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memory.New(memory.Config{})
		nodes := map[string]*node{"m1": start(t, cluster, master.Config{ID: "m1"})}
		nodes["m1"].leads()
		nodes["m2"] = start(t, cluster, master.Config{ID: "m2"})
		c, err := client.Open(client.Config{Masters: []string{"m2:1", "m1:1"}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return nodes[address[:2]].lines.dial(ctx, network, address)
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		leader := func() string {
			answer, err := c.Cluster().GetInfo(t.Context(), ask(&pb.GetInfoRequest{}))
			if err != nil {
				return err.Error()
			}
			return answer.Msg.GetMaster()
		}
		if name := leader(); name != "m1" {
			t.Errorf("%s answers while m1 leads", name)
		}

		nodes["m1"].stop()
		nodes["m2"].leads()

		nodes["m2"].eventually("m2 answers", func() bool { return leader() == "m2" })
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg  master.Config
		says []string
	}{
		"no name":          {master.Config{}, []string{"needs an ID"}},
		"negative bounds":  {master.Config{ID: "m1", History: -1}, []string{"-1 changes"}},
		"all that is bad":  {master.Config{SilentAfter: -1, NotesMax: -2}, []string{"needs an ID", "-1ns", "-2 notes"}},
		"silence too late": {master.Config{ID: "m1", SilentAfter: -time.Second}, []string{"-1s"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			_, err := master.New(tc.cfg, memory.New(memory.Config{}).Join())

			for _, words := range tc.says {
				if err == nil || !strings.Contains(err.Error(), words) {
					t.Errorf("error = %v, want one that says %q", err, words)
				}
			}
		})
	}
}
