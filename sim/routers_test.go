package sim_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
	"github.com/aloft-run/aloft/router/upstream"
)

// routerProcess is one router, which can die and be started again.
type routerProcess struct {
	caller

	mu  sync.Mutex // guards run
	run *routerRun // nil while it is dead
}

// routerRun is one life of the process. What it has confirmed is the observer's.
type routerRun struct {
	name  string
	lines *lines
	calls context.Context //nolint:containedctx // the life of the process
	die   context.CancelFunc
	end   context.CancelFunc
	ended chan struct{}

	killed atomic.Bool // nothing is said any more, no goodbye either

	// Guarded by the observer.
	kept      route.Table   // of the life before
	tables    []route.Table // that came
	confirmed route.Version // the newest that was
	busy      map[id.Task]bool
	flights   map[*flight]bool
	joinedAt  time.Time // when the masters came to know it, if they did not before
}

// flight is a request at an instance.
type flight struct {
	key runtime.Key
}

// start starts the process, unless it runs.
func (p *routerProcess) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		return
	}
	calls, die := context.WithCancel(context.Background())
	ctx, end := context.WithCancel(calls)
	run := &routerRun{
		name: p.name, lines: listen(), calls: calls, die: die, end: end, ended: make(chan struct{}),
		flights: make(map[*flight]bool),
	}
	r, err := router.New(router.Config{
		ID: id.Router(p.name), Listener: run.lines, StateFile: filepath.Join(p.c.dir, p.name+".json"),
		HoldDefault: 5 * time.Second, ShutdownGrace: 5 * time.Second,
		Reach: func(address string) router.Upstream { return &reach{c: p.c, run: run, address: address} },
	}, p)
	if err != nil {
		panic(err) // its state file is its own
	}
	run.kept, _ = r.Table()
	p.run = run
	p.c.obs.routerUp(run)
	p.c.alive.Go(func() {
		defer close(run.ended)
		_ = r.Run(ctx)
		die()
		p.c.obs.routerDown(run)
		p.mu.Lock()
		if p.run == run {
			p.run = nil
		}
		p.mu.Unlock()
	})
}

// kill ends the process with all its requests.
func (p *routerProcess) kill() {
	p.mu.Lock()
	run := p.run
	p.run = nil
	p.mu.Unlock()
	if run != nil {
		p.c.obs.routerDown(run)
		run.killed.Store(true)
		run.die()
		run.lines.hangUp()
		<-run.ended
	}
}

// stop ends the process as SIGTERM does.
func (p *routerProcess) stop() {
	if run := p.now(); run != nil {
		p.c.obs.harmed(10 * time.Second) // who asks for longer than the grace is cut off
		run.end()
	}
}

func (p *routerProcess) now() *routerRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

func (p *routerProcess) gets(table route.Table) {
	if run := p.now(); run != nil {
		p.c.obs.tabled(run, table)
	}
}

func (p *routerProcess) confirms(said route.Confirmation) {
	if run := p.now(); run != nil {
		p.c.obs.confirmed(run, said)
	}
}

// reach is the way from a router to an address.
type reach struct {
	c       *cluster
	run     *routerRun
	address string
}

// Exchange sends a request to the program that has the port, which works on it
// for as long as the header Takes says.
func (r *reach) Exchange(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body) // it is in memory
	}
	if !pause(ctx, time.Millisecond) || r.run.calls.Err() != nil {
		return nil, &upstream.Error{Reach: upstream.Abandoned, Err: errRefused}
	}
	host, at := r.c.at(r.address)
	if host == nil {
		return nil, &upstream.Error{Reach: upstream.Unreached, Err: errRefused}
	}
	p, answers := host.listener(at)
	if p == nil || !answers && !host.isHung(p) {
		return nil, &upstream.Error{Reach: upstream.Unreached, Err: errRefused}
	}
	done := r.c.obs.requested(r.run, r.address, p.key)
	defer done()
	takes, _ := time.ParseDuration(req.Header.Get("Takes")) // "" is at once
	for works := true; works; works = host.isHung(p) && host.runs(p.key) {
		if !pause(ctx, takes) {
			return nil, &upstream.Error{Reach: upstream.Abandoned, Err: context.Cause(ctx)}
		}
		takes = time.Second
	}
	if host.isHung(p) || !host.runs(p.key) || r.c.hostOf(r.address) != host {
		return nil, &upstream.Error{Reach: upstream.Unanswered, Err: io.EOF}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Length": {"0"}}, Body: http.NoBody, Request: req,
	}, nil
}

