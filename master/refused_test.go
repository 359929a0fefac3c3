package master_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// call is one call of the API, of which only the error counts.
type call func(n *node) error

func of[A any](_ *connect.Response[A], err error) error { return err }

func TestRefusedCalls(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		call call
		code connect.Code
		says []string
	}{
		"show an unknown service": {func(n *node) error {
			return of(n.api.GetService(n.Context(), ask(&pb.GetServiceRequest{Service: "nope"})))
		}, connect.CodeNotFound, []string{"unknown service: nope"}},
		"revisions of an unknown service": {func(n *node) error {
			return of(n.api.ListRevisions(n.Context(), ask(&pb.ListRevisionsRequest{Service: "nope"})))
		}, connect.CodeNotFound, []string{"unknown service: nope"}},
		"tasks of an unknown service": {func(n *node) error {
			return of(n.api.ListTasks(n.Context(), ask(&pb.ListTasksRequest{Service: "nope", Ended: true})))
		}, connect.CodeNotFound, []string{"unknown service: nope"}},
		"tasks of an unknown agent": {func(n *node) error {
			return of(n.api.ListTasks(n.Context(), ask(&pb.ListTasksRequest{Service: "web", Agent: "nope"})))
		}, connect.CodeNotFound, []string{"unknown agent: nope"}},
		"deployments of an unknown service": {func(n *node) error {
			return of(n.api.ListDeployments(n.Context(), ask(&pb.ListDeploymentsRequest{Service: "nope"})))
		}, connect.CodeNotFound, []string{"unknown service: nope"}},
		"partitions of an unknown agent": {func(n *node) error {
			return of(n.api.ListPartitions(n.Context(), ask(&pb.ListPartitionsRequest{Agent: "nope"})))
		}, connect.CodeNotFound, []string{"unknown agent: nope"}},
		"notes of an unknown service": {func(n *node) error {
			return of(n.api.ListNotes(n.Context(), ask(&pb.ListNotesRequest{Service: "nope"})))
		}, connect.CodeNotFound, []string{"unknown service: nope"}},
		"scale an unknown service": {func(n *node) error {
			return of(n.api.Scale(n.Context(), ask(&pb.ScaleRequest{Service: "nope", Instances: new(int32(1))})))
		}, connect.CodeNotFound, []string{"unknown service: nope"}},
		"scale below nothing": {func(n *node) error {
			return of(n.api.Scale(n.Context(), ask(&pb.ScaleRequest{Service: "web", Instances: new(int32(-1))})))
		}, connect.CodeInvalidArgument, []string{"-1 instances"}},
		"scale a job": {func(n *node) error {
			return of(n.api.Scale(n.Context(), ask(&pb.ScaleRequest{Service: "once", Instances: new(int32(2))})))
		}, connect.CodeInvalidArgument, []string{"only a service"}},
		"scale based on what was": {func(n *node) error {
			return of(n.api.Scale(n.Context(), ask(&pb.ScaleRequest{Service: "web", Instances: new(int32(1)), Version: 99})))
		}, connect.CodeAborted, []string{"changed since it was read"}},
		"restart an unknown service": {func(n *node) error { return of(n.api.Restart(n.Context(), ask(&pb.RestartRequest{Service: "nope"}))) }, connect.CodeNotFound, nil},
		"restart based on what was": {func(n *node) error {
			return of(n.api.Restart(n.Context(), ask(&pb.RestartRequest{Service: "web", Version: 99})))
		}, connect.CodeAborted, nil},
		"stop an unknown service": {func(n *node) error { return of(n.api.Stop(n.Context(), ask(&pb.StopRequest{Service: "nope"}))) }, connect.CodeNotFound, nil},
		"stop based on what was": {func(n *node) error {
			return of(n.api.Stop(n.Context(), ask(&pb.StopRequest{Service: "web", Version: 99})))
		}, connect.CodeAborted, nil},
		"roll an unknown service back": {func(n *node) error { return of(n.api.Rollback(n.Context(), ask(&pb.RollbackRequest{Service: "nope"}))) }, connect.CodeNotFound, nil},
		"roll back to an unknown revision": {func(n *node) error {
			return of(n.api.Rollback(n.Context(), ask(&pb.RollbackRequest{Service: "web", To: 77})))
		}, connect.CodeNotFound, []string{"revision 77"}},
		"roll back to nothing": {func(n *node) error { return of(n.api.Rollback(n.Context(), ask(&pb.RollbackRequest{Service: "web"}))) }, connect.CodeFailedPrecondition, []string{"no good revision"}},
		"show an unknown deployment": {func(n *node) error {
			return of(n.api.GetDeployment(n.Context(), ask(&pb.GetDeploymentRequest{Deployment: "web-9"})))
		}, connect.CodeNotFound, []string{"unknown deployment: web-9"}},
		"pause an unknown deployment": {func(n *node) error {
			return of(n.api.PauseDeployment(n.Context(), ask(&pb.PauseDeploymentRequest{Deployment: "web-9"})))
		}, connect.CodeNotFound, nil},
		"pause a deployment that has ended": {func(n *node) error {
			return of(n.api.PauseDeployment(n.Context(), ask(&pb.PauseDeploymentRequest{Deployment: "web-1"})))
		}, connect.CodeFailedPrecondition, nil},
		"resume an unknown deployment": {func(n *node) error {
			return of(n.api.ResumeDeployment(n.Context(), ask(&pb.ResumeDeploymentRequest{Deployment: "web-9"})))
		}, connect.CodeNotFound, nil},
		"abort an unknown deployment": {func(n *node) error {
			return of(n.api.AbortDeployment(n.Context(), ask(&pb.AbortDeploymentRequest{Deployment: "web-9"})))
		}, connect.CodeNotFound, nil},
		"explain what nobody knows": {func(n *node) error { return of(n.api.Explain(n.Context(), ask(&pb.ExplainRequest{Name: "nope"}))) }, connect.CodeNotFound, []string{"nope"}},
		"drain an unknown agent": {func(n *node) error {
			return of(n.api.DrainAgent(n.Context(), ask(&pb.DrainAgentRequest{Agent: "nope"})))
		}, connect.CodeNotFound, []string{"unknown agent: nope"}},
		"drain within less than nothing": {func(n *node) error {
			return of(n.api.DrainAgent(n.Context(), ask(&pb.DrainAgentRequest{Agent: "a1", Deadline: durationpb.New(-time.Second)})))
		}, connect.CodeInvalidArgument, nil},
		"undrain an unknown agent": {func(n *node) error {
			return of(n.api.UndrainAgent(n.Context(), ask(&pb.UndrainAgentRequest{Agent: "nope"})))
		}, connect.CodeNotFound, nil},
		"remove an unknown agent": {func(n *node) error {
			return of(n.api.RemoveAgent(n.Context(), ask(&pb.RemoveAgentRequest{Agent: "nope"})))
		}, connect.CodeNotFound, nil},
		"remove an agent that is there": {func(n *node) error {
			return of(n.api.RemoveAgent(n.Context(), ask(&pb.RemoveAgentRequest{Agent: "a1"})))
		}, connect.CodeFailedPrecondition, []string{"connected"}},
		"set no pool": {func(n *node) error { return of(n.api.SetPool(n.Context(), ask(&pb.SetPoolRequest{}))) }, connect.CodeInvalidArgument, nil},
		"make a pool that is there": {func(n *node) error {
			return of(n.api.SetPool(n.Context(), ask(&pb.SetPoolRequest{Create: true, Pool: &pb.Pool{Id: "front"}})))
		}, connect.CodeFailedPrecondition, []string{"pool front exists"}},
		"set a pool based on what was": {func(n *node) error {
			return of(n.api.SetPool(n.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: "front", Version: 9}})))
		}, connect.CodeAborted, nil},
		"set a pool of no sense": {func(n *node) error {
			return of(n.api.SetPool(n.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: "p", Quantities: []*pb.Quantity{{Type: "cpus", Kind: 7}}}})))
		}, connect.CodeInvalidArgument, []string{"cpus"}},
		"set a pool without an end": {func(n *node) error {
			return of(n.api.SetPool(n.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{Id: "p", Quantities: []*pb.Quantity{{Type: "x", Members: []string{strings.Repeat("a", 100<<10)}}}}})))
		}, connect.CodeInvalidArgument, []string{"want at most"}},
		"delete an unknown pool": {func(n *node) error {
			return of(n.api.DeletePool(n.Context(), ask(&pb.DeletePoolRequest{Pool: "nope"})))
		}, connect.CodeNotFound, nil},
		"delete a pool in use": {func(n *node) error {
			return of(n.api.DeletePool(n.Context(), ask(&pb.DeletePoolRequest{Pool: "front"})))
		}, connect.CodeFailedPrecondition, []string{"used by web"}},
		"deploy nothing": {func(n *node) error { return of(n.api.Deploy(n.Context(), ask(&pb.DeployRequest{}))) }, connect.CodeInvalidArgument, []string{"found 0; want 1 to 100"}},
		"deploy too many files": {func(n *node) error {
			return of(n.api.Deploy(n.Context(), ask(&pb.DeployRequest{Files: make([]*pb.SpecFile, 101)})))
		}, connect.CodeInvalidArgument, []string{"found 101; want 1 to 100"}},
		"deploy based on what was": {func(n *node) error {
			return of(n.api.Deploy(n.Context(), ask(&pb.DeployRequest{Files: files(web(3, "v2")), Versions: map[string]int64{"web": 9}})))
		}, connect.CodeAborted, nil},
		"deploy to an unknown pool": {func(n *node) error { return n.try("service: x\npool: nope\nrun: {command: [a]}\n") }, connect.CodeNotFound, []string{"unknown pool nope"}},
		"deploy over another kind":  {func(n *node) error { return n.try("job: web\nrun: {command: [a]}\n") }, connect.CodeFailedPrecondition, nil},
		"deploy another's route":    {func(n *node) error { return n.try(strings.Replace(web(1, "v1"), "service: web", "service: thief", 1)) }, connect.CodeFailedPrecondition, []string{"service web has it"}},
		"deploy for an endless reason": {func(n *node) error {
			return of(n.api.Deploy(n.Context(), ask(&pb.DeployRequest{Files: files(web(3, "v2")), Reason: noise(1001)})))
		}, connect.CodeInvalidArgument, []string{"reason", "at most 1000"}},
		"deploy what takes too much to keep": {func(n *node) error { return n.try(enormous()) }, connect.CodeInvalidArgument, []string{"large takes", "want at most"}},
		"plan nothing":                       {func(n *node) error { return of(n.api.Plan(n.Context(), ask(&pb.PlanRequest{}))) }, connect.CodeInvalidArgument, nil},
		"plan for an unknown pool": {func(n *node) error {
			return of(n.api.Plan(n.Context(), ask(&pb.PlanRequest{Files: files("service: x\npool: nope\nrun: {command: [a]}\n")})))
		}, connect.CodeNotFound, nil},
		"validate nothing":            {func(n *node) error { return of(n.api.Validate(n.Context(), ask(&pb.ValidateRequest{}))) }, connect.CodeInvalidArgument, nil},
		"a page of less than nothing": {func(n *node) error { return of(n.api.ListTasks(n.Context(), ask(&pb.ListTasksRequest{PageSize: -1}))) }, connect.CodeInvalidArgument, []string{"page_size: found -1"}},
		"services from an unknown page": {func(n *node) error {
			return of(n.api.ListServices(n.Context(), ask(&pb.ListServicesRequest{PageToken: "web"})))
		}, connect.CodeInvalidArgument, []string{"page_token"}},
		"revisions from an unknown page": {func(n *node) error {
			return of(n.api.ListRevisions(n.Context(), ask(&pb.ListRevisionsRequest{Service: "web", PageToken: "p1.%"})))
		}, connect.CodeInvalidArgument, []string{"page_token"}},
		"deployments from an unknown page": {func(n *node) error {
			return of(n.api.ListDeployments(n.Context(), ask(&pb.ListDeploymentsRequest{PageToken: "p2.aa"})))
		}, connect.CodeInvalidArgument, []string{"page_token"}},
		"agents from an unknown page": {func(n *node) error {
			return of(n.api.ListAgents(n.Context(), ask(&pb.ListAgentsRequest{PageToken: "p1"})))
		}, connect.CodeInvalidArgument, []string{"page_token"}},
		"partitions from an unknown page": {func(n *node) error {
			return of(n.api.ListPartitions(n.Context(), ask(&pb.ListPartitionsRequest{PageToken: "x"})))
		}, connect.CodeInvalidArgument, []string{"page_token"}},
		"pools from an unknown page": {func(n *node) error {
			return of(n.api.ListPools(n.Context(), ask(&pb.ListPoolsRequest{PageToken: "x"})))
		}, connect.CodeInvalidArgument, []string{"page_token"}},
		"notes of less than nothing":    {func(n *node) error { return of(n.api.ListNotes(n.Context(), ask(&pb.ListNotesRequest{PageSize: -5}))) }, connect.CodeInvalidArgument, []string{"page_size"}},
		"notes after less than nothing": {func(n *node) error { return of(n.api.ListNotes(n.Context(), ask(&pb.ListNotesRequest{After: -5}))) }, connect.CodeInvalidArgument, []string{"after"}},
		"logs of an unknown task":       {func(n *node) error { return n.logs(&pb.LogsRequest{Name: "nope"}).wait() }, connect.CodeNotFound, []string{"nope"}},
		"less than no lines of logs":    {func(n *node) error { return n.logs(&pb.LogsRequest{Name: "web", Lines: -1}).wait() }, connect.CodeInvalidArgument, []string{"lines: found -1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := town(t)
				before := n.listed()

				err := tc.call(n)

				checkError(t, err, tc.code, tc.says...)
				if after := n.listed(); fmt.Sprint(after) != fmt.Sprint(before) {
					t.Errorf("it changed %v\nto %v", before, after)
				}
			})
		})
	}
}

