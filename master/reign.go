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
	"github.com/aloft-run/aloft/store"
)

// batchMax bounds how many events one commit carries, wordsMax how many of them are
// words of agents, and joinsMax how many agents may wait for their join to be durable:
// when all agents of a large cluster come or go at once, calls shall not wait for them.
// No more than comingMax of them are about to say what they have at one time, and more
// while the leader is new (rushPlaces): what there is then is known from them alone.
// So it is with deployments that ask for largeFrom tasks or more, and largeMax.
const (
	batchMax  = 4096
	wordsMax  = 1_000
	joinsMax  = 2_000
	comingMax = 120
	rushLeast = 300
	rushMax   = 600
	largeFrom = 1_000
	largeMax  = 2
)

// reign is the time in which this master leads: the engine, owned by run, and
// what is published of it.
type reign struct {
	cfg      Config
	term     *store.Term
	engine   *engine.Engine // owned by run
	view     *view
	hub      *hub
	specs    toldSpecs
	asker    *confirmer
	pace     *pace
	metrics  *metrics
	requests chan request
	words    chan request // of agents: requests go before them
	awaited  chan request // words that do not stand behind all others
	crew     crew
	vigils   vigils
	entered  chan struct{} // holds as many as calls may wait
	door     *door
	joining  chan struct{} // holds as many as may wait at one time for their join to be durable
	large    chan struct{} // the same for large deployments
	handOver chan struct{} // ends the term, so that another master leads
	over     chan struct{} // closed when run has returned
	recalled chan struct{} // closed when watches of earlier terms may resume, unless the term was over before

	recallNow chan struct{} // holds one signal: a watch wants to
	loaded    int           // records
	answered  chan struct{} // closed when a call of the API has its answer
	answer    func()        // closes it
	since     time.Time
}

// request is a step of the cluster, or a question about it, with the way back.
// Both run in the loop; neither may keep the engine, or wait for anything.
type request struct {
	fold func(e *engine.Engine, now time.Time) (engine.Answer, error)
	ask  func(e *engine.Engine) error // instead of fold
	api  bool                         // it is a call: what that is told must be of a master that leads
	word bool                         // of an agent, who does not mind a moment
	back chan reply                   // holds the one reply
}

type reply struct {
	answer engine.Answer
	err    error
}

// call is a request that was folded in, with the reply that it gets once that is
// durable.
type call struct {
	request
	reply
}

// submit has the loop fold in an event. After ErrNoLeader it was not folded in,
// after errInDoubt it may have been or not.
func (r *reign) submit(ctx context.Context, event engine.Event) (engine.Answer, error) {
	leave, err := r.enter()
	if err != nil {
		return engine.Answer{}, err
	}
	defer leave()
	if isLarge(event) {
		done, err := takeTurn(ctx, r.over, r.large)
		if err != nil {
			return engine.Answer{}, err
		}
		defer done()
	}
	return r.send(ctx, r.requests, request{
		api:  true,
		fold: func(e *engine.Engine, now time.Time) (engine.Answer, error) { return e.Step(event, now) },
	})
}

// isLarge reports whether an event asks for very many tasks.
func isLarge(event engine.Event) bool {
	tasks := 0
	switch v := event.(type) {
	case engine.Deploy:
		for _, s := range v.Specs {
			tasks += s.Spec.Instances
		}
	case engine.Scale:
		tasks = v.Instances
	}
	return tasks >= largeFrom
}

