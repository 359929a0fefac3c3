package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Room is how much the embedded member keeps, and may.
type Room struct {
	Used  int64 // bytes that are needed
	File  int64 // bytes of the member's file: what is free in it is used again
	Quota int64 // bytes that the file may have
	Full  bool  // one of the members has no room: nothing is written until it has

	DiskFree int64 // bytes that the disk of this member's folder has left
	DiskLow  bool  // these are few; when there are none, the process ends
}

// Room returns how much the embedded member keeps. It is false where there is none.
func (s *Store) Room() (Room, bool) {
	backend, ok := s.backend.(interface{ Room() (Room, bool) })
	if !ok {
		return Room{}, false
	}
	return backend.Room()
}

// Room asks nobody else.
func (e *etcd) Room() (Room, bool) {
	if e.embedded == nil {
		return Room{}, false
	}
	server := e.embedded.server.Server
	file := server.Backend()
	free, err := diskFree(e.embedded.folder.path)
	return Room{
		Used: file.SizeInUse(), File: file.Size(), Quota: e.quota,
		Full:     len(noSpace(server.Alarms())) > 0,
		DiskFree: free, DiskLow: err == nil && free < diskLow,
	}, true
}

func noSpace(alarms []*etcdserverpb.AlarmMember) (members []uint64) {
	for _, alarm := range alarms {
		if alarm.GetAlarm() == etcdserverpb.AlarmType_NOSPACE {
			members = append(members, alarm.GetMemberID())
		}
	}
	return members
}

// What is free in a member's file is used again, but the quota is for the file. So
// it is made smaller when more than half of it is free, and that is worth the time
// for which the member does not answer. Beyond pressedAt of its quota it is worth it
// for less, and where the member leads, too, once another one leads in its place.
const (
	tendEvery    = 10 * time.Second
	worthBytes   = defragAtFreeMega << 20
	pressedAt    = 90 // percent of the quota
	pressedWorth = 5  // percent of the quota that must be free
	shrinkWithin = time.Minute
)

// errNoRoom says that the members refuse to write until there is room. It is no
// answer: they are asked again.
var errNoRoom = errors.New("the store is full")

// tend looks after the room of the embedded member until e closes, even when ctx is
// done.
func (e *etcd) tend(ctx context.Context) {
	e.guards.Go(func() {
		ctx, done := e.whileOpen(context.WithoutCancel(ctx))
		defer done()
		for pause(ctx, e.tendEvery) == nil {
			if err := e.makeRoom(ctx); err != nil && ctx.Err() == nil {
				e.log.WarnContext(ctx, "no room could be made in the store", slog.Any("error", err))
			}
		}
	})
}

// makeRoom makes the member's file smaller if that is worth it, and has the members
// write again once this one has room.
func (e *etcd) makeRoom(ctx context.Context) (err error) {
	if e.embedded.stopped() {
		return nil
	}
	server := e.embedded.server.Server
	file, own := server.Backend(), uint64(server.MemberID())
	full := slices.Contains(noSpace(server.Alarms()), own)
	if full {
		if err = e.compactAll(ctx); err != nil {
			return err
		}
	}
	size, free := file.Size(), file.Size()-file.SizeInUse()
	pressed := full || size > e.quota/100*pressedAt
	switch {
	case pressed && free > e.quota/100*pressedWorth:
		_ = server.TryTransferLeadershipOnShutdown() // if it leads, and another one can
		err = e.shrink(ctx, full)
	case free > size/2 && free > worthBytes && server.Leader() != server.MemberID() && e.terms.Load() == 0:
		err = e.shrink(ctx, false)
	}
	if err != nil || !full {
		return err
	}
	if size = file.Size(); size > e.quota/100*(100-pressedWorth) {
		return fmt.Errorf("%w: its file has %d bytes of %d that it may have, and %d are needed", errNoRoom, size, e.quota, file.SizeInUse())
	}
	e.log.InfoContext(ctx, "the store has room again", slog.Int64("bytes", size), slog.Int64("quota_bytes", e.quota))
	return e.propose(ctx, func(ctx context.Context) error {
		_, err := e.client.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: own, Alarm: etcdserverpb.AlarmType_NOSPACE})
		return err
	})
}

// compactAll drops all old revisions, and returns when their pages are free.
func (e *etcd) compactAll(ctx context.Context) error {
	ctx, done := context.WithTimeoutCause(ctx, shrinkWithin, fmt.Errorf("it took longer than %v", shrinkWithin))
	defer done()
	_, err := e.client.Compact(ctx, e.embedded.server.Server.KV().Rev(), clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("drop what is old: %w", err)
	}
	e.embedded.server.Server.Backend().ForceCommit() // which counts the free pages
	return nil
}

// shrink makes the member's file as small as what is in it, one member at a time:
// meanwhile it does not answer. While nothing can be written no member needs to wait.
func (e *etcd) shrink(ctx context.Context, full bool) error {
	if !full {
		turn, mine, err := e.takeTurn(ctx)
		if err != nil || !mine {
			return err
		}
		defer func() { _ = e.giveBack(ctx, turn) }() // or it runs out
	}
	began, file := time.Now(), e.embedded.server.Server.Backend()
	before := file.Size()
	if err := file.Defrag(); err != nil {
		return fmt.Errorf("make the file smaller: %w", err)
	}
	e.log.InfoContext(ctx, "made the store's file smaller", slog.Int64("bytes_before", before), slog.Int64("bytes", file.Size()),
		slog.Duration("took", time.Since(began)))
	return nil
}

// takeTurn makes the key of the one member that makes its file smaller, bound to a
// lease, if there is none.
func (e *etcd) takeTurn(ctx context.Context) (turn clientv3.LeaseID, mine bool, err error) {
	key := e.prefix + "shrinking"
	err = e.propose(ctx, func(ctx context.Context) error {
		granted, err := e.client.Grant(ctx, int64(shrinkWithin/time.Second))
		if err != nil {
			return err
		}
		turn = granted.ID
		answer, err := e.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
			Then(clientv3.OpPut(key, "", clientv3.WithLease(turn))).
			Commit()
		mine = err == nil && answer.Succeeded
		return err
	})
	if !mine {
		err = errors.Join(err, e.giveBack(ctx, turn))
	}
	return turn, mine, err
}
