package master_test

import (
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

func (n *node) breaker() *pb.Breaker {
	n.Helper()
	return must[pb.GetBreakerResponse](n.T)(n.api.GetBreaker(n.Context(), ask(&pb.GetBreakerRequest{}))).GetBreaker()
}

// Two of five machines die together: nothing is replaced, and everybody can see
// why, until an operator says that they will not come back.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)
		machines := make(map[string]*machine)
		for _, name := range []string{"a1", "a2", "a3", "a4", "a5"} {
			machines[name] = n.join(name, 4)
		}
		n.deploy(web(5, "v1"))
		n.readyOf("web", 1, 5, nil)
		counted(t, n, "aloft_master_breaker_open", map[string]float64{"agents": 0, "instances": 0})

		machines["a2"].leave()
		machines["a4"].leave()
		n.eventually("the breaker is open", func() bool { return n.breaker().GetOpen() })
		time.Sleep(time.Hour)

		state := n.breaker()
		if len(state.GetMissing()) != 2 || state.GetMissing()[0].GetSilentSince() == nil || state.GetAgents() != 5 {
			t.Errorf("the breaker is %v", state)
		}
		counted(t, n, "aloft_master_breaker_open", map[string]float64{"agents": 1, "instances": 0})
		counted(t, n, "aloft_master_breaker_missing_agents", map[string]float64{"": 2})
		counted(t, n, "aloft_master_breaker_opened_total", map[string]float64{"agents": 1, "instances": 0})
		for _, task := range n.service("web").GetTasks() {
			if task.GetRevision() != 1 || task.GetStatus().GetState() != pb.TaskState_TASK_STATE_READY {
				t.Errorf("after an hour %s is %s", task.GetId(), task.GetStatus().GetState())
			}
		}

		released := must[pb.ReleaseBreakerResponse](t)(n.api.ReleaseBreaker(t.Context(), ask(&pb.ReleaseBreakerRequest{})))
		if !released.GetReleased() || released.GetBreaker().GetOpen() {
			t.Errorf("the release answers %v", released)
		}
		n.eventually("they are replaced", func() bool {
			there := 0
			for _, task := range n.service("web").GetTasks() {
				alive := machines[task.GetAgent()] != nil && task.GetAgent() != "a2" && task.GetAgent() != "a4"
				if alive && task.GetStatus().GetState() == pb.TaskState_TASK_STATE_READY {
					there++
				}
			}
			return there == 5
		})
		if n.breaker().GetOpen() {
			t.Error("it opened again for the same agents")
		}
	})
}

func TestSetBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := single(t)

		for name, wrong := range map[string]*pb.SetBreakerRequest{
			"nothing":           {},
			"below 0":           {LimitPercent: new(int32(-1))},
			"more than all":     {LimitPercent: new(int32(100))},
			"no window":         {Window: durationpb.New(0)},
			"too long a window": {Window: durationpb.New(2 * time.Hour)},
		} {
			if _, err := n.api.SetBreaker(t.Context(), ask(wrong)); connect.CodeOf(err) != connect.CodeInvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
		}
		set := must[pb.SetBreakerResponse](t)(n.api.SetBreaker(t.Context(), ask(&pb.SetBreakerRequest{LimitPercent: new(int32(50))}))).GetBreaker()
		if set.GetLimitPercent() != 50 || set.GetWindow().AsDuration() != 30*time.Second {
			t.Errorf("set to 50 %%, it is %v", set)
		}
		set = must[pb.SetBreakerResponse](t)(n.api.SetBreaker(t.Context(), ask(&pb.SetBreakerRequest{
			LimitPercent: new(int32(0)), Window: durationpb.New(time.Minute),
		}))).GetBreaker()
		if set.GetLimitPercent() != 0 || set.GetWindow().AsDuration() != time.Minute {
			t.Errorf("set to never, it is %v", set)
		}
	})
}
