// Package upstream speaks HTTP/1.1 with one instance over connections that it
// keeps alive, and knows, when an exchange fails, how far the request got.
//
// The law: a request is reported as Unread only when the instance cannot have
// acted on it, because its kernel had nothing of the request when the instance
// closed the connection. All doubt is reported as Unanswered. And so that doubt
// is rare, a request that must not be sent twice goes only over a connection
// that is new, or idle for less than half the time for which this instance was
// seen to keep one open.
//
// net/http's Transport does not serve here: it tells these cases apart neither
// before it picks a connection nor after one broke.
package upstream

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aloft-run/aloft/poller"
)

// Config is what a pool is made with. Zero fields get their defaults.
type Config struct {
	Address        string        // host:port of the instance
	DialTimeout    time.Duration // default 2s
	AnswerTimeout  time.Duration // from the end of the request to the head of the answer; default: none
	MachineTimeout time.Duration // after which a connection is broken whose other kernel acknowledges nothing; default: the kernel's, which is many minutes
	IdleTimeout    time.Duration // how long a connection is kept without use; default 30s
	IdleConnsMax   int           // default 512
	HeaderBytesMax int64         // of an answer; default 1 MiB
	// Senders is joined by the goroutines that send streamed bodies, so that the
	// owner of several pools can wait for all. Each ends when its request's body
	// does. Default: a group of the pool's own.
	Senders *sync.WaitGroup
	Loop    *poller.Loop // has the connections that strands use; default: none, and goroutines wait for them
}

func (c Config) withDefaults() Config {
	if c.DialTimeout == 0 {
		c.DialTimeout = 2 * time.Second
	}
	if c.IdleTimeout == 0 {
		c.IdleTimeout = 30 * time.Second
	}
	if c.IdleConnsMax == 0 {
		c.IdleConnsMax = 512
	}
	if c.HeaderBytesMax == 0 {
		c.HeaderBytesMax = 1 << 20
	}
	if c.Senders == nil {
		c.Senders = new(sync.WaitGroup)
	}
	return c
}

// Pool is the connections to one instance. It is safe for concurrent use.
type Pool struct {
	cfg Config

	mu      sync.Mutex
	idle    []*conn // the one idle for the shortest time is last
	trust   trust
	closed  bool
	waiting waiting
}

// New returns a pool without connections.
func New(cfg Config) *Pool {
	return &Pool{cfg: cfg.withDefaults(), trust: newTrust()}
}

// Exchange sends the request and returns the answer once its head has come. The
// caller must read the answer's body to its end or close it. An error is always
// an *Error. The request's body is read once and never closed; a request with a
// body is held for repeatable when GetBody is set.
func (p *Pool) Exchange(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	c, failure := p.take(ctx, isRepeatable(req), IsIdempotent(req.Method))
	if failure != nil {
		return nil, failure
	}
	res, failure := newExchange(p, c, req).run(ctx)
	if failure != nil {
		p.failed(c, failure)
		return nil, failure
	}
	return res, nil
}

// failed ends a connection with the failure of the exchange on it.
func (p *Pool) failed(c *conn, failure *Error) {
	c.close()
	if c.reused && c.closedIdle(failure.Reach) {
		p.distrust(c)
	}
}

// Connect tells whether the instance accepts a connection. The connection is kept
// for the next request, if none is.
func (p *Pool) Connect(ctx context.Context) error {
	c, err := p.dial(ctx, false)
	if err != nil {
		return err
	}
	if p.Idle() > 0 {
		c.close()
	} else {
		p.put(c)
	}
	return nil
}

// take returns an idle connection that suits the request, or a new one.
func (p *Pool) take(ctx context.Context, repeatable, idempotent bool) (*conn, *Error) {
	for {
		c := p.pop(repeatable, idempotent, nil)
		if c == nil {
			return p.openFor(ctx, false)
		}
		if c.alive() {
			return c, nil
		}
		c.close()
		p.distrust(c)
	}
}

// pop takes the connection that was idle for the shortest time of those that suit best,
// unless even that is too long for the request. A message that is to be relayed waits on it
// from now on.
func (p *Pool) pop(repeatable, idempotent bool, relayed *Message) *conn {
	if !repeatable {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.suiting(relayed)
	if at < 0 {
		return nil
	}
	c := p.idle[at]
	// The time is not from before the lock, or it could be idle for less than no time.
	if !idempotent && time.Since(c.idleSince) >= p.trust.limit() {
		return nil
	}
	p.idle = slices.Delete(p.idle, at, at+1)
	if c.reused = true; relayed != nil {
		p.waiting.add(c.relay(p, relayed))
	}
	return c
}

// suiting returns where the idle connection is that suits best, or -1. A strand needs one
// that the loop has. Goroutines had better leave those to strands. The caller holds mu.
func (p *Pool) suiting(relayed *Message) (at int) {
	at = -1
	strand := relayed != nil && relayed.Strand != nil
	for i, c := range slices.Backward(p.idle) {
		switch polled := c.polled != nil; {
		case polled == strand:
			return i
		case polled && at < 0:
			at = i
		}
	}
	return at
}

// openFor is open for a request that has come no further.
func (p *Pool) openFor(ctx context.Context, polled bool) (*conn, *Error) {
	began := time.Now()
	c, err := p.open(ctx, polled)
	if err == nil {
		return c, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, &Error{Reach: Abandoned, Err: cause}
	}
	return nil, &Error{Reach: Unreached, Err: err, Began: began}
}

// open opens a connection for a request: polled is for one in a strand.
func (p *Pool) open(ctx context.Context, polled bool) (*conn, error) {
	ctx, done := p.dialBegins(ctx)
	defer done()
	c, err := p.dial(ctx, polled)
	if err != nil && errors.Is(context.Cause(ctx), ErrGivenUp) {
		return nil, ErrGivenUp
	}
	return c, err
}

func (p *Pool) dial(ctx context.Context, polled bool) (*conn, error) {
	dialer := net.Dialer{Timeout: p.cfg.DialTimeout}
	if p.cfg.MachineTimeout > 0 {
		every := p.cfg.keepAliveEvery()
		dialer.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: every, Interval: every, Count: keepAlivesMax}
	}
	tcp, err := dialer.DialContext(ctx, "tcp", p.cfg.Address)
	if err != nil {
		return nil, err
	}
	var adopted *poller.Conn
	if polled {
		adopted = p.cfg.Loop.Adopt(tcp)
	}
	c, err := newConn(tcp, adopted, p.cfg.MachineTimeout)
	if err == nil {
		c.limit = p.cfg.AnswerTimeout
	}
	return c, err
}

