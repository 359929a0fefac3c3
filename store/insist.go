package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
)

// A request through raft that has no answer in time is made again: it may have
// been lost between two members. Each try gets twice the time of the one before,
// and a large commit more than others, so that a slow cluster is not asked ever
// more. Between two tries is a pause, since a cluster without a raft leader
// refuses at once.
const (
	answerFirst   = 400 * time.Millisecond
	answerPerOp   = time.Millisecond
	answerPerMiB  = 200 * time.Millisecond
	answerWithin  = 4 * time.Second
	askAgainAfter = 20 * time.Millisecond
)

// insist asks again and again until there is an answer, etcd refuses, or ctx is
// done: an election among the members, or the loss of one, is no error that a
// caller should see. What ask does must be safe to do twice.
func (e *etcd) insist(ctx context.Context, ask func(ctx context.Context) error) error {
	var last error
	for {
		changed := e.embedded.leaderChanged()
		err := ask(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && last != nil:
			return fmt.Errorf("%w: %v", context.Cause(ctx), last)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case refused(err):
			return err
		}
		if e.embedded.stopped() {
			return e.embedded.whyStopped(ctx)
		}
		last = err
		rest(ctx, changed)
	}
}

// rest waits a little between two tries, but not when another member leads.
func rest(ctx context.Context, changed <-chan struct{}) {
	timer := time.NewTimer(askAgainAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
	}
}

// propose insists on a request that goes through raft. What the raft leader had
// not passed on when it died is lost without a word, and etcd would wait for it
// for much longer than an election takes; so each try ends, too, when another
// member leads.
func (e *etcd) propose(ctx context.Context, ask func(ctx context.Context) error) error {
	return e.proposeWithin(ctx, answerFirst, ask)
}

// proposeWithin gives the first try so much time.
func (e *etcd) proposeWithin(ctx context.Context, within time.Duration, ask func(ctx context.Context) error) error {
	return e.insist(ctx, func(ctx context.Context) error {
		ctx, done := e.attempt(ctx, within)
		defer done()
		within = max(within, min(2*within, answerWithin))
		return ask(ctx)
	})
}

// timeFor returns how much time the first try of a commit gets.
func timeFor(ops []Op) time.Duration {
	bytes := 0
	for _, op := range ops {
		bytes += op.bytes()
	}
	return answerFirst + time.Duration(len(ops))*answerPerOp + time.Duration(bytes>>20)*answerPerMiB
}

// attempt returns the context of one try. The caller must call done.
func (e *etcd) attempt(ctx context.Context, within time.Duration) (bounded context.Context, done func()) {
	bounded, stop := context.WithTimeout(ctx, within)
	changed := e.embedded.leaderChanged()
	if changed == nil {
		return bounded, stop
	}
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-changed:
			stop()
		case <-bounded.Done():
		}
	})
	return bounded, func() {
		stop()
		watching.Wait()
	}
}

// refused says that etcd answered that it did nothing, and would say so again.
// Every other error, a lost answer among them, leaves open what was done.
func refused(err error) bool {
	var answer rpctypes.EtcdError
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code() {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated,
		codes.NotFound, codes.OutOfRange, codes.FailedPrecondition, codes.DataLoss:
		return true
	default:
		return false
	}
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