// takeTurn waits until there is room among turns, which the caller gives back. Another
// call of done does nothing.
func takeTurn(ctx context.Context, over <-chan struct{}, turns chan struct{}) (done func(), err error) {
	select {
	case turns <- struct{}{}:
		return sync.OnceFunc(func() { <-turns }), nil
	case <-over:
		return nil, ErrNoLeader
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// enter counts a call of the API in, or refuses it when too many wait. Sessions are
// not counted: each waits for one report at most.
func (r *reign) enter() (leave func(), err error) {
	select {
	case r.entered <- struct{}{}:
		return func() {
			<-r.entered
			r.answer()
		}, nil
	default:
		return nil, errBusy
	}
}

// fold is submit for an event that depends on what the loop alone can tell.
func (r *reign) fold(
	ctx context.Context, fold func(e *engine.Engine, now time.Time) (engine.Answer, error),
) (engine.Answer, error) {
	return r.send(ctx, r.requests, request{fold: fold})
}

// hear is fold for what agents say, and what is said of them.
func (r *reign) hear(
	ctx context.Context, fold func(e *engine.Engine, now time.Time) (engine.Answer, error),
) (engine.Answer, error) {
	return r.send(ctx, r.words, request{fold: fold, word: true})
}

// hearReport is hear for a report of an agent, whose word may be awaited.
func (r *reign) hearReport(ctx context.Context, link *agentLink, report engine.AgentReported) (engine.Answer, error) {
	to := r.words
	if link.isAwaited() {
		to = r.awaited
	}
	return r.send(ctx, to, request{word: true, fold: func(e *engine.Engine, now time.Time) (engine.Answer, error) {
		if r.hub.link(link.agent) != link {
			return engine.Answer{}, errReplaced // what it says may be older than what the newer session said
		}
		return e.Step(report, now)
	}})
}

// ask returns the answer to a question about what is durable.
func ask[T any](ctx context.Context, r *reign, question func(e *engine.Engine) (T, error)) (T, error) {
	var answer, none T // a caller that has left does not look at the answer any more
	leave, err := r.enter()
	if err != nil {
		return none, err
	}
	defer leave()
	asked := func(e *engine.Engine) (err error) {
		answer, err = question(e)
		return err
	}
	if _, err := r.send(ctx, r.requests, request{ask: asked}); err != nil {
		return none, err
	}
	return answer, nil
}

func (r *reign) send(ctx context.Context, to chan<- request, req request) (engine.Answer, error) {
	req.back = make(chan reply, 1)
	select {
	case to <- req:
	case <-r.over:
		return engine.Answer{}, ErrNoLeader
	case <-ctx.Done():
		return engine.Answer{}, context.Cause(ctx)
	}
	select {
	case back := <-req.back: // the loop answers all that it takes
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

// run owns the cluster until the term ends, and returns why it did. The last group
// that was handed on has its answers then.
func (r *reign) run(ctx context.Context) error {
	longer, enough := outlast(ctx, commitWithin)
	defer enough()
	var proving, committing sync.WaitGroup
	defer proving.Wait()
	proof, stop := context.WithCancel(ctx)
	defer stop()
	proving.Go(func() { r.prove(proof) })
	proving.Go(func() { r.tellWaiting(proof) })
	defer func() {
		close(r.over)
		r.hub.endAgents(ErrNoLeader)
	}()
	c := commits{groups: make(chan *group), told: make(chan told, 1), broken: make(chan error, 1)}
	committing.Go(func() { r.commitAll(longer, c) })
	defer committing.Wait()
	defer close(c.groups)
	return r.loop(ctx, c)
}

// loop is the one that owns the engine. It folds in what comes and hands it on in
// groups. While one is being committed the next one is planned, and what is asked for
// meanwhile is folded in already; so a group is as large as commits are slow.
func (r *reign) loop(ctx context.Context, c commits) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var in gathered
	var next *group // waits until the one before is durable
	defer func() {
		next.refuse(ErrNoLeader) // nothing of it was written
		refuse(in.calls, ErrNoLeader)
	}()
	for {
		if next == nil && len(in.calls) > 0 {
			next, in = r.plan(ctx, in.calls), gathered{before: in.words}
		}
		requests, words, awaited, out, due := r.requests, r.words, r.awaited, c.groups, timer.C
		if in.full() {
			requests = nil
		}
		if in.heard() {
			words, awaited = nil, nil
		}
		if next == nil {
			out = nil
			r.setTimer(timer)
		} else {
			due = nil
		}
		select {
		case first := <-requests:
			in.gather(r, first)
		case first := <-words:
			in.gather(r, first)
		case first := <-awaited:
			in.gather(r, first)
		case out <- next:
			next, in.before = nil, 0
		case <-due:
			next = r.plan(ctx, nil)
		case t := <-c.told:
			r.engine.Published(t.batch, t.at)
		case err := <-c.broken:
			return err
		case <-r.handOver:
			return errHandedOver
		case <-r.term.Lost():
			return errLost
		case <-ctx.Done():
			return context.Cause(ctx)
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

// gathered is what was folded in since the newest group was planned.
type gathered struct {
	calls  []call
	words  int // of them
	before int // words of that group, until it is handed on
}

func (g *gathered) full() bool { return len(g.calls) >= batchMax }

// heard reports whether no more words may be folded in: a call that comes would have to
// wait until they all are durable.
func (g *gathered) heard() bool { return g.full() || g.before+g.words >= wordsMax }

// gather folds in all that waits, up to its bounds. Requests go before words.
func (g *gathered) gather(r *reign, first request) {
	now := time.Now()
	g.add(r, first, now)
	for !g.full() {
		select {
		case req := <-r.requests:
			g.add(r, req, now)
			continue
		default:
		}
		if g.heard() {
			return
		}
		select { // each time either may be the one: a word that is awaited is soon folded in, and none waits for ever
		case req := <-r.awaited:
			g.add(r, req, now)
		case req := <-r.words:
			g.add(r, req, now)
		default:
			return
		}
	}
}

func (g *gathered) add(r *reign, req request, now time.Time) {
	if req.word {
		g.words++
	}
	g.calls = append(g.calls, r.begin(req, now))
}

// begin folds in one request. A question waits for the plan.
func (r *reign) begin(req request, now time.Time) call {
	c := call{request: req}
	if req.fold == nil {
		return c
	}
	if c.answer, c.err = req.fold(r.engine, now); c.err != nil {
		r.metrics.refused.WithLabelValues(refusal(c.err)).Inc()
	}
	return c
}

// plan takes what follows from what was folded in, and the answers to questions.
// Without calls it is asked because time has passed, and returns nil if nothing
// changed.
func (r *reign) plan(ctx context.Context, calls []call) *group {
	began, folded := time.Now(), 0
	for _, c := range calls {
		if c.fold != nil {
			folded++
		}
	}
	g := &group{calls: calls}
	if folded > 0 || len(calls) == 0 {
		g.changes = r.engine.Take(began)
		r.metrics.steps.Observe(time.Since(began).Seconds())
		r.metrics.batch.Observe(float64(folded))
	}
	for _, agent := range g.changes.Agents {
		if len(r.engine.Strays(agent)) > 0 {
			g.strays = append(g.strays, agent)
		}
	}
	for i := range calls {
		if c := &calls[i]; c.ask != nil {
			c.err = r.protect(ctx, func() error { return c.ask(r.engine) })
		}
	}
	if len(calls) == 0 && g.changes.Empty() {
		return nil
	}
	return g
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
