package sim_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aloft-run/aloft/router/upstream"
)

// reach is the way from a router to an address, with what it knows of its silence as
// package upstream does.
type reach struct {
	c       *cluster
	run     *routerRun
	machine *machine // nil: there is none at the address
	address string
	port    int

	mu      sync.Mutex // guards all below
	waiting []*errand  // the oldest first
	heard   time.Time  // the newest answer
	within  time.Time  // when packets last came from the machine, as far as was looked
}

// errand is a request that waits for its answer.
type errand struct {
	began  time.Time
	again  bool // it may be sent again
	giveUp context.CancelCauseFunc
}

func newReach(c *cluster, run *routerRun, address string) *reach {
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	r := &reach{c: c, run: run, address: address, port: number}
	if at := slices.IndexFunc(c.machines, func(m *machine) bool { return m.address == host }); at >= 0 {
		r.machine = c.machines[at]
	}
	return r
}

// Exchange sends a request to the program that has the port, which works on it
// for as long as the header Takes says.
func (r *reach) Exchange(req *http.Request) (*http.Response, error) {
	ctx, giveUp := context.WithCancelCause(req.Context())
	defer giveUp(nil)
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body) // it is in memory
	}
	e := &errand{time.Now(), upstream.IsIdempotent(req.Method), giveUp}
	r.begin(e)
	how := upstream.Unreached // how far it has come when it is given up
	err := r.connect(ctx)
	if err == nil {
		how = upstream.Unanswered
		err = r.exchange(ctx, req)
	}
	r.end(e, err == nil)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, upstream.ErrGivenUp) && req.Context().Err() == nil {
		return nil, &upstream.Error{Reach: how, Err: cause}
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Length": {"0"}}, Body: http.NoBody, Request: req,
	}, nil
}

// exchange has the program work on a request that has come to its machine.
func (r *reach) exchange(ctx context.Context, req *http.Request) error {
	host := r.machine.hosts()
	if host == nil {
		return &upstream.Error{Reach: upstream.Unreached, Err: errRefused}
	}
	p, answers := host.listener(r.port)
	if p == nil || !answers && !host.isHung(p) {
		return &upstream.Error{Reach: upstream.Unreached, Err: errRefused}
	}
	done := r.c.obs.requested(r.run, r.address, p.key)
	defer done()
	takes, _ := time.ParseDuration(req.Header.Get("Takes")) // "" is at once
	for works := true; works; works = host.isHung(p) && host.runs(p.key) {
		if !pause(ctx, takes) {
			return &upstream.Error{Reach: upstream.Abandoned, Err: context.Cause(ctx)}
		}
		takes = time.Second
	}
	for !r.c.net.reachable(r.run.name, r.machine.name) { // nor does the end of the connection come
		if !pause(ctx, 50*time.Millisecond) {
			return &upstream.Error{Reach: upstream.Abandoned, Err: context.Cause(ctx)}
		}
	}
	if host.isHung(p) || !host.runs(p.key) || r.machine.hosts() != host {
		return &upstream.Error{Reach: upstream.Unanswered, Err: io.EOF}
	}
	return nil
}

// connect opens a connection to the machine. Behind a cut nothing comes back.
func (r *reach) connect(ctx context.Context) error {
	if !pause(ctx, time.Millisecond) || r.run.calls.Err() != nil || r.machine == nil {
		return &upstream.Error{Reach: upstream.Abandoned, Err: errRefused}
	}
	if r.c.net.reachable(r.run.name, r.machine.name) {
		return nil
	}
	began := time.Now()
	if !pause(ctx, dialWithin) {
		return &upstream.Error{Reach: upstream.Abandoned, Err: context.Cause(ctx)}
	}
	return &upstream.Error{Reach: upstream.Unreached, Err: os.ErrDeadlineExceeded, Began: began}
}

func (r *reach) begin(e *errand) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, e)
}

func (r *reach) end(e *errand, answered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = slices.DeleteFunc(r.waiting, func(other *errand) bool { return other == e })
	if answered {
		r.heard = time.Now()
	}
}

// Connect tells whether somebody listens.
func (r *reach) Connect(ctx context.Context) error {
	if r.machine == nil {
		return errRefused
	}
	if !r.c.net.reachable(r.run.name, r.machine.name) {
		<-ctx.Done()
		return os.ErrDeadlineExceeded
	}
	host := r.machine.hosts()
	if host == nil {
		return errRefused
	}
	if p, answers := host.listener(r.port); p == nil || !answers && !host.isHung(p) {
		return errRefused
	}
	return nil
}

// Sweep tells for how long requests have waited while no answer came.
func (r *reach) Sweep(now time.Time) upstream.State {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.machine != nil && r.c.net.reachable(r.run.name, r.machine.name) || r.within.IsZero() {
		r.within = now
	}
	if len(r.waiting) == 0 {
		return upstream.State{}
	}
	since := r.waiting[0].began
	if r.heard.After(since) {
		since = r.heard
	}
	return upstream.State{Silence: now.Sub(since)}
}

// Drop gives up what is lost. A connection of a sim is unheard as long as nothing comes
// from its machine.
func (r *reach) Drop(what upstream.Extent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.waiting {
		if what == upstream.Repeatable && e.again || what == upstream.Unheard && time.Since(r.within) >= unheardMax || what == upstream.All {
			e.giveUp(upstream.ErrGivenUp)
		}
	}
}

// unheardMax is for how long a connection is without a word when it is unheard.
const unheardMax = 6 * time.Second

// Close has nothing to end: no request begins after it by itself.
func (*reach) Close() {}
