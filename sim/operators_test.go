package sim_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
)

type api = aloftv1connect.ClusterServiceClient

// orderWithin is how long an operator tries.
const orderWithin = 8 * time.Second

// operate has an operator do something, beside all else. What is refused for
// good is part of an operator's life.
func (c *cluster) operate(a action, do func(ctx context.Context, api api) (string, error)) {
	c.alive.Go(func() {
		ctx, stop := context.WithTimeout(c.living, orderWithin)
		defer stop()
		told, err := c.call(ctx, do)
		if err != nil {
			told = err.Error()
		}
		c.obs.tell("%s %v: %s", a.verb, a.args, firstLine(told))
	})
}

// call asks one master after the other until one answers for the leader. What
// may have been done already is not asked again.
func (c *cluster) call(ctx context.Context, do func(ctx context.Context, api api) (string, error)) (string, error) {
	for next := int(c.asked.Add(1)); ; next++ {
		for i := range c.masters {
			told, err := do(ctx, c.masters[(next+i)%len(c.masters)].api())
			if err == nil {
				return told, nil
			}
			if !errors.Is(err, errRefused) && !standsBy(err) {
				return "", err
			}
		}
		if !pause(ctx, 200*time.Millisecond) {
			return "", errors.New("no leader answers")
		}
	}
}

// standsBy reports whether nothing of a call was done.
func standsBy(err error) bool {
	refusal, answered := errors.AsType[*connect.Error](err)
	return answered && refusal.Meta().Get(master.StandbyHeader) != ""
}

func firstLine(text string) string {
	for i, r := range text {
		if r == '\n' || i > 160 {
			return text[:i]
		}
	}
	return text
}

func ask[M any](m *M) *connect.Request[M] { return connect.NewRequest(m) }

// orders are the verbs of operators.
func orders() map[string]func(c *cluster, a action) func(ctx context.Context, api api) (string, error) {
	return map[string]func(c *cluster, a action) func(ctx context.Context, api api) (string, error){
		"deploy": func(c *cluster, a action) func(ctx context.Context, api api) (string, error) {
			return c.deploy(specText(a))
		},
		"scale": (*cluster).scale,
		"restart": func(c *cluster, a action) func(context.Context, api) (string, error) {
			return func(ctx context.Context, api api) (string, error) {
				answer, err := api.Restart(ctx, ask(&pb.RestartRequest{Service: a.arg(0)}))
				if err != nil {
					return "", err
				}
				return c.obs.toldService(answer.Msg.GetService()), nil
			}
		},
		"stop": func(c *cluster, a action) func(context.Context, api) (string, error) {
			return func(ctx context.Context, api api) (string, error) {
				answer, err := api.Stop(ctx, ask(&pb.StopRequest{Service: a.arg(0), Remove: a.arg(1) == "remove"}))
				if err != nil {
					return "", err
				}
				return c.obs.toldService(answer.Msg.GetService()), nil
			}
		},
		"rollback": func(c *cluster, a action) func(context.Context, api) (string, error) {
			return func(ctx context.Context, api api) (string, error) {
				answer, err := api.Rollback(ctx, ask(&pb.RollbackRequest{Service: a.arg(0)}))
				if err != nil {
					return "", err
				}
				return c.obs.toldDeployed(answer.Msg.GetService()), nil
			}
		},
		"pause":       turnDeployment,
		"resume":      turnDeployment,
		"abort":       turnDeployment,
		"pool":        (*cluster).setPool,
		"drain":       drain,
		"undrain":     drain,
		"transfer":    transfer,
		"breaker":     breaker,
		"release":     breaker,
		"rebalance":   rebalance,
		"abort-moves": rebalance,
	}
}

// deploy deploys a document.
func (c *cluster) deploy(text string) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		answer, err := api.Deploy(ctx, ask(&pb.DeployRequest{Files: []*pb.SpecFile{{Name: "sim.yaml", Text: []byte(text)}}}))
		if err != nil {
			return "", err
		}
		told := ""
		for _, deployed := range answer.Msg.GetServices() {
			told += c.obs.toldDeployed(deployed)
		}
		return told, nil
	}
}

