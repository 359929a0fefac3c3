package master

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// ListAgents lists agents with what is free on them.
func (s *clusterService) ListAgents(
	ctx context.Context, req *connect.Request[pb.ListAgentsRequest],
) (*connect.Response[pb.ListAgentsResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	list := all(r.view, engine.AgentKind, func(*engine.Agent) bool { return true })
	page, next, err := pageOf(list, req.Msg, func(a *engine.Agent) string { return string(a.ID) })
	if err != nil {
		return nil, err
	}
	tasks := r.view.claimsOn()
	views, err := ask(ctx, r, func(e *engine.Engine) ([]*pb.AgentView, error) {
		var views []*pb.AgentView
		for _, a := range page {
			views = append(views, showAgent(e.Books(), a, tasks[a.ID]))
		}
		return views, nil
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.ListAgentsResponse{Agents: views, NextPageToken: next}), nil
}

func showAgent(books *ledger.Ledger, a *engine.Agent, tasks int) *pb.AgentView {
	m := &pb.AgentView{Agent: wire.FromAgent(a), State: a.State(tasks), Tasks: int32(tasks)}
	if account, ok := books.Agent(a.ID); ok {
		for t := range account.Types() {
			balance := account.Balance(t)
			m.Total = append(m.Total, wire.FromQuantity(t, resource.Scalar(balance.Quantity)))
			m.Free = append(m.Free, wire.FromQuantity(t, resource.Scalar(balance.Free)))
		}
	}
	return m
}

// GetAgent shows one agent, and what is on it.
func (s *clusterService) GetAgent(
	ctx context.Context, req *connect.Request[pb.GetAgentRequest],
) (*connect.Response[pb.GetAgentResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	answer, err := ask(ctx, r, func(e *engine.Engine) (*pb.GetAgentResponse, error) {
		a := e.Agent(id.Agent(req.Msg.GetAgent()))
		if a == nil {
			return nil, fmt.Errorf("%w agent: %s", engine.ErrUnknown, req.Msg.GetAgent())
		}
		answer := &pb.GetAgentResponse{Agent: showAgent(e.Books(), a, len(e.AgentTasks(a.ID)))}
		for _, resident := range e.Residents(a.ID) {
			answer.Residents = append(answer.Residents, wire.FromResident(resident))
		}
		return answer, nil
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(answer), nil
}

// DrainAgent empties an agent, start before stop.
func (s *clusterService) DrainAgent(
	ctx context.Context, req *connect.Request[pb.DrainAgentRequest],
) (*connect.Response[pb.DrainAgentResponse], error) {
	answer, err := s.master.submit(ctx, engine.DrainAgent{
		Agent: id.Agent(req.Msg.GetAgent()), Deadline: req.Msg.GetDeadline().AsDuration(), Force: req.Msg.GetForce(), Leaving: req.Msg.GetLeaving(),
	})
	return connect.NewResponse(&pb.DrainAgentResponse{Missing: answer.Missing}), apiError(err)
}

// UndrainAgent lets an agent take tasks again.
func (s *clusterService) UndrainAgent(
	ctx context.Context, req *connect.Request[pb.UndrainAgentRequest],
) (*connect.Response[pb.UndrainAgentResponse], error) {
	_, err := s.master.submit(ctx, engine.UndrainAgent{Agent: id.Agent(req.Msg.GetAgent())})
	return connect.NewResponse(&pb.UndrainAgentResponse{}), apiError(err)
}

// RemoveAgent forgets a silent agent without tasks.
func (s *clusterService) RemoveAgent(
	ctx context.Context, req *connect.Request[pb.RemoveAgentRequest],
) (*connect.Response[pb.RemoveAgentResponse], error) {
	_, err := s.master.submit(ctx, engine.RemoveAgent{Agent: id.Agent(req.Msg.GetAgent())})
	return connect.NewResponse(&pb.RemoveAgentResponse{}), apiError(err)
}

// ListPartitions lists partitions by agent and name.
func (s *clusterService) ListPartitions(
	ctx context.Context, req *connect.Request[pb.ListPartitionsRequest],
) (*connect.Response[pb.ListPartitionsResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	if err := r.view.unknown("agent", engine.AgentKind, req.Msg.GetAgent()); err != nil {
		return nil, err
	}
	agents := all(r.view, engine.AgentKind, func(a *engine.Agent) bool {
		return req.Msg.GetAgent() == "" || string(a.ID) == req.Msg.GetAgent()
	})
	list, err := ask(ctx, r, func(e *engine.Engine) ([]*pb.PartitionView, error) {
		var list []*pb.PartitionView
		for _, a := range agents {
			list = append(list, showPartitions(e.Books(), a)...)
		}
		return list, nil
	})
	if err != nil {
		return nil, apiError(err)
	}
	page, next, err := pageOf(list, req.Msg, func(p *pb.PartitionView) string {
		return p.GetPartition().GetAgent() + "/" + p.GetPartition().GetId()
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ListPartitionsResponse{Partitions: page, NextPageToken: next}), nil
}

func showPartitions(books *ledger.Ledger, a *engine.Agent) []*pb.PartitionView {
	account, ok := books.Agent(a.ID)
	if !ok {
		return nil
	}
	var list []*pb.PartitionView
	for p := range account.Partitions() {
		list = append(list, &pb.PartitionView{
			Partition: wire.FromPartition(a.ID, p.Partition), Free: wire.FromQuantity(p.Type, p.Free),
		})
	}
	return list
}

// GetCapacity sums up the cluster by resource type.
func (s *clusterService) GetCapacity(
	ctx context.Context, _ *connect.Request[pb.GetCapacityRequest],
) (*connect.Response[pb.GetCapacityResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	types, err := ask(ctx, r, func(e *engine.Engine) ([]*pb.Capacity, error) {
		var types []*pb.Capacity
		for _, c := range e.Capacity() {
			types = append(types, &pb.Capacity{
				Type: string(c.Type), Total: wire.FromQuantity(c.Type, resource.Scalar(c.Quantity)),
				Free: wire.FromQuantity(c.Type, resource.Scalar(c.Free)), Weighted: c.Weighted,
			})
		}
		return types, nil
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.GetCapacityResponse{Types: types}), nil
}
