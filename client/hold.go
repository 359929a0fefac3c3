package client

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
)

// holdInTurn keeps a session with the master that answered last, or with the next one
// as long as those that are asked do not lead, until it breaks. One that a master
// has welcomed is not taken up with another, for what it was opened with may have
// become old; then it is the caller's to open the next. The error is nil
// only if the master ended the session after a goodbye; else the next session is
// tried with another master.
//
// All of it is done in the caller's goroutine: where thousands of agents come at once, the
// stacks of others would have to grow first.
func holdInTurn[M, O any](ctx context.Context, c *Client, open opener[M, O]) error {
	for tries := 1; ; tries++ {
		t := try{with: c.first()}
		t.welcomed, t.err = holdOne(ctx, c, t.with, open, func() bool { return true })
		if t.welcomed || !t.isStandby() || tries == len(c.masters) || ctx.Err() != nil {
			return t.err
		}
	}
}

// holdBeside is the same for who does not wait: a master that says nothing for as long as
// patience may be halted, or cut off. Then the others are asked beside it, each time that
// passes, and the first that says something has the session. None has it when each of
// them has refused it, or has failed.
func holdBeside[M, O any](ctx context.Context, c *Client, patience time.Duration, open opener[M, O]) error {
	ctx, stop := context.WithCancel(ctx)
	r := newRace(c, open)
	defer r.trying.Wait()
	defer stop()
	due := time.NewTicker(patience)
	defer due.Stop()
	late := due.C
	r.begin(ctx)
	for {
		select {
		case <-late:
			r.tries = 0
			r.begin(ctx)
		case m := <-r.first:
			late = nil
			r.endOthers(m)
		case t := <-r.ended:
			delete(r.asked, t.with.address)
			r.failed[t.with.address] = true
			switch {
			case t.welcomed:
				return t.err
			case r.won.Load():
			case ctx.Err() != nil, len(r.failed) == len(c.masters):
				return t.err
			case r.tries+len(r.asked) < len(c.masters):
				r.begin(ctx)
			case len(r.asked) == 0:
				return t.err
			}
		}
	}
}

// race are the sessions that are tried at one time, until a master has said something in
// one of them. Its fields are the caller's of holdBeside, but for won, first and ended.
type race[M, O any] struct {
	client *Client
	open   opener[M, O]
	turn   int64                         // of the master that is asked next
	tries  int                           // since it began, or patience was at its end
	asked  map[string]context.CancelFunc // those that are under way, by the address of the master
	failed map[string]bool               // masters with which one has ended
	won    atomic.Bool
	first  chan master // holds the one that said something
	ended  chan try    // holds as many as may be under way
	trying sync.WaitGroup
}

func newRace[M, O any](c *Client, open opener[M, O]) *race[M, O] {
	return &race[M, O]{
		client: c, open: open, turn: c.next.Load(), asked: make(map[string]context.CancelFunc), failed: make(map[string]bool),
		first: make(chan master, 1), ended: make(chan try, len(c.masters)),
	}
}

// begin tries the next of the masters that are not asked already, if there is one.
func (r *race[M, O]) begin(ctx context.Context) {
	r.turn = max(r.turn, r.client.next.Load()) // others may have found one meanwhile
	for range r.client.masters {
		m := r.client.at(r.turn)
		r.turn++
		if r.asked[m.address] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		r.asked[m.address] = cancel
		r.tries++
		r.trying.Go(func() {
			defer cancel()
			welcomed, err := holdOne(ctx, r.client, m, r.open, func() bool { return r.win(m) })
			r.ended <- try{m, welcomed, err}
		})
		return
	}
}

// win takes note that a master has said something, and reports whether it was the first.
func (r *race[M, O]) win(m master) bool {
	if !r.won.CompareAndSwap(false, true) {
		return false
	}
	r.client.welcomed(m)
	r.first <- m
	return true
}

// endOthers ends all but the session with the first.
func (r *race[M, O]) endOthers(first master) {
	for address, end := range r.asked {
		if address != first.address {
			end()
		}
	}
}

// try is how a session has ended.
type try struct {
	with     master
	welcomed bool
	err      error
}

// isStandby reports whether the master that was asked does not lead.
func (t try) isStandby() bool {
	refusal, answered := errors.AsType[*connect.Error](t.err)
	return answered && refusal.Meta().Get(standbyHeader) != ""
}
