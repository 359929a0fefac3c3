package sim_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"syscall"
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
	frozenBy int
}

// masterRun is one life of the process.
type masterRun struct {
	master *master.Master
	member *memory.Member
	calls  context.Context //nolint:containedctx // the life of the process
	die    context.CancelFunc
	end    context.CancelFunc // as SIGTERM does
	lines  *lines             // on which other masters reach it
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
	m, err := master.New(master.Config{
		ID: p.name, Advertise: "http://" + p.name + ":7117", Dial: p.c.dialMaster, Registerer: prometheus.NewRegistry(),
	}, member)
	if err != nil {
		panic(err) // the config is always the same
	}
	calls, die := context.WithCancel(context.Background())
	ctx, end := context.WithCancel(calls)
	r := &masterRun{master: m, member: member, lines: listen(), calls: calls, die: die, end: end}
	p.run = r
	r.served.Go(func() { _ = master.Serve(calls, r.lines, m.Handler(http.NotFoundHandler())) })
	p.c.alive.Go(func() {
		_ = m.Run(ctx)
		r.die()
		r.lines.hangUp()
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
		r.die()
		r.lines.hangUp()
	}
}

// dialMaster is how masters reach each other.
func (c *cluster) dialMaster(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	if !pause(ctx, time.Millisecond) {
		return nil, context.Cause(ctx)
	}
	p := c.master(host)
	p.mu.Lock()
	r, frozen := p.run, p.frozenBy > 0
	p.mu.Unlock()
	switch {
	case frozen:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case r == nil:
		return nil, syscall.ECONNREFUSED
	}
	return r.lines.dial(ctx)
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

// serve runs what serves one session, and reports whether there is a process for
// that.
func (p *masterProcess) serve(work func(ctx context.Context, m *master.Master)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return false
	}
	r := p.run
	r.served.Go(func() { work(r.calls, r.master) })
	return true
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
	serving := p.serve(func(process context.Context, m *master.Master) {
		ctx, stop := context.WithCancel(req.Context())
		defer stop()
		context.AfterFunc(process, stop)
		recorded := httptest.NewRecorder()
		m.Handler(http.NotFoundHandler()).ServeHTTP(recorded, req.WithContext(ctx)) //nolint:contextcheck // the call is the client's, the process only bounds it
		answers <- answer{recorded, process.Err() != nil}
	})
	if !serving {
		return nil, errRefused
	}
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
