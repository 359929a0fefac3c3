package store

import (
	"context"
	"errors"
	"log/slog"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// announceAgainAfter keeps a process from asking all the time where etcd answers
// at once that it cannot.
const announceAgainAfter = 200 * time.Millisecond

// Announce makes the name's key, bound to a lease of its own, again and again
// until ctx is done.
func (e *etcd) Announce(ctx context.Context, name, value string) error {
	for {
		err := e.announce(ctx, name, value)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if refused(err) {
			return err
		}
		e.log.WarnContext(ctx, "announcement lost; announces again", slog.String("name", name), slog.Any("error", err))
		if err := pause(ctx, announceAgainAfter); err != nil {
			return err
		}
	}
}

// announce keeps the name's key until its lease is lost or ctx is done.
func (e *etcd) announce(ctx context.Context, name, value string) error {
	lease, err := e.client.Grant(ctx, int64(e.leaseTTL/time.Second))
	if err != nil {
		return because(ctx, err)
	}
	_, err = e.client.Put(ctx, e.presenceKey(name), value, clientv3.WithLease(lease.ID))
	if err == nil {
		err = e.keepAlive(ctx, lease, nil)
	}
	if errors.Is(context.Cause(ctx), ErrClosed) {
		return ErrClosed
	}
	brief, done := context.WithTimeout(context.WithoutCancel(ctx), revokeWithin)
	defer done()
	return errors.Join(because(ctx, err), e.revoke(brief, lease.ID))
}

// Announced reads all names at one revision.
func (e *etcd) Announced(ctx context.Context) (map[string]string, error) {
	prefix := e.presenceKey("")
	answer, err := e.client.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, because(ctx, err)
	}
	values := make(map[string]string, len(answer.Kvs))
	for _, pair := range answer.Kvs {
		values[string(pair.Key[len(prefix):])] = string(pair.Value)
	}
	return values, nil
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
