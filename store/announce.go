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
	held, err := e.grant(ctx)
	if err != nil {
		return err
	}
	err = e.propose(ctx, func(ctx context.Context) error {
		_, err := e.client.Put(ctx, e.presenceKey(name), value, clientv3.WithLease(held.id))
		return err
	})
	if err == nil {
		err = e.keepAlive(ctx, held)
	}
	if errors.Is(err, ErrClosed) {
		return err
	}
	return errors.Join(err, e.giveBack(ctx, held.id))
}

// Announced reads all names at one revision.
func (e *etcd) Announced(ctx context.Context) (map[string]string, error) {
	prefix := e.presenceKey("")
	answer, err := e.get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(answer.Kvs))
	for _, pair := range answer.Kvs {
		values[string(pair.Key[len(prefix):])] = string(pair.Value)
	}
	return values, nil
}
