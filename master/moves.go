package master

import (
	"context"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// Rebalance moves instances so that services are spread more evenly, or tells
// which it would move.
func (s *clusterService) Rebalance(
	ctx context.Context, req *connect.Request[pb.RebalanceRequest],
) (*connect.Response[pb.RebalanceResponse], error) {
	event := engine.Rebalance{Services: namesOf[id.Service](req.Msg.GetServices()), Max: int(req.Msg.GetMoves())}
	if !req.Msg.GetDryRun() {
		answer, err := s.master.submit(ctx, event)
		return connect.NewResponse(wire.FromMovesPlan(answer.Moves)), apiError(err)
	}
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	plan, err := ask(ctx, r, func(e *engine.Engine) (engine.MovesPlan, error) { return e.PlanMoves(event) })
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(wire.FromMovesPlan(plan)), nil
}

// ListMoves tells how far moves are.
func (s *clusterService) ListMoves(
	ctx context.Context, req *connect.Request[pb.ListMovesRequest],
) (*connect.Response[pb.ListMovesResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	names := namesOf[id.Task](req.Msg.GetTasks())
	moves, err := ask(ctx, r, func(e *engine.Engine) ([]engine.PlannedMove, error) { return e.Moves(names), nil })
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.ListMovesResponse{Moves: wire.FromMoves(moves)}), nil
}

// AbortMoves takes back the moves that are not over.
func (s *clusterService) AbortMoves(
	ctx context.Context, req *connect.Request[pb.AbortMovesRequest],
) (*connect.Response[pb.AbortMovesResponse], error) {
	_, err := s.master.submit(ctx, engine.AbortMoves{Services: namesOf[id.Service](req.Msg.GetServices())})
	return connect.NewResponse(&pb.AbortMovesResponse{}), apiError(err)
}

func namesOf[T ~string](texts []string) []T {
	names := make([]T, len(texts))
	for i, text := range texts {
		names[i] = T(text)
	}
	return names
}
