package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/task"
	"github.com/aloft-run/aloft/store"
)

// batchMax bounds how many events one commit carries, and joinsMax how many of
// them are agents that join: each changes more than most events do, and when all
// agents of a large cluster come at once, other calls shall not wait for them.
const (
	batchMax = 4096
	joinsMax = 400
)

// reign is the time in which this master leads: the engine, owned by run, and
// what is published of it.
type reign struct {
	cfg      Config
	term     *store.Term
	engine   *engine.Engine // owned by run
	view     *view
	hub      *hub
	asker    *confirmer
	metrics  *metrics
	requests chan request
	joining  chan struct{} // holds as many as may wait at one time for their join to be durable
	handOver chan struct{} // ends the term, so that another master leads
	over     chan struct{} // closed when run has returned
	since    time.Time
}

// request is a step of the cluster, or a question about it, with the way back.
// Both run in the loop; neither may keep the engine, or wait for anything.
type request struct {
	fold  func(e *engine.Engine, now time.Time) (engine.Answer, error)
	ask   func(e *engine.Engine) error // instead of fold
	reply chan reply                   // holds the one reply
}

type reply struct {
	answer engine.Answer
	err    error
}

// submit has the loop fold in an event. After ErrNoLeader it was not folded in,
// after errInDoubt it may have been or not.
func (r *reign) submit(ctx context.Context, event engine.Event) (engine.Answer, error) {
	return r.fold(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) { return e.Step(event, now) })
}

// fold is submit for an event that depends on what the loop alone can tell.
func (r *reign) fold(
	ctx context.Context, fold func(e *engine.Engine, now time.Time) (engine.Answer, error),
) (engine.Answer, error) {
	return r.send(ctx, request{fold: fold, reply: make(chan reply, 1)})
}

// ask returns the answer to a question about what is durable.
func ask[T any](ctx context.Context, r *reign, question func(e *engine.Engine) (T, error)) (T, error) {
	var answer T // a caller that has left does not look at it any more
	asked := func(e *engine.Engine) (err error) {
		answer, err = question(e)
		return err
	}
	if _, err := r.send(ctx, request{ask: asked, reply: make(chan reply, 1)}); err != nil {
		var none T
		return none, err
	}
	return answer, nil
}

func (r *reign) send(ctx context.Context, req request) (engine.Answer, error) {
	select {
	case r.requests <- req:
	case <-r.over:
		return engine.Answer{}, ErrNoLeader
	case <-ctx.Done():
		return engine.Answer{}, context.Cause(ctx)
	}
	select {
	case back := <-req.reply: // the loop answers all that it takes
		return back.answer, back.err
	case <-ctx.Done():
		return engine.Answer{}, context.Cause(ctx)
	}
}

// prove makes sure, as often as sessions beat, that this master leads, until the
// term is over: stamps of agents that came before are proven then. What a leader
// that was deposed without its knowledge heard must not count, for the next one
// has not heard it.
func (r *reign) prove(ctx context.Context) {
	beat := time.NewTicker(r.cfg.beatEvery())
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-r.hub.unproven:
		case <-r.over:
			return
		}
		proven := r.hub.proveAfter()
		if proven == nil {
			continue
		}
		if _, err := r.term.Commit(ctx, nil); err == nil { // if it leads no more, the loop hears of it
			proven()
		}
	}
}

// commitWithin is how long a commit that is under way may take when the master is
// told to end: cut off, nobody would know what became of it, and of its calls.
const commitWithin = 3 * time.Second