// keepAlivesMax is for kernels that count unanswered keep-alives: MachineTimeout
// is three times their distance.
const keepAlivesMax = 3

func (c Config) keepAliveEvery() time.Duration {
	return max(c.MachineTimeout/keepAlivesMax, time.Second)
}

// unheardMax is how long nothing may have come from the other kernel, though it was
// asked for a word: one keep-alive, and a while for the answer. Zero: there are none.
func (c Config) unheardMax() time.Duration {
	if c.MachineTimeout == 0 {
		return 0
	}
	every := c.keepAliveEvery()
	return every + every/5
}

// put keeps a connection for the next request. When there are too many it drops
// the one that was idle for the longest, which is worth the least.
func (p *Pool) put(c *conn) {
	c.idleSince, c.seenAlive = time.Now(), 0
	p.mu.Lock()
	surplus := p.keep(c)
	p.mu.Unlock()
	if surplus != nil {
		surplus.close()
	}
}

// keep is put with the lock held. It returns the connection that is to be closed, if
// one is.
func (p *Pool) keep(c *conn) (surplus *conn) {
	if p.closed {
		return c
	}
	p.idle = append(p.idle, c)
	if len(p.idle) > p.cfg.IdleConnsMax {
		surplus = p.idle[0]
		p.idle = slices.Delete(p.idle, 0, 1)
	}
	return surplus
}

// distrust learns from a connection that the instance closed, and drops all that
// were idle beside it: they may have met the same end.
func (p *Pool) distrust(c *conn) {
	p.mu.Lock()
	p.trust.sawClose(c.seenAlive)
	p.mu.Unlock()
	p.Drop(Idle)
}

// hear learns from an instance that announces how long it keeps connections.
func (p *Pool) hear(timeout time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trust.sawClose(timeout)
}

// Sweep closes the connections that were idle for too long or that the instance
// has closed, learns for how long it keeps them, and tells how the pool is then.
// It is to be called several times a second.
func (p *Pool) Sweep(now time.Time) State {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[:0]
	for _, c := range p.idle {
		age := now.Sub(c.idleSince)
		switch {
		case age < sweepAgeMin:
			kept = append(kept, c)
		case !c.alive():
			p.trust.sawClose(c.seenAlive)
			c.close()
		case age > p.cfg.IdleTimeout:
			p.trust.sawAlive(age)
			c.close()
		default:
			p.trust.sawAlive(age)
			c.seenAlive = age
			kept = append(kept, c)
		}
	}
	clear(p.idle[len(kept):])
	p.idle = kept
	return State{Idle: len(kept), Silence: p.waiting.silence(now)}
}

// State is how a pool is at one moment.
type State struct {
	Idle    int           // connections that wait for a request
	Silence time.Duration // for how long requests have waited for an answer while none came
}

// Extent is how much of what a pool has is lost. The idle connections always are: they
// may have met one end.
type Extent int

const (
	// Idle is nothing else.
	Idle Extent = iota
	// Repeatable is also the connections that are being opened, and the requests without
	// an answer that may be sent again: nothing comes from the instance any more. The
	// other requests go on, for the instance may have heard them.
	Repeatable
	// Unheard is also the connections that are being opened, and the requests without an
	// answer, whatever they are, whose own connection is not heard any more: the other
	// kernel was asked for a word and gives none. It is for an instance that others have
	// given up, which may be well, and needs Config.MachineTimeout.
	Unheard
	// All is all requests without an answer: nobody will pass one on.
	All
)

// Drop closes and breaks off what is lost. Such requests fail as Unanswered, and those
// without a connection as Unreached, both by ErrGivenUp.
func (p *Pool) Drop(what Extent) {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	if what > Idle {
		p.waiting.giveUp(what, p.cfg.unheardMax())
	}
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// Close closes the idle connections at once, and every other as it becomes idle.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// Idle returns how many connections wait for a request.
func (p *Pool) Idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// IsIdempotent reports whether a request of the method may be carried out twice.
func IsIdempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodTrace:
		return true
	}
	return false
}

// isRepeatable reports whether the request could be sent again from its start.
func isRepeatable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}