func (c *cluster) scale(a action) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		n := int32(a.number("to"))
		answer, err := api.Scale(ctx, ask(&pb.ScaleRequest{Service: a.arg(0), Instances: &n}))
		if err != nil {
			return "", err
		}
		return c.obs.toldService(answer.Msg.GetService()), nil
	}
}

// turnDeployment pauses, resumes or aborts the deployment that a service has
// when the operator looks.
func turnDeployment(_ *cluster, a action) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		seen, err := api.GetService(ctx, ask(&pb.GetServiceRequest{Service: a.arg(0)}))
		if err != nil {
			return "", err
		}
		name := seen.Msg.GetService().GetService().GetDeployment()
		if name == "" {
			return "nothing to " + a.verb, nil
		}
		switch a.verb {
		case "pause":
			_, err = api.PauseDeployment(ctx, ask(&pb.PauseDeploymentRequest{Deployment: name}))
		case "resume":
			_, err = api.ResumeDeployment(ctx, ask(&pb.ResumeDeploymentRequest{Deployment: name}))
		default:
			_, err = api.AbortDeployment(ctx, ask(&pb.AbortDeploymentRequest{Deployment: name}))
		}
		return name, err
	}
}

// setPool sets how many thousandths of a cpu a pool has.
func (c *cluster) setPool(a action) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		pool := &pb.Pool{Id: a.arg(0), Priority: int32(a.number("priority")), Quantities: []*pb.Quantity{
			{Type: "cpus", Scalar: int64(a.number("cpus"))},
		}}
		answer, err := api.SetPool(ctx, ask(&pb.SetPoolRequest{Pool: pool}))
		if err != nil {
			return "", err
		}
		return c.obs.toldPool(answer.Msg.GetPool()), nil
	}
}

func drain(_ *cluster, a action) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		if a.verb == "undrain" {
			_, err := api.UndrainAgent(ctx, ask(&pb.UndrainAgentRequest{Agent: a.arg(0)}))
			return "taken back", err
		}
		request := &pb.DrainAgentRequest{Agent: a.arg(0), Force: a.arg(2) == "force"}
		if within := a.duration("within"); within > 0 {
			request.Deadline = durationpb.New(within)
		}
		_, err := api.DrainAgent(ctx, ask(request))
		return "taken out", err
	}
}

// breaker sets the breaker, or releases it: that of all, or of one service.
func breaker(_ *cluster, a action) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		if a.verb == "release" {
			answer, err := api.ReleaseBreaker(ctx, ask(&pb.ReleaseBreakerRequest{Service: a.arg(0)}))
			return fmt.Sprintf("it was open: %t", answer != nil && answer.Msg.GetReleased()), err
		}
		limit := int32(a.number("limit"))
		_, err := api.SetBreaker(ctx, ask(&pb.SetBreakerRequest{LimitPercent: &limit, Window: durationpb.New(a.duration("window"))}))
		return "done", err
	}
}

// rebalance moves instances, or no more of them.
func rebalance(_ *cluster, a action) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		if a.verb == "abort-moves" {
			_, err := api.AbortMoves(ctx, ask(&pb.AbortMovesRequest{}))
			return "done", err
		}
		answer, err := api.Rebalance(ctx, ask(&pb.RebalanceRequest{Moves: int32(a.number("moves"))}))
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d moves", len(answer.Msg.GetMoves())), nil
	}
}

// transfer has another master lead.
func transfer(*cluster, action) func(ctx context.Context, api api) (string, error) {
	return func(ctx context.Context, api api) (string, error) {
		answer, err := api.TransferLeadership(ctx, ask(&pb.TransferLeadershipRequest{}))
		if err != nil {
			return "", err
		}
		return fmt.Sprint(answer.Msg), nil
	}
}
