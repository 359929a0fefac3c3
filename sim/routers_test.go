package sim_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/router"
)

// routerProcess is one router, which can die and be started again.
type routerProcess struct {
	c    *cluster
	name string

	mu  sync.Mutex // guards run
	run *routerRun // nil while it is dead
}

// routerRun is one life of the process. What it has confirmed is the observer's.
type routerRun struct {
	*caller
	lines *lines
	calls context.Context //nolint:containedctx // the life of the process
	die   context.CancelFunc
	end   context.CancelFunc
	ended chan struct{}

	// Guarded by the observer.
	kept      route.Table   // of the life before
	tables    []route.Table // that came
	confirmed route.Version // the newest that was
	busy      map[id.Task]bool
	flights   map[*flight]bool
	joinedAt  time.Time             // when the masters came to know it, if they did not before
	served    map[id.Task]time.Time // since when a table has it
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
		caller: p.c.caller(p.name, nil), lines: listen(), calls: calls, die: die, end: end, ended: make(chan struct{}),
		flights: make(map[*flight]bool), served: make(map[id.Task]time.Time),
	}
	r, err := router.New(router.Config{
		ID: id.Router(p.name), Listener: run.lines, StateFile: filepath.Join(p.c.dir, p.name+".json"),
		HoldDefault: 5 * time.Second, ShutdownGrace: 5 * time.Second,
		Reach: func(address string) router.Upstream { return newReach(p.c, run, address) },
	}, run)
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
		run.made.hangUp(false)
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
		run.made.hangUp(false) // it says nothing more, no goodbye either
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
	return here, l.offer(ctx, there)
}

// offer has the listener accept the far end of a connection.
func (l *lines) offer(ctx context.Context, there net.Conn) error {
	select {
	case l.incoming <- there:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ends = append(l.ends, there)
		return nil
	case <-l.closed:
		return syscall.ECONNREFUSED
	case <-ctx.Done():
		return context.Cause(ctx)
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
