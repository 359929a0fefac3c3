package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// batchMax bounds how many events one commit carries.
const batchMax = 4096

// reign is the time in which this master leads: the engine, owned by run, and
// what is published of it.
type reign struct {
	cfg      Config
	term     *store.Term
	engine   *engine.Engine // owned by run
	view     *view
	hub      *hub
	metrics  *metrics
	requests chan request
	over     chan struct{} // closed when run has returned
	since    time.Time
}

// request is an event, or a question to the engine, with the way back.
type request struct {
	event engine.Event
	ask   func(*engine.Engine) // instead of event; runs in the loop and must not keep the engine
	reply chan reply           // holds the one reply
}

type reply struct {
	answer engine.Answer
	err    error
}

// load builds the cluster from the store.
func load(ctx context.Context, cfg Config, metrics *metrics, term *store.Term) (*reign, error) {
	var records []engine.Record
	var revision int64
	for _, prefix := range wire.Prefixes() {
		at, err := term.Load(ctx, prefix, func(key string, value []byte) error {
			record, err := wire.Unmarshal(value)
			if err != nil {
				return fmt.Errorf("record %s: %w", key, err)
			}
			records = append(records, record)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", prefix, err)
		}
		revision = max(revision, at)
	}
	now := time.Now()
	e := engine.New(engine.Config{Epoch: term.Epoch(), Zones: time.LoadLocation})
	if err := e.Load(slices.Values(records)); err != nil {
		return nil, fmt.Errorf("load the cluster: %w", err)
	}
	r := &reign{
		cfg: cfg, term: term, engine: e, metrics: metrics, since: now,
		view:     newView(cfg, records, revision),
		hub:      newHub(term.Epoch()),
		requests: make(chan request),
		over:     make(chan struct{}),
	}
	r.hub.publishTable(e.Table())
	return r, nil
}

// submit has the loop fold in an event. After ErrNoLeader the event may have
// been folded in or not.
func (r *reign) submit(ctx context.Context, event engine.Event) (engine.Answer, error) {
	return r.send(ctx, request{event: event, reply: make(chan reply, 1)})
}

// ask runs question in the loop, between two batches.
func (r *reign) ask(ctx context.Context, question func(*engine.Engine)) error {
	_, err := r.send(ctx, request{ask: question, reply: make(chan reply, 1)})
	return err
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
	case back := <-req.reply:
		return back.answer, back.err
	case <-r.over:
		return engine.Answer{}, ErrNoLeader
	case <-ctx.Done():
		return engine.Answer{}, context.Cause(ctx)
	}
}

// run is the one loop. It returns why the term ended.
func (r *reign) run(ctx context.Context) error {
	defer close(r.over)
	defer r.hub.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		r.setTimer(timer)
		var err error
		select {
		case first := <-r.requests:
			err = r.step(ctx, r.gather(first))
		case <-timer.C:
			err = r.step(ctx, []request{{event: engine.Tick{}, reply: make(chan reply, 1)}})
		case <-r.term.Lost():
			err = errors.New("the term was lost")
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

// step folds in a batch, commits what it changed, answers and publishes. An
// error ends the term.
func (r *reign) step(ctx context.Context, batch []request) error {
	began := time.Now()
	replies := make([]reply, len(batch))
	for i, req := range batch {
		if req.ask != nil {
			req.ask(r.engine)
			continue
		}
		replies[i].answer, replies[i].err = r.engine.Step(req.event, began)
	}
	changes := r.engine.Take(began)
	r.metrics.steps.Observe(time.Since(began).Seconds())
	r.metrics.batch.Observe(float64(len(batch)))
	if err := r.commit(ctx, changes); err != nil {
		for _, req := range batch {
			req.reply <- reply{err: fmt.Errorf("%w: the outcome is not known: %v", ErrNoLeader, err)}
		}
		return err
	}
	for i, req := range batch {
		req.reply <- replies[i]
	}
	return nil
}

// commit makes changes durable and then publishes them.
func (r *reign) commit(ctx context.Context, changes engine.Changes) error {
	revision := r.view.at()
	if len(changes.Records) > 0 {
		ops := make([]store.Op, 0, len(changes.Records))
		for _, change := range changes.Records {
			op := store.Op{Key: wire.StoreKey(change.Key), Delete: change.Record == nil}
			if change.Record != nil {
				value, err := wire.Marshal(change.Record)
				if err != nil {
					return fmt.Errorf("record %s: %w", op.Key, err)
				}
				op.Value = value
			}
			ops = append(ops, op)
		}
		began := time.Now()
		committed, err := r.term.Commit(ctx, ops)
		if err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		r.metrics.commits.Observe(time.Since(began).Seconds())
		revision = committed
	}
	r.publish(ctx, revision, changes)
	return nil
}

// publish tells readers, agents, routers and watchers.
func (r *reign) publish(ctx context.Context, revision int64, changes engine.Changes) {
	for _, note := range changes.Notes {
		r.cfg.Log.DebugContext(ctx, "note", slog.String("kind", string(note.Kind)), slog.String("text", note.Text))
	}
	r.view.apply(revision, changes)
	for _, change := range changes.Records {
		if t, ok := change.Record.(*engine.Task); ok && t.Claim.Agent != "" {
			r.hub.order(t.Claim.Agent, t.ID)
		}
	}
	for _, ended := range changes.Forget {
		r.hub.order(ended.Agent, ended.Task)
	}
	if changes.Table != nil {
		r.hub.publishTable(*changes.Table)
	}
}
