package sim_test

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

var errRefused = errors.New("connection refused")

// network is what messages go over. Each way of each connection draws its delays
// from a source of its own, so that they do not hang on the order of goroutines.
type network struct {
	seed uint64

	mu      sync.Mutex
	blocked map[[2]string]int // how many cuts there are, from the one to the other
	changed chan struct{}     // closed and made anew when blocked changes
	lines   map[string]int    // connections made so far, by their ends
	loss    int               // of a thousand messages
	late    time.Duration     // the longest delay that is drawn now
}

func newNetwork(seed uint64) *network {
	return &network{
		seed: seed, blocked: make(map[[2]string]int), changed: make(chan struct{}),
		lines: make(map[string]int), late: 2 * time.Millisecond,
	}
}

// source returns the randomness of one name.
func (n *network) source(name string) *rand.Rand {
	hash := fnv.New64a()
	_, _ = io.WriteString(hash, name) // never fails
	return rand.New(rand.NewPCG(n.seed, hash.Sum64()))
}

// cut keeps what is sent from the one to the other until heal.
func (n *network) cut(from, to string) { n.change(from, to, 1) }

func (n *network) heal(from, to string) { n.change(from, to, -1) }

func (n *network) change(from, to string, by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.blocked[[2]string{from, to}] += by
	close(n.changed)
	n.changed = make(chan struct{})
}

// passes reports whether messages come through, and what is closed when that may
// have changed.
func (n *network) passes(from, to string) (bool, <-chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.blocked[[2]string{from, to}] <= 0, n.changed
}

// reachable reports whether both ways are open.
func (n *network) reachable(a, b string) bool {
	there, _ := n.passes(a, b)
	back, _ := n.passes(b, a)
	return there && back
}

// weather sets how much is lost and how late the rest comes.
func (n *network) weather(loss int, late time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss, n.late = loss, late
}

// fate draws what becomes of a message.
func (n *network) fate(draw *rand.Rand) (delay time.Duration, lost, doubled bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delay = 100*time.Microsecond + time.Duration(draw.Int64N(int64(n.late)))
	return delay, draw.IntN(1000) < n.loss, draw.IntN(1000) < 30
}

// way names a new connection's way from the one to the other.
func (n *network) way(from, to string) *rand.Rand {
	n.mu.Lock()
	name := from + ">" + to
	n.lines[name]++
	number := n.lines[name]
	n.mu.Unlock()
	return n.source(name + string(rune('0'+number%10)) + string(rune('0'+number/10%10)) + string(rune('0'+number/100)))
}

// parcel is a message under way.
type parcel[M any] struct {
	message *M
	due     time.Time
}

// pipe carries messages one way. They come in the order in which they were sent,
// unless shuffled, and each may come twice. One that is lost takes all with it
// that follow, as a connection does that hears no acknowledgement: what comes
// over it ends, and only silence tells.
type pipe[M any] struct {
	net      *network
	from, to string
	shuffled bool
	draw     *rand.Rand // guarded by mu

	mu       sync.Mutex
	queue    []parcel[M]
	newest   time.Time // when the last one is due
	stalled  bool      // nothing comes any more, not even the end
	ended    error     // what comes after the queue
	endsAt   time.Time
	broken   error // at once
	deadline time.Time
	wake     chan struct{} // holds one signal
}

func newPipe[M any](net *network, from, to string, shuffled bool) *pipe[M] {
	return &pipe[M]{net: net, from: from, to: to, shuffled: shuffled, draw: net.way(from, to), wake: make(chan struct{}, 1)}
}

// do changes the pipe and wakes the receiver.
func (p *pipe[M]) do(change func()) {
	p.mu.Lock()
	change()
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Send puts a copy of a message on its way. It never waits.
func (p *pipe[M]) send(message *M) error {
	copied := any(proto.Clone(any(message).(proto.Message))).(*M)
	var err error
	p.do(func() {
		switch {
		case p.broken != nil:
			err = p.broken
			return
		case p.ended != nil:
			err = io.ErrClosedPipe
			return
		}
		delay, lost, doubled := p.net.fate(p.draw)
		p.stalled = p.stalled || lost
		due := time.Now().Add(delay)
		first := p.newest.IsZero()
		if !p.shuffled && due.Before(p.newest) {
			due = p.newest
		}
		p.put(parcel[M]{copied, due})
		if doubled && !first { // the first opens the session
			p.put(parcel[M]{copied, due.Add(delay)})
		}
	})
	return err
}

// put places a parcel by when it is due. The caller holds mu.
func (p *pipe[M]) put(one parcel[M]) {
	if p.stalled {
		return
	}
	if one.due.After(p.newest) {
		p.newest = one.due
	}
	at := len(p.queue)
	for at > 0 && p.queue[at-1].due.After(one.due) {
		at--
	}
	p.queue = append(p.queue[:at], append([]parcel[M]{one}, p.queue[at:]...)...)
}

// end closes the sender's side: what is under way still comes.
func (p *pipe[M]) end(err error) {
	p.do(func() {
		if p.ended == nil {
			p.ended, p.endsAt = err, p.newest
		}
	})
}

// cut breaks both sides at once.
func (p *pipe[M]) cut(err error) {
	p.do(func() {
		if p.broken == nil {
			p.broken = err
		}
	})
}

// stall has nothing come any more, as when the sender's machine has lost power.
func (p *pipe[M]) stall() { p.do(func() { p.stalled, p.queue = true, nil }) }

func (p *pipe[M]) setDeadline(at time.Time) { p.do(func() { p.deadline = at }) }

// receive waits for the next message.
func (p *pipe[M]) receive(ctx context.Context) (*M, error) {
	for {
		message, wait, err := p.next()
		if message != nil || err != nil {
			return message, err
		}
		_, changed := p.net.passes(p.from, p.to)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.wake:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// next returns what has come, or how long to wait before looking again.
func (p *pipe[M]) next() (message *M, wait time.Duration, err error) {
	open, _ := p.net.passes(p.from, p.to)
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	wait = time.Hour
	if !p.deadline.IsZero() {
		wait = p.deadline.Sub(now)
	}
	switch {
	case p.broken != nil:
		return nil, 0, p.broken
	case wait <= 0:
		return nil, 0, os.ErrDeadlineExceeded
	case !open || p.stalled && len(p.queue) == 0:
		return nil, wait, nil
	case len(p.queue) > 0 && !p.queue[0].due.After(now):
		message = p.queue[0].message
		p.queue = p.queue[1:]
		return message, 0, nil
	case len(p.queue) > 0:
		return nil, min(wait, p.queue[0].due.Sub(now)), nil
	case p.ended != nil && !p.endsAt.After(now):
		return nil, 0, p.ended
	case p.ended != nil:
		return nil, min(wait, p.endsAt.Sub(now)), nil
	}
	return nil, wait, nil
}
