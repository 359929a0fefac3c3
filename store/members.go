package store

import (
	"context"
	"errors"
	"fmt"
)

// Errors of changes to the members of an embedded cluster that callers tell apart.
var (
	// ErrOutside says that the cluster's members are not aloft's to change.
	ErrOutside = errors.New("the state is not kept in an embedded cluster; its members are changed by its own tools")
	// ErrBadMember says that no member can have such a name or URL.
	ErrBadMember = errors.New("no member can be called or reached so")
	// ErrDeaf says that no other member can reach this one.
	ErrDeaf = errors.New("this member awaits no others; start it with its own URL in its cluster (--cluster) first; its data is kept")
	// ErrUnknownMember says that there is no member of that name.
	ErrUnknownMember = errors.New("unknown member")
	// ErrMemberExists says that the name or the URL is another member's.
	ErrMemberExists = errors.New("there is such a member already")
	// ErrQuorum says that a majority of the members is not connected, or would not
	// be after the change. Nothing was changed; only where the majority was lost
	// meanwhile it may yet be, when that is back.
	ErrQuorum = errors.New("a majority of the members must be connected, before and after the change")
	// ErrRemoved says that this member was removed from its cluster. Its data is
	// of no more use; to come back it is added again, and joins with a new folder.
	ErrRemoved = errors.New("this member was removed from its cluster")
)

// Member is a member of an embedded cluster.
type Member struct {
	Name    string // its number, in hex, if that is not known
	PeerURL string // on which the others reach it; "" if it awaits none
	ID      uint64
	Started bool // it has been there at least once
	Learner bool // it does not vote: it has not joined yet, or not caught up
	Leader  bool // it leads the raft group, which says nothing about the term
	Self    bool // it is the one in this process
}

// company is what a Backend has besides when its members can be changed.
type company interface {
	Members(ctx context.Context) ([]Member, error)
	AddMember(ctx context.Context, name, peerURL string) error
	RemoveMember(ctx context.Context, name string) error
}

// Members returns the members of the embedded cluster, by name, as this one knows
// them: it answers without a majority, too.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	c, ctx, done, err := s.company(ctx)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	defer done()
	list, err := c.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	return list, nil
}

// CheckMember says why no member can have that name and URL.
func CheckMember(name, peerURL string) error {
	if err := errors.Join(checkNewName(name), checkMember(name, peerURL)); err != nil {
		return fmt.Errorf("%w: %v", ErrBadMember, err)
	}
	return nil
}

// AddMember lets a new member of that name and URL join the embedded cluster,
// which goes on working meanwhile. Then the member is started with Config.Join
// and an empty folder. Until it has caught up with the others it does not vote,
// so that one that never comes up takes no majority away. It asks for its vote by
// itself, as the last thing that Open does.
//
// A member that other ones can join has its own URL in Cluster. While there are
// two, none may fail: a cluster grows from one to three.
//
// It may take some seconds after the last change: etcd trusts a connection
// between members when it has lasted for 5 s.
func (s *Store) AddMember(ctx context.Context, name, peerURL string) error {
	if err := CheckMember(name, peerURL); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	c, ctx, done, err := s.company(ctx)
	if err != nil {
		return fmt.Errorf("add member %s: %w", name, err)
	}
	defer done()
	if err := c.AddMember(ctx, name, peerURL); err != nil {
		return fmt.Errorf("add member %s: %w", name, err)
	}
	return nil
}

// RemoveMember takes a member out of the embedded cluster for good, dead or
// alive; this one, too. It stops, and its Open fails with ErrRemoved from then
// on. The last one cannot be removed, nor one without which those that are
// connected would be no majority.
//
// To replace a dead member, remove it and add one of the same name.
func (s *Store) RemoveMember(ctx context.Context, name string) error {
	c, ctx, done, err := s.company(ctx)
	if err != nil {
		return fmt.Errorf("remove member %s: %w", name, err)
	}
	defer done()
	if err := c.RemoveMember(ctx, name); err != nil {
		return fmt.Errorf("remove member %s: %w", name, err)
	}
	return nil
}

// company begins a call about members. The caller must call done.
func (s *Store) company(ctx context.Context) (c company, bounded context.Context, done func(), err error) {
	c, ok := s.backend.(company)
	if !ok {
		return nil, nil, nil, ErrOutside
	}
	bounded, done = s.call(ctx, nil)
	if bounded.Err() != nil {
		done()
		return nil, nil, nil, context.Cause(bounded)
	}
	return c, bounded, done, nil
}
