package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	servererrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
)

// promoteAgainAfter is when a member that has not caught up asks again for its
// vote.
const promoteAgainAfter = 100 * time.Millisecond

// awake waits until the embedded member knows all that its cluster has committed,
// of its members, too, and is one of them as it should be.
func (e *etcd) awake(ctx context.Context, cfg Config) error {
	if err := e.embedded.led(ctx); err != nil {
		return err
	}
	if _, err := e.get(ctx, e.versionKey()); err != nil {
		return err
	}
	if err := e.embedded.checkAlone(cfg); err != nil {
		return err
	}
	if err := e.settle(ctx, cfg); err != nil {
		return err
	}
	e.embedded.published(ctx)
	return nil
}

// settle makes the embedded member what the others should take it for: it votes,
// and they know the URL that it has now.
func (e *etcd) settle(ctx context.Context, cfg Config) error {
	if err := e.promote(ctx); err != nil {
		return fmt.Errorf("have the member vote: %w", err)
	}
	server := e.embedded.server.Server
	own, ok := cfg.Cluster[cfg.Name]
	self := server.Cluster().Member(server.MemberID())
	if !ok || self == nil || urlOf(self) == own {
		return nil
	}
	moved := membership.Member{ID: self.ID, RaftAttributes: membership.RaftAttributes{PeerURLs: []string{own}}}
	var taken error
	err := e.propose(ctx, func(ctx context.Context) error {
		_, err := server.UpdateMember(ctx, moved)
		if errors.Is(err, membership.ErrPeerURLexists) {
			taken = fmt.Errorf("the data is of another member than the one at %s", own)
			return nil
		}
		return err
	})
	return errors.Join(err, taken)
}

// promote has a member that has joined vote as soon as it has caught up.
func (e *etcd) promote(ctx context.Context) error {
	server := e.embedded.server.Server
	if !server.IsMemberExist(server.MemberID()) || !server.IsLearner() {
		return nil
	}
	return e.propose(ctx, func(ctx context.Context) error {
		_, err := server.PromoteMember(ctx, uint64(server.MemberID()))
		switch {
		case errors.Is(err, membership.ErrMemberNotLearner):
			return nil // since an earlier try
		case errors.Is(err, servererrors.ErrLearnerNotReady):
			_ = pause(ctx, promoteAgainAfter)
		}
		return err
	})
}