// Connect tells whether somebody listens.
func (r *reach) Connect(context.Context) error {
	host, at := r.c.at(r.address)
	if host == nil {
		return errRefused
	}
	if p, answers := host.listener(at); p == nil || !answers && !host.isHung(p) {
		return errRefused
	}
	return nil
}

func (*reach) Sweep(time.Time) upstream.State { return upstream.State{} } // it keeps no connection
func (*reach) Drop(bool)                      {}
func (*reach) Close()                         {}

// at returns what runs on the machine of an address, and the port.
func (c *cluster) at(address string) (*programs, int) {
	_, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	return c.hostOf(address), number
}

func (c *cluster) hostOf(address string) *programs {
	host, _, _ := net.SplitHostPort(address)
	for _, m := range c.machines {
		if m.address == host {
			return m.hosts()
		}
	}
	return nil
}

// lines are a listener whose connections are in memory.
type lines struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once

	mu   sync.Mutex // guards ends
	ends []net.Conn
}

func listen() *lines { return &lines{incoming: make(chan net.Conn), closed: make(chan struct{})} }

func (l *lines) Accept() (net.Conn, error) {
	select {
	case conn := <-l.incoming:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *lines) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// hangUp breaks all connections, as the death of the process does.
func (l *lines) hangUp() {
	_ = l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, end := range l.ends {
		_ = end.Close()
	}
	l.ends = nil
}

func (*lines) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (l *lines) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.incoming <- there:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ends = append(l.ends, there)
		return here, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// clients send requests through a router until ctx is done.
func (c *cluster) clients(ctx context.Context, through *routerProcess) {
	draw := c.net.source("clients of " + through.name)
	var asking sync.WaitGroup
	defer asking.Wait()
	for pause(ctx, 100*time.Millisecond+time.Duration(draw.Int64N(int64(500*time.Millisecond)))) {
		ask := question{
			service: fmt.Sprintf("s%d", 1+draw.IntN(3)), method: []string{"GET", "GET", "POST"}[draw.IntN(3)],
			takes: []time.Duration{0, 100 * time.Millisecond, time.Second, 3 * time.Second, 8 * time.Second}[draw.IntN(5)],
		}
		if run := through.now(); run != nil {
			asking.Go(func() { c.ask(ctx, run, ask) })
		}
	}
}

// question is a request of a client.
type question struct {
	service string
	method  string
	takes   time.Duration
}

// ask sends a request and has the laws judge the answer.
func (c *cluster) ask(ctx context.Context, run *routerRun, q question) {
	began := time.Now()
	status, reason, err := q.ask(ctx, run)
	if ctx.Err() == nil && run.calls.Err() == nil {
		c.obs.answered(run, q, began, status, reason, err)
	}
}

func (q question) ask(ctx context.Context, run *routerRun) (status int, reason router.Reason, err error) {
	conn, err := run.lines.dial(ctx)
	if err != nil {
		return 0, "", errRefused
	}
	defer conn.Close() //nolint:errcheck // nothing more is said on it
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, err = fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: %s.sim\r\nTakes: %v\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", q.method, q.service, q.takes)
	if err != nil {
		return 0, "", err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", errors.Join(errors.New("no answer"), err)
	}
	defer res.Body.Close() //nolint:errcheck // its connection is closed
	return res.StatusCode, router.Reason(res.Header.Get(router.ReasonHeader)), nil
}
