package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/store"
)

// errThin is the error for a change after which no master may fail, where before
// one could.
var errThin = errors.New("after that no master may fail, and now one may")

// AddMaster lets a new master join.
func (s *clusterService) AddMaster(
	ctx context.Context, req *connect.Request[pb.AddMasterRequest],
) (*connect.Response[pb.AddMasterResponse], error) {
	command, voting, err := s.master.add(ctx, req.Msg.GetName(), req.Msg.GetPeerUrl())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.AddMasterResponse{Name: req.Msg.GetName(), Command: command, Voting: voting}), nil
}

// RemoveMaster takes a master out. The leader hands over before it goes, and the
// next one carries it out.
func (s *clusterService) RemoveMaster(
	ctx context.Context, req *connect.Request[pb.RemoveMasterRequest],
) (*connect.Response[pb.RemoveMasterResponse], error) {
	next, err := s.master.makeWay(ctx, req.Msg.GetName(), req.Msg.GetForce())
	if err != nil {
		return nil, apiError(err)
	}
	if next != nil {
		return passOn(ctx, s.master, *next, aloftv1connect.ClusterServiceClient.RemoveMaster,
			&pb.RemoveMasterRequest{Name: req.Msg.GetName(), Force: true})
	}
	voting, err := s.master.remove(ctx, req.Msg.GetName())
	if err != nil {
		return nil, apiError(err)
	}
	return connect.NewResponse(&pb.RemoveMasterResponse{Name: req.Msg.GetName(), Voting: voting}), nil
}

// ReplaceMaster removes a master and lets another one of its name join.
func (s *clusterService) ReplaceMaster(
	ctx context.Context, req *connect.Request[pb.ReplaceMasterRequest],
) (*connect.Response[pb.ReplaceMasterResponse], error) {
	name, peerURL := req.Msg.GetName(), req.Msg.GetPeerUrl()
	if err := store.CheckMember(name, peerURL); err != nil {
		return nil, apiError(err)
	}
	next, err := s.master.makeWay(ctx, name, req.Msg.GetForce())
	if err != nil {
		return nil, apiError(err)
	}
	if next != nil {
		return passOn(ctx, s.master, *next, aloftv1connect.ClusterServiceClient.ReplaceMaster,
			&pb.ReplaceMasterRequest{Name: name, PeerUrl: peerURL, Force: true})
	}
	if _, err := s.master.remove(ctx, name); err != nil {
		return nil, apiError(err)
	}
	command, voting, err := s.master.add(ctx, name, peerURL)
	if err != nil {
		return nil, apiError(fmt.Errorf("%s was removed, but not added again: %w", name, err))
	}
	return connect.NewResponse(&pb.ReplaceMasterResponse{Name: name, Command: command, Voting: voting}), nil
}

// add lets a member join, and returns what starts its master.
func (m *Master) add(ctx context.Context, name, peerURL string) (command []string, voting int32, err error) {
	if err := m.store.AddMember(ctx, name, peerURL); err != nil {
		return nil, 0, err
	}
	members, err := m.members(ctx)
	if err != nil {
		return nil, 0, err
	}
	return m.joining(name, peerURL, members), int32(len(voters(members)) + 1), nil
}

// remove takes a member out, and returns how many vote after that.
func (m *Master) remove(ctx context.Context, name string) (voting int32, err error) {
	if err := m.store.RemoveMember(ctx, name); err != nil {
		return 0, err
	}
	members, err := m.members(ctx)
	m.cfg.Log.WarnContext(ctx, "a master was removed", slog.String("master", name))
	return int32(len(voters(members))), err
}

// makeWay sees to it that a master may go. If it is this one, it has another one
// lead, and returns it.
func (m *Master) makeWay(ctx context.Context, name string, force bool) (next *leader, err error) {
	if _, err := m.current(); err != nil {
		return nil, err
	}
	members, err := m.members(ctx)
	if err != nil {
		return nil, err
	}
	list, err := m.present(ctx)
	if err != nil {
		return nil, err
	}
	if err := mayGo(members, list, name, force); err != nil {
		return nil, err
	}
	if name != m.cfg.ID {
		return nil, nil
	}
	to, err := m.transfer(ctx)
	return &to, err
}

// mayGo refuses to remove a member without which the others are no majority, and
// without force one after which none may fail where now one may.
func mayGo(members []store.Member, present []*pb.MasterInfo, name string, force bool) error {
	isThere := func(of store.Member) bool {
		return slices.ContainsFunc(present, func(info *pb.MasterInfo) bool { return info.GetId() == of.Name })
	}
	voting := voters(members)
	if !slices.ContainsFunc(voting, func(member store.Member) bool { return member.Name == name }) {
		return nil // unknown, which the store says, or without a vote
	}
	before := spare(voting, isThere)
	after := spare(slices.DeleteFunc(voting, func(member store.Member) bool { return member.Name == name }), isThere)
	switch {
	case after < 0:
		return fmt.Errorf("remove master %s: %w", name, store.ErrQuorum)
	case after == 0 && before > 0 && !force:
		return connect.NewError(connect.CodeFailedPrecondition,
			fmt.Errorf("remove master %s: %w; add another one first, or force it", name, errThin))
	default:
		return nil
	}
}

// voters returns the members that vote, as a list of its own.
func voters(members []store.Member) []store.Member {
	return slices.DeleteFunc(slices.Clone(members), func(member store.Member) bool { return member.Learner })
}

// spare returns how many of those that are there may fail before a majority of
// all is lost; less than 0 when it is lost.
func spare(voting []store.Member, isThere func(store.Member) bool) int {
	there := 0
	for _, member := range voting {
		if isThere(member) {
			there++
		}
	}
	return there - (len(voting)/2 + 1)
}

// joining returns the command that starts a master which was added: its API has
// the port of this one's.
func (m *Master) joining(name, peerURL string, members []store.Member) []string {
	cluster := map[string]string{name: peerURL}
	for _, member := range voters(members) {
		cluster[member.Name] = member.PeerURL
	}
	var list []string
	for _, member := range slices.Sorted(maps.Keys(cluster)) {
		list = append(list, member+"="+cluster[member])
	}
	listen := ""
	if here, err := url.Parse(m.cfg.Advertise); err == nil {
		if there, err := url.Parse(peerURL); err == nil {
			listen = net.JoinHostPort(there.Hostname(), here.Port())
		}
	}
	return []string{"aloft", "master", "--name", name, "--listen", listen, "--join", "--cluster", strings.Join(list, ",")}
}

// passOn has the next leader answer a call for which this master made way. That
// one may need a moment to begin.
func passOn[Req, Res any](
	ctx context.Context, m *Master, next leader,
	method func(aloftv1connect.ClusterServiceClient, context.Context, *connect.Request[Req]) (*connect.Response[Res], error), message *Req,
) (*connect.Response[Res], error) {
	waiting, cancel := context.WithTimeout(ctx, leaderWithin)
	defer cancel()
	for {
		req := connect.NewRequest(message)
		req.Header().Set(forwardedHeader, m.cfg.ID)
		answer, err := method(m.clusterAt(next), ctx, req)
		if refused, ok := errors.AsType[*connect.Error](err); ok && refused.Meta().Get(StandbyHeader) != "" && waiting.Err() == nil {
			m.lookAgain(waiting)
			continue
		}
		if err = relayed(ctx, err); errors.Is(err, errLeaderGone) {
			err = errInDoubt
		}
		return answer, apiError(err)
	}
}
