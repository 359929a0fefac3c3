package master

import (
	"context"
	"slices"

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
	name := func(a *engine.Agent) string { return string(a.ID) }
	list := all(r.view, func(*engine.Agent) bool { return true })
	sortByName(list, name)
	page, next, err := pageOf(list, req.Msg.GetPageSize(), req.Msg.GetPageToken(), name)
	if err != nil {
		return nil, err
	}
	answer := &pb.ListAgentsResponse{NextPageToken: next}
	err = r.ask(ctx, func(e *engine.Engine) {
		for _, a := range page {
			answer.Agents = append(answer.Agents, showAgent(r.view, e.Books(), a))
		}
	})
	return connect.NewResponse(answer), apiError(err)
}

func showAgent(v *view, books *ledger.Ledger, a *engine.Agent) *pb.AgentView {
	m := &pb.AgentView{Agent: wire.FromAgent(a), State: "ready", Tasks: int32(v.countTasks(a.ID))}
	switch {
	case !a.SilentSince.IsZero():
		m.State = "silent"
	case a.Draining && m.GetTasks() == 0:
		m.State = "drained"
	case a.Draining:
		m.State = "draining"
	}
	if account, ok := books.Agent(a.ID); ok {
		for t := range account.Types() {
			balance := account.Balance(t)
			m.Total = append(m.Total, wire.FromQuantity(t, resource.Scalar(balance.Quantity)))
			m.Free = append(m.Free, wire.FromQuantity(t, resource.Scalar(balance.Free)))
		}
	}
	return m
}

// DrainAgent empties an agent, start before stop.
func (s *clusterService) DrainAgent(
	ctx context.Context, req *connect.Request[pb.DrainAgentRequest],
) (*connect.Response[pb.DrainAgentResponse], error) {
	_, err := s.master.submit(ctx, engine.DrainAgent{
		Agent: id.Agent(req.Msg.GetAgent()), Deadline: req.Msg.GetDeadline().AsDuration(),
	})
	return connect.NewResponse(&pb.DrainAgentResponse{}), apiError(err)
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
	var list []*pb.PartitionView
	err = r.ask(ctx, func(e *engine.Engine) {
		for _, a := range all(r.view, func(a *engine.Agent) bool {
			return req.Msg.GetAgent() == "" || string(a.ID) == req.Msg.GetAgent()
		}) {
			list = append(list, showPartitions(e.Books(), a)...)
		}
	})
	if err != nil {
		return nil, apiError(err)
	}
	name := func(p *pb.PartitionView) string { return p.GetPartition().GetAgent() + "/" + p.GetPartition().GetId() }
	sortByName(list, name)
	page, next, err := pageOf(list, req.Msg.GetPageSize(), req.Msg.GetPageToken(), name)
	return connect.NewResponse(&pb.ListPartitionsResponse{Partitions: page, NextPageToken: next}), err
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

// ListPools lists pools by name.
func (s *clusterService) ListPools(
	ctx context.Context, req *connect.Request[pb.ListPoolsRequest],
) (*connect.Response[pb.ListPoolsResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	name := func(p *engine.Pool) string { return string(p.ID) }
	list := all(r.view, func(*engine.Pool) bool { return true })
	sortByName(list, name)
	page, next, err := pageOf(list, req.Msg.GetPageSize(), req.Msg.GetPageToken(), name)
	if err != nil {
		return nil, err
	}
	answer := &pb.ListPoolsResponse{NextPageToken: next}
	err = r.ask(ctx, func(e *engine.Engine) {
		for _, p := range page {
			answer.Pools = append(answer.Pools, showPool(e.Books(), p))
		}
	})
	return connect.NewResponse(answer), apiError(err)
}

func showPool(books *ledger.Ledger, p *engine.Pool) *pb.PoolView {
	m := &pb.PoolView{Pool: wire.FromPool(p)}
	account, ok := books.Pool(p.ID)
	if !ok {
		return m
	}
	for _, t := range account.Types() {
		balance, bounded := account.Balance(t)
		m.Claimed = append(m.Claimed, wire.FromQuantity(t, resource.Scalar(balance.Claimed)))
		if bounded {
			m.Free = append(m.Free, wire.FromQuantity(t, resource.Scalar(balance.Free)))
		}
		if bounded && balance.Overcommitted() {
			m.Overcommitted = append(m.Overcommitted, string(t))
		}
	}
	return m
}

// SetPool makes or changes a pool.
func (s *clusterService) SetPool(
	ctx context.Context, req *connect.Request[pb.SetPoolRequest],
) (*connect.Response[pb.SetPoolResponse], error) {
	pool, err := wire.ToPool(req.Msg.GetPool())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	answer, err := s.master.submit(ctx, engine.SetPool{
		Pool: pool, Create: req.Msg.GetCreate(), Version: req.Msg.GetPool().GetVersion(),
	})
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.SetPoolResponse{Pool: wire.FromPool(answer.Pool)}), nil
}

// DeletePool forgets a pool that nobody draws from.
func (s *clusterService) DeletePool(
	ctx context.Context, req *connect.Request[pb.DeletePoolRequest],
) (*connect.Response[pb.DeletePoolResponse], error) {
	_, err := s.master.submit(ctx, engine.DeletePool{Pool: id.Pool(req.Msg.GetPool()), Version: req.Msg.GetVersion()})
	return connect.NewResponse(&pb.DeletePoolResponse{}), apiError(err)
}

// GetCapacity sums up the cluster by resource type.
func (s *clusterService) GetCapacity(
	ctx context.Context, _ *connect.Request[pb.GetCapacityRequest],
) (*connect.Response[pb.GetCapacityResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	answer := &pb.GetCapacityResponse{}
	err = r.ask(ctx, func(e *engine.Engine) {
		for _, c := range e.Capacity() {
			answer.Types = append(answer.Types, &pb.Capacity{
				Type: string(c.Type), Total: wire.FromQuantity(c.Type, resource.Scalar(c.Quantity)),
				Free: wire.FromQuantity(c.Type, resource.Scalar(c.Free)), Weighted: c.Weighted,
			})
		}
	})
	return connect.NewResponse(answer), apiError(err)
}

// ListNotes tells the newest part of the cluster's story.
func (s *clusterService) ListNotes(
	_ context.Context, req *connect.Request[pb.ListNotesRequest],
) (*connect.Response[pb.ListNotesResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	size := int(req.Msg.GetPageSize())
	if size <= 0 || size > pageMax {
		size = pageDefault
	}
	notes := r.view.notes(req.Msg.GetAfter(), id.Service(req.Msg.GetService()))
	if req.Msg.GetAfter() == 0 && len(notes) > size {
		notes = notes[len(notes)-size:] // without a place to begin, the newest
	}
	notes = slices.Clip(notes[:min(size, len(notes))])
	answer := &pb.ListNotesResponse{}
	for _, n := range notes {
		answer.Notes = append(answer.Notes, wire.FromNote(n.seq, n.note))
	}
	return connect.NewResponse(answer), nil
}
