package master

import (
	"context"
	"errors"
	"sync"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// confirmer asks the store whether a term still leads. All calls that wait at one
// time share a question, which is asked after the last of them has come.
type confirmer struct {
	term   *store.Term
	wanted chan struct{} // holds that next waits to be asked
	over   chan struct{} // closed when run has returned

	mu   sync.Mutex // guards next
	next *question  // that was not asked yet; nil if nobody waits
}

// question is whether the term leads, at a moment after all who share it came.
type question struct {
	answered chan struct{} // closed when err is set
	err      error         // nil: it leads
}

func newConfirmer(term *store.Term) *confirmer {
	return &confirmer{term: term, wanted: make(chan struct{}, 1), over: make(chan struct{})}
}

// run asks one question after the other until ctx is done.
func (c *confirmer) run(ctx context.Context) {
	defer close(c.over)
	for {
		select {
		case <-c.wanted:
		case <-ctx.Done():
			return
		}
		c.mu.Lock()
		q := c.next
		c.next = nil // who comes from now on has to ask again
		c.mu.Unlock()
		_, q.err = c.term.Commit(ctx, nil)
		close(q.answered)
	}
}

// confirm returns nil if the term led at a moment after the call began, so that no
// other master had changed anything before. A leader that was halted, or cut off,
// would otherwise tell what was true before the next one began.
func (c *confirmer) confirm(ctx context.Context) error { return c.await(ctx, c.join()) }

// await returns the answer to a question.
func (c *confirmer) await(ctx context.Context, q *question) error {
	select {
	case <-q.answered:
	case <-c.over:
		return ErrNoLeader
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if q.err != nil {
		return ErrNoLeader
	}
	return nil
}

// join returns the question that a call shares.
func (c *confirmer) join() *question {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = &question{answered: make(chan struct{})}
		c.wanted <- struct{}{} // it is empty: run takes it before it takes the question
	}
	return c.next
}

// led has calls answered when this master is known to have led after they came. That is
// asked while a read is served: what it was told is dropped if the answer is no, or the
// term has changed meanwhile. What a call changed is proven by its commit, and that it had
// nothing to change by the loop; only if it was refused it is asked here.
func (m *Master) led() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			r := m.reign.Load()
			if r == nil || isFree(req.Spec().Procedure) {
				return next(ctx, req)
			}
			if !wire.IsRead(req.Spec().Procedure) {
				answer, err := next(ctx, req)
				if isRefusal(err) && r.asker.confirm(ctx) != nil {
					err = apiError(ErrNoLeader)
				}
				return answer, err
			}
			asked := r.asker.join()
			answer, err := next(ctx, req)
			if unproven := r.asker.await(ctx, asked); unproven != nil {
				return nil, apiError(unproven)
			}
			if m.reign.Load() != r {
				return nil, apiError(ErrNoLeader)
			}
			return answer, err
		}
	}
}

// isRefusal reports whether an error says something of the cluster's state.
func isRefusal(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeNotFound, connect.CodeAborted, connect.CodeInvalidArgument, connect.CodeAlreadyExists,
		connect.CodeFailedPrecondition, connect.CodeOutOfRange:
		return err != nil
	default:
		return false
	}
}

// isFree reports whether a call asks nothing of the cluster's state.
func isFree(procedure string) bool {
	return procedure == aloftv1connect.ClusterServiceListMastersProcedure || procedure == aloftv1connect.ClusterServiceValidateProcedure
}

// afterCommit says by an error of a commit what became of the calls in it.
func afterCommit(err error) error {
	if errors.Is(err, ErrNoLeader) || errors.Is(err, store.ErrDeposed) && !errors.Is(err, store.ErrInDoubt) {
		return ErrNoLeader
	}
	return errInDoubt
}
