package master

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// ListNotes tells the newest part of the cluster's story.
func (s *clusterService) ListNotes(
	_ context.Context, req *connect.Request[pb.ListNotesRequest],
) (*connect.Response[pb.ListNotesResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	size, err := pageSize(req.Msg.GetPageSize(), pageMax)
	if err != nil {
		return nil, err
	}
	if req.Msg.GetAfter() < 0 {
		return nil, invalidArgument(fmt.Errorf("after: found %d; want 0 or more", req.Msg.GetAfter()))
	}
	notes := r.view.notes(req.Msg.GetAfter(), id.Service(req.Msg.GetService()), size)
	if len(notes) == 0 && req.Msg.GetAfter() == 0 { // of what has gone there may be a story
		if err := r.view.unknown("service", engine.ServiceKind, req.Msg.GetService()); err != nil {
			return nil, err
		}
	}
	answer := &pb.ListNotesResponse{}
	for _, n := range notes {
		answer.Notes = append(answer.Notes, wire.FromNote(n.seq, n.note))
	}
	return connect.NewResponse(answer), nil
}
