package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A change of the members must be done within changeWithin: etcd refuses it while
// a connection between members is younger than 5 s.
const (
	changeWithin     = 7 * time.Second
	changeAgainAfter = 500 * time.Millisecond
)

// Members lists what this member knows. The name of one that has not been there
// yet stands under a key, since etcd learns it only from the member.
func (e *etcd) Members(ctx context.Context) ([]Member, error) {
	if e.embedded == nil {
		return nil, ErrOutside
	}
	answer, err := e.client.Get(ctx, e.memberKey(""), clientv3.WithPrefix(), clientv3.WithSerializable())
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	names := make(map[string]string) // by URL
	for _, pair := range answer.Kvs {
		names[strings.TrimPrefix(string(pair.Key), e.memberKey(""))] = string(pair.Value)
	}
	server := e.embedded.server.Server
	var list []Member
	for _, known := range server.Cluster().Members() {
		member := Member{
			Name:    nameOf(known),
			PeerURL: strings.ReplaceAll(urlOf(known), nowhere, ""),
			ID:      uint64(known.ID),
			Started: started(known),
			Learner: known.IsLearner,
			Leader:  known.ID == server.Leader(),
			Self:    known.ID == server.MemberID(),
		}
		if name, ok := names[member.PeerURL]; ok && known.Name == "" {
			member.Name = name
		}
		list = append(list, member)
	}
	slices.SortFunc(list, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// AddMember adds a learner. Its name is written first, so that a member is
// there under its name from the beginning.
func (e *etcd) AddMember(ctx context.Context, name, peerURL string) error {
	list, err := e.Members(ctx)
	if err != nil {
		return err
	}
	for _, member := range list {
		if member.Self && member.PeerURL == "" {
			return ErrDeaf
		}
		if member.Name == name || member.PeerURL == peerURL {
			return fmt.Errorf("%w: %s at %s", ErrMemberExists, member.Name, member.PeerURL)
		}
	}
	err = e.propose(ctx, func(ctx context.Context) error {
		_, err := e.client.Put(ctx, e.memberKey(peerURL), name)
		return err
	})
	if err != nil {
		return err
	}
	return e.reconfigure(ctx, func(ctx context.Context) error {
		_, err := e.client.MemberAddAsLearner(ctx, []string{peerURL})
		switch {
		case errors.Is(err, rpctypes.ErrPeerURLExist):
			return nil // by an earlier try
		case errors.Is(err, rpctypes.ErrMemberNotFound):
			return errors.New("its number, made of this second, was a removed member's") // so another try has another
		default:
			return err
		}
	})
}

// RemoveMember removes a member by the number that it has now.
func (e *etcd) RemoveMember(ctx context.Context, name string) error {
	list, err := e.Members(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(list, func(m Member) bool { return m.Name == name })
	if at < 0 {
		return ErrUnknownMember
	}
	member := list[at]
	if voters := slices.DeleteFunc(list, func(m Member) bool { return m.Learner }); !member.Learner && len(voters) == 1 {
		return fmt.Errorf("%w: it is the only one that votes", ErrQuorum)
	}
	if member.Self {
		// Without a leader the others would wait for one. If nobody takes over,
		// they elect one when it is gone.
		_ = e.embedded.server.Server.TryTransferLeadershipOnShutdown()
	}
	err = e.reconfigure(ctx, func(ctx context.Context) error {
		_, err := e.client.MemberRemove(ctx, member.ID)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil // by an earlier try
		}
		return err
	})
	if member.Self && errors.Is(err, ErrRemoved) {
		return nil // it was so fast that the answer did not come
	}
	return err
}

// reconfigure insists for a while on a change of the members.
func (e *etcd) reconfigure(ctx context.Context, ask func(ctx context.Context) error) error {
	ctx, done := context.WithTimeoutCause(ctx, changeWithin, ErrQuorum)
	defer done()
	err := e.propose(ctx, func(ctx context.Context) error {
		err := ask(ctx)
		if errors.Is(err, rpctypes.ErrUnhealthy) {
			_ = pause(ctx, changeAgainAfter) // which is more than insist does
		}
		return err
	})
	switch {
	case errors.Is(err, rpctypes.ErrMemberNotEnoughStarted):
		return fmt.Errorf("%w: %v", ErrQuorum, err)
	case errors.Is(err, rpctypes.ErrTooManyLearners):
		return fmt.Errorf("%d members have been added that have not joined yet", joiningMax)
	default:
		return err
	}
}
