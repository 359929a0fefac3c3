package master

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// announce tells the other masters that this one is there, until ctx is done.
func (m *Master) announce(ctx context.Context) {
	value, err := proto.Marshal(&pb.MasterInfo{
		Id: m.cfg.ID, Address: m.cfg.Advertise, Version: m.cfg.Version, StartedAt: timestamppb.Now(),
	})
	for err == nil {
		_ = m.store.Announce(ctx, m.cfg.ID, string(value)) // it says so again until it is done or the store is closed
		if !wait(ctx, m.cfg.SilentAfter/10) {
			return
		}
	}
}

// masters returns all masters that are there, by name.
func (m *Master) masters(ctx context.Context) ([]*pb.MasterInfo, error) {
	announced, err := m.store.Announced(ctx)
	if err != nil {
		return nil, err
	}
	now, _ := m.sight.get()
	var list []*pb.MasterInfo
	for _, name := range slices.Sorted(maps.Keys(announced)) {
		info := &pb.MasterInfo{}
		if err := proto.Unmarshal([]byte(announced[name]), info); err != nil {
			return nil, fmt.Errorf("what master %s announced: %w", name, err)
		}
		info.Leading = now.epoch != 0 && now.id == name
		list = append(list, info)
	}
	return list, nil
}

// ListMasters says which masters are there.
func (s *clusterService) ListMasters(
	ctx context.Context, _ *connect.Request[pb.ListMastersRequest],
) (*connect.Response[pb.ListMastersResponse], error) {
	list, err := s.master.masters(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.ListMastersResponse{Masters: list}), nil
}

// errAlone is the error for a leader that is asked to go and has no successor.
var errAlone = errors.New("no other master is there to lead")

// transferWithin is how long a planned change of the leader may take.
const transferWithin = 5 * time.Second

// TransferLeadership ends the term, and answers when another master leads.
func (s *clusterService) TransferLeadership(
	ctx context.Context, _ *connect.Request[pb.TransferLeadershipRequest],
) (*connect.Response[pb.TransferLeadershipResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	list, err := s.master.masters(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	if !slices.ContainsFunc(list, func(info *pb.MasterInfo) bool { return info.GetId() != s.master.cfg.ID }) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errAlone)
	}
	select {
	case r.handOver <- struct{}{}:
	case <-r.over:
		return nil, apiError(ErrNoLeader)
	case <-ctx.Done():
		return nil, apiError(context.Cause(ctx))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, transferWithin, fmt.Errorf("%w: nobody leads after %v", errInDoubt, transferWithin))
	defer cancel()
	to, err := s.master.awaitTerm(ctx, r.term.Epoch())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.TransferLeadershipResponse{From: s.master.cfg.ID, To: to.id}), nil
}
