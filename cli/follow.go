package cli

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"

	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// followAgain is the pause before a broken watch is opened again, and
// followWithin how long that is tried.
const (
	followAgain  = 200 * time.Millisecond
	followWithin = time.Minute
)

// outage is a time in which no master answers.
type outage struct{ began time.Time }

// over reports whether it makes no sense to ask again after err: it is not one
// of a master that is away, or the master has been away for too long.
func (o *outage) over(err error) bool {
	if o.began.IsZero() {
		o.began = time.Now()
	}
	switch connect.CodeOf(err) {
	case connect.CodeCanceled, // is what connect says of a stream whose connection was reset
		connect.CodeUnavailable, connect.CodeOutOfRange, connect.CodeUnknown, connect.CodeInternal:
		return time.Since(o.began) > followWithin
	default:
		return err != nil
	}
}

// follow calls seen after every message about a service until seen is done or
// ctx is. A watch that breaks, as with a change of leader, is opened again.
func (a *app) follow(ctx context.Context, service string, seen func(*situation) (done bool, err error)) error {
	var patience outage
	for {
		done, heard, err := a.watch(ctx, service, seen)
		if done || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if heard {
			patience = outage{}
		}
		if patience.over(err) {
			return a.advise(err)
		}
		select {
		case <-time.After(followAgain):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch is one watch. It reports whether seen is done, and whether anything was
// heard at all.
func (a *app) watch(ctx context.Context, service string, seen func(*situation) (bool, error)) (done, heard bool, err error) {
	cluster, err := a.cluster()
	if err != nil {
		return true, false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := cluster.Watch(ctx, connect.NewRequest(&pb.WatchRequest{Service: service}))
	if err != nil {
		return false, false, err
	}
	defer func() { _ = stream.Close() }()
	now := newSituation(service)
	for stream.Receive() {
		heard = true
		now.apply(stream.Msg())
		if !now.synced {
			continue
		}
		if done, err := seen(now); done || err != nil {
			return true, true, err
		}
	}
	return false, heard, stream.Err()
}

func isNotFound(err error) bool { return connect.CodeOf(err) == connect.CodeNotFound }
