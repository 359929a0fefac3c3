package master

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/store"
)

// What a master is, in the list of them.
const (
	roleLeader  = "leader"
	roleStandby = "standby"
	roleJoining = "joining" // its member does not vote yet
	roleAbsent  = "absent"  // it is a member, and nothing is heard of it
	roleUnknown = "unknown" // nobody can be asked
)

// announce tells the other masters that this one is there, until ctx is done, and anew
// when there is something else to tell.
func (m *Master) announce(ctx context.Context) {
	info := &pb.MasterInfo{Id: m.cfg.ID, Address: m.cfg.Advertise, Version: m.cfg.Version, StartedAt: timestamppb.Now()}
	for {
		low, changed := m.disk.isLow()
		info.DiskLow = low
		value, err := proto.Marshal(info)
		if err != nil {
			return
		}
		telling, done := until(ctx, changed, nil)
		_ = m.store.Announce(telling, m.cfg.ID, string(value)) // it says so again until it is done or the store is closed
		done()
		select {
		case <-changed:
			continue
		default:
		}
		if !wait(ctx, m.cfg.SilentAfter/10) {
			return
		}
	}
}

// present returns the masters that are there, by name.
func (m *Master) present(ctx context.Context) ([]*pb.MasterInfo, error) {
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
		info.Leading, info.Role = now.epoch != 0 && now.id == name, roleStandby
		if info.GetLeading() {
			info.Role = roleLeader
		}
		list = append(list, info)
	}
	return list, nil
}

// presentWithin bounds the question who is there, which a majority answers.
const presentWithin = time.Second

// roster returns the masters that are there and those that should be, by name.
func (m *Master) roster(ctx context.Context) (*pb.ListMastersResponse, error) {
	members, err := m.members(ctx)
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, presentWithin)
	defer cancel()
	list, err := m.present(asking)
	if err != nil && (len(members) == 0 || ctx.Err() != nil) {
		return nil, err
	}
	answer := &pb.ListMastersResponse{NoMajority: err != nil}
	if len(members) > 0 { // else the one that was removed last is still seen
		list = slices.DeleteFunc(list, func(info *pb.MasterInfo) bool {
			return !slices.ContainsFunc(members, func(member store.Member) bool { return member.Name == info.GetId() })
		})
	}
	for _, member := range members {
		at := slices.IndexFunc(list, func(info *pb.MasterInfo) bool { return info.GetId() == member.Name })
		if at < 0 {
			at = len(list)
			list = append(list, &pb.MasterInfo{Id: member.Name, Role: roleAbsent})
		}
		list[at].PeerUrl = member.PeerURL
		switch {
		case member.Learner:
			list[at].Role = roleJoining
		case member.Self && list[at].GetRole() == roleAbsent:
			list[at].Role, list[at].Address, list[at].Version = roleStandby, m.cfg.Advertise, m.cfg.Version
		case answer.GetNoMajority():
			list[at].Role = roleUnknown
		}
	}
	slices.SortFunc(list, func(a, b *pb.MasterInfo) int { return strings.Compare(a.GetId(), b.GetId()) })
	answer.Masters = list
	return answer, nil
}

// members returns the members of the embedded state that reach each other; none
// where there are none.
func (m *Master) members(ctx context.Context) ([]store.Member, error) {
	members, err := m.store.Members(ctx)
	if errors.Is(err, store.ErrOutside) {
		return nil, nil
	}
	return slices.DeleteFunc(members, func(member store.Member) bool { return member.PeerURL == "" }), err
}

// ListMasters says which masters are there. Any master answers by itself, so that
// it is also told when nobody leads.
func (s *clusterService) ListMasters(
	ctx context.Context, _ *connect.Request[pb.ListMastersRequest],
) (*connect.Response[pb.ListMastersResponse], error) {
	answer, err := s.master.roster(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(answer), nil
}

// errAlone is the error for a leader that is asked to go and has no successor.
var errAlone = errors.New("no other master is there to lead")

// errNobodyTookOver is the error for a leader that was asked to go and leads again.
var errNobodyTookOver = errors.New("no other master took over, and this one leads again")

// transferWithin is how long a planned change of the leader may take.
const transferWithin = 5 * time.Second

// TransferLeadership ends the term, and answers when another master leads.
func (s *clusterService) TransferLeadership(
	ctx context.Context, _ *connect.Request[pb.TransferLeadershipRequest],
) (*connect.Response[pb.TransferLeadershipResponse], error) {
	to, err := s.master.transfer(ctx)
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.TransferLeadershipResponse{From: s.master.cfg.ID, To: to.id}), nil
}

// transfer ends this master's term, and returns who leads after it.
func (m *Master) transfer(ctx context.Context) (leader, error) {
	r, err := m.current()
	if err != nil {
		return leader{}, err
	}
	list, err := m.present(ctx)
	if err != nil {
		return leader{}, err
	}
	if !slices.ContainsFunc(list, func(info *pb.MasterInfo) bool { return info.GetId() != m.cfg.ID }) {
		return leader{}, connect.NewError(connect.CodeFailedPrecondition, errAlone)
	}
	select {
	case r.handOver <- struct{}{}:
	case <-r.over:
		return leader{}, ErrNoLeader
	case <-ctx.Done():
		return leader{}, context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, transferWithin, fmt.Errorf("%w: nobody leads after %v", errInDoubt, transferWithin))
	defer cancel()
	next, err := m.awaitTerm(ctx, r.term.Epoch())
	if err == nil && next.id == m.cfg.ID {
		return leader{}, connect.NewError(connect.CodeAborted, errNobodyTookOver)
	}
	return next, err
}
