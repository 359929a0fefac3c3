package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/raft/v3/raftpb"
)

// standAfter is how much later than the one before each of the members that are left
// asks for votes: longer than an election takes among them.
const standAfter = 150 * time.Millisecond

// Outlive has another embedded member lead the raft group at once when the one of that
// name does, whose process is known to be dead: else nothing could be written before
// the others have missed its heartbeats for long enough. It returns when somebody
// leads, or this member has asked for votes. Who errs does no harm: a member that is
// there follows the new leader.
func (s *Store) Outlive(ctx context.Context, name string) {
	ctx, done := s.call(ctx, nil)
	defer done()
	if backend, ok := s.backend.(interface {
		Outlive(ctx context.Context, name string)
	}); ok {
		backend.Outlive(ctx, name)
	}
}

// Outlive does as a raft leader does that hands over: it has a member stand for
// election without asking first whether it would be elected. The members do so one
// after the other, since two of them at once might get half of the votes each.
func (e *etcd) Outlive(ctx context.Context, name string) {
	if e.embedded == nil {
		return
	}
	server := e.embedded.server.Server
	dead := server.Leader()
	members := slices.DeleteFunc(server.Cluster().Members(), func(m *membership.Member) bool { return m.IsLearner })
	slices.SortFunc(members, func(a, b *membership.Member) int { return cmp.Compare(a.ID, b.ID) })
	if !slices.ContainsFunc(members, func(m *membership.Member) bool { return m.ID == dead && m.Name == name }) {
		return
	}
	others := slices.DeleteFunc(members, func(m *membership.Member) bool { return m.ID == dead })
	turn := slices.IndexFunc(others, func(m *membership.Member) bool { return m.ID == server.MemberID() })
	if turn < 0 {
		return
	}
	timer := time.NewTimer(time.Duration(turn) * standAfter)
	defer timer.Stop()
	for waiting := true; waiting; {
		changed := server.LeaderChangedNotify()
		if now := server.Leader(); now != dead && now != 0 {
			return
		}
		select {
		case <-timer.C:
			waiting = false
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
	own, term := uint64(server.MemberID()), server.Term()
	from := uint64(dead)
	_ = server.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &from, To: &own, Term: &term}) // else it is elected in its time
}
