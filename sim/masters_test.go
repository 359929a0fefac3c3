package sim_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/master"
	"github.com/aloft-run/aloft/store/memory"
)

var errStoreBroken = errors.New("the store's answer did not come")

// masterProcess is a master that can die and be started again.
type masterProcess struct {
	c    *cluster
	name string

	mu       sync.Mutex // guards all below
	run      *masterRun // nil while it is dead
	frozenBy int        // faults that part it from the store
	isolated int        // those of them of which it knows nothing
}

// masterRun is one life of the process.
type masterRun struct {
	master *master.Master
	member *memory.Member
	calls  context.Context //nolint:containedctx // the life of the process
	die    context.CancelFunc
	end    context.CancelFunc // as SIGTERM does
	lines  *lines             // on which all others reach it
	made   *conns             // to other masters
	api    http.Handler
	served sync.WaitGroup
}

// start starts the process, unless it runs.
func (p *masterProcess) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		return
	}
	member := p.c.store.Join()
	made := &conns{}
	m, err := master.New(master.Config{
		ID: p.name, Advertise: "http://" + p.name + ":7117", Registerer: prometheus.NewRegistry(),
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return made.made(p.c.dialMaster(ctx, p.name, address))
		},
	}, member)
	if err != nil {
		panic(err) // the config is always the same
	}
	calls, die := context.WithCancel(context.Background())
	ctx, end := context.WithCancel(calls)
	r := &masterRun{
		master: m, member: member, lines: listen(), made: made, calls: calls, die: die, end: end,
		api: m.Handler(http.NotFoundHandler()),
	}
	p.run = r
	r.served.Go(func() { _ = master.Serve(calls, slog.New(slog.DiscardHandler), r.lines, r.api) })
	p.c.alive.Go(func() {
		_ = m.Run(ctx)
		r.die()
		r.hangUp()
		p.mu.Lock()
		if p.run == r {
			p.run = nil
		}
		p.mu.Unlock()
		r.served.Wait()
		_ = r.member.Close()
	})
	for range p.frozenBy {
		member.Cut()
	}
}

// kill ends the process as SIGKILL does: its lease runs out by itself.
func (p *masterProcess) kill() {
	p.mu.Lock()
	r := p.run
	p.run = nil
	p.mu.Unlock()
	if r != nil {
		r.member.Cut()
		r.hangUp()
		r.die()
	}
}

// hangUp breaks all connections, as the end of the process does.
func (r *masterRun) hangUp() {
	r.lines.hangUp()
	r.made.hangUp(false)
}

// dialMaster connects to the master of an address.
func (c *cluster) dialMaster(ctx context.Context, from, address string) (net.Conn, error) {
	name, _, _ := net.SplitHostPort(address)
	return c.net.dial(ctx, from, name, func() *lines {
		if r := c.master(name).now(); r != nil {
			return r.lines
		}
		return nil
	})
}

// stop ends the process as SIGTERM does.
func (p *masterProcess) stop() {
	if r := p.now(); r != nil {
		r.end()
	}
}

// now returns the life of now; nil while it is dead.
func (p *masterProcess) now() *masterRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// freeze parts the process from the store, as if it were stopped or its machine
// cut off, until thaw.
func (p *masterProcess) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozenBy++; p.run != nil && p.frozenBy == 1 {
		p.run.member.Cut()
	}
}

// isolate parts the process from the store without its knowledge, until rejoin.
func (p *masterProcess) isolate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozenBy++
	if p.isolated++; p.run != nil {
		p.run.member.Halt()
	}
}

func (p *masterProcess) rejoin() {
	p.mu.Lock()
	p.isolated--
	p.mu.Unlock()
	p.thaw()
}

// away reports whether operators cannot reach the process.
func (p *masterProcess) away() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isolated > 0
}

func (p *masterProcess) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozenBy--; p.run != nil && p.frozenBy == 0 {
		p.run.member.Heal()
	}
}

// api returns a client of the process's API, without a network between.
func (p *masterProcess) api() aloftv1connect.ClusterServiceClient {
	return aloftv1connect.NewClusterServiceClient(&http.Client{Transport: p}, "http://"+p.name, connect.WithProtoJSON())
}

// RoundTrip is a call of the API. One whose process dies gets no answer.
func (p *masterProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	type answer struct {
		recorded *httptest.ResponseRecorder
		died     bool
	}
	answers := make(chan answer, 1)
	r := p.now()
	if r == nil || p.away() {
		return nil, errRefused
	}
	p.c.alive.Go(func() {
		ctx, stop := context.WithCancel(req.Context())
		defer stop()
		context.AfterFunc(r.calls, stop)
		recorded := httptest.NewRecorder()
		r.api.ServeHTTP(recorded, req.WithContext(ctx))
		answers <- answer{recorded, r.calls.Err() != nil}
	})
	got := <-answers
	if got.died {
		return nil, errors.New("the connection was lost")
	}
	return got.recorded.Result(), nil
}

// trouble is what the store does to its members. The cluster's loop sets it.
type trouble struct {
	c *cluster

	mu      sync.Mutex // guards all below
	slow    time.Duration
	upset   map[int]string // by the number of the commit from now on: what becomes of it
	commits int
}

// upsets are what can become of a commit.
const (
	upsetLost     = "lost"     // it does not reach the store
	upsetUnheard  = "unheard"  // it is done, and the answer is lost
	upsetDeposed  = "deposed"  // the term ends just before
	upsetLate     = "late"     // its answer is lost, and it comes three seconds later
	upsetReplaced = "replaced" // the term ends just after, and the answer is lost
)

// fate is the store's memory.Config.Fault.
func (t *trouble) fate(call memory.Call) memory.Fate {
	t.mu.Lock()
	slow, upset := t.slow, ""
	if call.Kind == memory.Commit && len(call.Ops) > 0 {
		t.commits++
		upset = t.upset[t.commits]
		delete(t.upset, t.commits)
	}
	t.mu.Unlock()
	fate := memory.Fate{Delay: 200*time.Microsecond + slow}
	if upset != "" {
		t.c.obs.tell("the store: commit %s", upset)
	}
	switch upset {
	case upsetLost:
		fate.Err = errStoreBroken
	case upsetLate:
		fate.Err, fate.Late = errStoreBroken, 3*time.Second
	case upsetUnheard:
		fate.Err, fate.Done = errStoreBroken, true
	case upsetDeposed:
		t.c.store.Depose()
	case upsetReplaced:
		fate.Err, fate.Done = errStoreBroken, true
		time.AfterFunc(fate.Delay, t.c.store.Depose)
	}
	return fate
}

// set makes the store slow.
func (t *trouble) set(slow time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slow = slow
}

// plan has something become of a commit to come.
func (t *trouble) plan(in int, upset string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.upset[t.commits+in] = upset
}

// calm forgets all that was planned.
func (t *trouble) calm() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slow = 0
	clear(t.upset)
}