// enormous is a spec of the size that a file may just have, and that takes half
// as much again when it is read.
func enormous() string {
	text := "service: large\nrun:\n  command: [a]\n  env:\n"
	for i := range 10 {
		text += fmt.Sprintf("    A%d: x%s\n", i, strings.Repeat("x", 90<<10))
	}
	return text
}

// TestCallsThatChangeNothing are those that ask for what there is already.
func TestCallsThatChangeNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]call{
		"scale to what there is": func(n *node) error {
			return of(n.api.Scale(n.Context(), ask(&pb.ScaleRequest{Service: "web", Instances: new(int32(2))})))
		},
		"undrain what is not drained": func(n *node) error {
			return of(n.api.UndrainAgent(n.Context(), ask(&pb.UndrainAgentRequest{Agent: "a1"})))
		},
		"set a pool to what it is": func(n *node) error {
			return of(n.api.SetPool(n.Context(), ask(&pb.SetPoolRequest{Pool: &pb.Pool{
				Id: "front", Quantities: []*pb.Quantity{{Type: "cpus", Scalar: 3000}},
			}})))
		},
		"deploy what is deployed": func(n *node) error {
			return n.try(strings.Replace(web(2, "v1"), "instances", "pool: front\ninstances", 1))
		},
		"plan what is deployed": func(n *node) error {
			return of(n.api.Plan(n.Context(), ask(&pb.PlanRequest{Files: files(strings.Replace(web(5, "v9"), "instances", "pool: front\ninstances", 1))})))
		},
		"validate": func(n *node) error {
			return of(n.api.Validate(n.Context(), ask(&pb.ValidateRequest{Files: files(web(5, "v9"))})))
		},
		"explain": func(n *node) error { return of(n.api.Explain(n.Context(), ask(&pb.ExplainRequest{Name: "web"}))) },
		"roll back to what there is": func(n *node) error {
			return of(n.api.Rollback(n.Context(), ask(&pb.RollbackRequest{Service: "web", To: 1})))
		},
	}
	for name, call := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := town(t)
				before := n.listed()

				err := call(n)

				if after := n.listed(); err != nil || fmt.Sprint(after) != fmt.Sprint(before) {
					t.Errorf("error %v; it changed %v\nto %v", err, before, after)
				}
			})
		})
	}
}
