package wire

import (
	"github.com/aloft-run/aloft/core/engine"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// FromMovesPlan returns p as a message.
func FromMovesPlan(p engine.MovesPlan) *pb.RebalanceResponse {
	m := &pb.RebalanceResponse{Moves: FromMoves(p.Moves), More: p.More}
	for _, s := range p.Skipped {
		m.Skipped = append(m.Skipped, &pb.SkippedService{Service: string(s.Service), Why: s.Why})
	}
	return m
}

// FromMoves returns moves as messages.
func FromMoves(moves []engine.PlannedMove) []*pb.Move {
	list := make([]*pb.Move, len(moves))
	for i, m := range moves {
		list[i] = &pb.Move{
			Service: string(m.Service), Task: string(m.Task), From: string(m.From), To: string(m.To), Why: m.Why,
			State: pb.MoveState(m.State), By: string(m.By),
		}
	}
	return list
}