// run is the one loop. It returns why the term ended.
func (r *reign) run(ctx context.Context) error {
	committing, enough := outlast(ctx, commitWithin)
	defer enough()
	var proving sync.WaitGroup
	defer proving.Wait()
	proof, stop := context.WithCancel(ctx)
	defer stop()
	proving.Go(func() { r.prove(proof) })
	defer close(r.over)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.setTimer(timer)
		var err error
		select {
		case first := <-r.requests:
			err = r.step(committing, r.gather(first))
		case <-timer.C:
			err = r.step(committing, nil)
		case <-r.handOver:
			err = errHandedOver
		case <-r.term.Lost():
			err = errLost
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

func (r *reign) setTimer(timer *time.Timer) {
	due := time.Hour
	if at := r.engine.AskAgain(); !at.IsZero() {
		due = max(0, time.Until(at))
	}
	timer.Reset(due)
}

// gather takes all requests that wait, up to a bound.
func (r *reign) gather(first request) []request {
	batch := []request{first}
	for len(batch) < batchMax {
		select {
		case req := <-r.requests:
			batch = append(batch, req)
		default:
			return batch
		}
	}
	return batch
}

// step folds in a batch, commits what it changed, publishes, and then answers.
// An error ends the term. An empty batch says that time has passed.
func (r *reign) step(ctx context.Context, batch []request) error {
	began := time.Now()
	replies := make([]reply, len(batch))
	folded := 0
	for i, req := range batch {
		if req.fold == nil {
			continue
		}
		folded++
		if replies[i].answer, replies[i].err = req.fold(r.engine, began); replies[i].err != nil {
			r.metrics.refused.WithLabelValues(refusal(replies[i].err)).Inc()
		}
	}
	if folded > 0 || len(batch) == 0 {
		changes := r.engine.Take(began)
		r.metrics.steps.Observe(time.Since(began).Seconds())
		r.metrics.batch.Observe(float64(folded))
		if err := r.commit(ctx, changes); err != nil {
			for _, req := range batch {
				req.reply <- reply{err: fmt.Errorf("%w: %w", afterCommit(err), err)}
			}
			return err
		}
	}
	r.answer(ctx, batch, replies)
	return nil
}

// answer gives the replies to what was folded in, and then, because that may
// take longer, answers the questions.
func (r *reign) answer(ctx context.Context, batch []request, replies []reply) {
	for i, req := range batch {
		if req.fold != nil {
			req.reply <- replies[i]
		}
	}
	for _, req := range batch {
		if req.ask != nil {
			req.reply <- reply{err: r.protect(ctx, func() error { return req.ask(r.engine) })}
		}
	}
}

// refusal returns the word by which a refused event is counted.
func refusal(err error) string {
	switch {
	case errors.Is(err, engine.ErrUnknown):
		return "unknown"
	case errors.Is(err, engine.ErrStale):
		return "stale"
	case errors.Is(err, engine.ErrInvalid):
		return "invalid"
	case errors.Is(err, engine.ErrConflict):
		return "conflict"
	case errors.Is(err, errReplaced):
		return "replaced"
	default:
		return "other"
	}
}

// commit makes changes durable and then publishes them.
func (r *reign) commit(ctx context.Context, changes engine.Changes) error {
	revision := r.view.at()
	if len(changes.Records) > 0 {
		ops, err := operations(changes.Records)
		if err != nil {
			return err
		}
		began := time.Now()
		if revision, err = r.term.Commit(ctx, ops); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		r.metrics.commits.Observe(time.Since(began).Seconds())
	}
	r.publish(ctx, revision, changes)
	r.engine.Published(time.Now())
	return nil
}

// publish tells readers, watchers, agents and routers.
func (r *reign) publish(ctx context.Context, revision int64, changes engine.Changes) {
	for _, note := range changes.Notes {
		r.cfg.Log.DebugContext(ctx, "note", slog.String("kind", string(note.Kind)), slog.String("text", note.Text))
		if note.Kind == engine.BreakerOpened {
			over := overAgents
			if note.Service != "" {
				over = overInstances
			}
			r.metrics.opened.WithLabelValues(over).Inc()
			r.cfg.Log.WarnContext(ctx, "a breaker opened", slog.String("service", string(note.Service)), slog.String("text", note.Text))
		}
	}
	for _, change := range r.view.apply(revision, changes) {
		if t, ok := change.Record.(*engine.Task); ok && ordered(t, change.before) {
			r.hub.order(t.Claim.Agent, t.ID)
		}
	}
	for _, ended := range changes.Forget {
		r.hub.order(ended.Agent, ended.Task)
	}
	for _, agent := range changes.Agents {
		if len(r.engine.Strays(agent)) > 0 {
			r.hub.orderAll(agent) // what complete orders do not name is stopped
		}
	}
	if changes.Table != nil {
		r.hub.publishTable(*changes.Table)
	}
}

// ordered reports whether a change of a task is something for its agent to do.
func ordered(t *engine.Task, before engine.Record) bool {
	old, known := before.(*engine.Task)
	state := t.Status.State
	return (state == task.Assigned || state == task.Stopping) && (!known || old.Status.State != state)
}

// protect keeps a panic in what serves one client from ending the master.
func (r *reign) protect(ctx context.Context, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.cfg.Log.ErrorContext(ctx, "bug: a request made the master panic", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return work()
}
