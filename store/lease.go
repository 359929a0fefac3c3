package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// renewals is how often a lease is renewed within its time to live: so often
// that the members may elect a raft leader in between.
const renewals = 5

// revokeWithin bounds the giving back of a lease that came to nothing. If that
// fails it runs out by itself.
const revokeWithin = time.Second

// lease is a lease as its holder knows it.
type lease struct {
	id      clientv3.LeaseID
	ttl     time.Duration
	renewed time.Time // no later than etcd did it
}

// grant returns a new lease. Those of tries whose answer was lost run out.
func (e *etcd) grant(ctx context.Context) (lease, error) {
	var granted lease
	err := e.propose(ctx, func(ctx context.Context) error {
		granted.renewed = time.Now()
		answer, err := e.client.Grant(ctx, int64(e.leaseTTL/time.Second))
		if err != nil {
			return err
		}
		granted.id, granted.ttl = answer.ID, time.Duration(answer.TTL)*time.Second
		return nil
	})
	return granted, err
}

// keepAlive renews a lease until that is in vain, and returns why: at the latest
// when the lease would run out, whether etcd can be reached or not, or when ctx
// is done.
func (e *etcd) keepAlive(ctx context.Context, l lease) error {
	for {
		if err := pause(ctx, l.ttl/renewals); err != nil {
			return err
		}
		var err error
		if l, err = e.renewed(ctx, l); err != nil {
			return err
		}
	}
}

// renewed insists on a renewal for as long as the lease may still be there.
func (e *etcd) renewed(ctx context.Context, l lease) (lease, error) {
	ctx, done := context.WithDeadlineCause(ctx, l.renewed.Add(l.ttl),
		fmt.Errorf("the lease could not be kept alive for %v", l.ttl))
	defer done()
	err := e.insist(ctx, func(ctx context.Context) error {
		ctx, done := e.attempt(ctx, l.ttl/2)
		defer done()
		asked := time.Now()
		if err := e.renew(ctx, l.id); err != nil {
			return err
		}
		l.renewed = asked
		return nil
	})
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		err = errors.New("the lease is gone")
	}
	return l, err
}

// renew asks once for a renewal. The client's own way would ask for no more than
// one at a time, for all leases, and wait for the answer of a dead member.
func (e *etcd) renew(ctx context.Context, id clientv3.LeaseID) error {
	if e.embedded != nil {
		return e.embedded.renew(ctx, id)
	}
	stream, err := etcdserverpb.NewLeaseClient(e.client.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&etcdserverpb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err == nil && answer.GetTTL() <= 0 {
		err = rpctypes.ErrLeaseNotFound
	}
	return errors.Join(err, stream.CloseSend())
}

// revoke ends a lease, and with it the keys that are bound to it.
func (e *etcd) revoke(ctx context.Context, id clientv3.LeaseID) error {
	err := e.propose(ctx, func(ctx context.Context) error {
		_, err := e.client.Revoke(ctx, id)
		return err
	})
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return err
}

// giveBack revokes a lease that is of no more use, though ctx may be done.
func (e *etcd) giveBack(ctx context.Context, id clientv3.LeaseID) error {
	brief, done := context.WithTimeout(context.WithoutCancel(ctx), revokeWithin)
	defer done()
	return e.revoke(brief, id)
}
