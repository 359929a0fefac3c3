package sim_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// caller is one life of a process that keeps sessions with the masters: an agent or a
// router. Between it and package client, messages are doubled and reordered.
type caller struct {
	c      *cluster
	name   string
	made   *conns
	client *client.Client
	draw   *rand.Rand // guarded by mu

	mu sync.Mutex // guards draw
}

// call returns the way to the masters of a new process. The clock is the machine's; a
// nil one is none.
func (c *cluster) caller(name string, clock func() time.Duration) *caller {
	from := &caller{c: c, name: name, made: &conns{}, draw: c.net.way(name, "itself")}
	cfg := client.Config{Clock: clock, Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
		return from.made.made(c.dialMaster(ctx, name, address))
	}}
	for _, p := range c.masters {
		cfg.Masters = append(cfg.Masters, p.name)
	}
	var err error
	if from.client, err = client.Open(cfg); err != nil {
		panic(err) // the config is always a good one
	}
	return from
}

// doubles draws whether a message comes twice.
func (from *caller) doubles() bool {
	from.mu.Lock()
	defer from.mu.Unlock()
	return from.draw.IntN(1000) < 30
}

// late draws for how long a message is under way that others may overtake.
func (from *caller) late() time.Duration {
	from.mu.Lock()
	defer from.mu.Unlock()
	delay, _ := from.c.net.fate(from.draw)
	return delay
}

// relay hands on what a process says, some of it twice, until ctx is done or nothing
// more comes; then out is closed.
func relay[M any](ctx context.Context, from *caller, in <-chan M, said func(M), out chan<- M) {
	for {
		select {
		case message, open := <-in:
			if !open {
				close(out)
				return
			}
			said(message)
			for range map[bool]int{false: 1, true: 2}[from.doubles()] {
				select {
				case out <- message:
				case <-ctx.Done():
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// AgentSession is how an agent reaches the masters.
func (from *caller) AgentSession(
	ctx context.Context, join *pb.AgentJoin, reports <-chan *pb.AgentReport, receive func(*pb.SessionResponse),
) error {
	ctx, stop := context.WithCancel(ctx)
	var relaying sync.WaitGroup
	defer relaying.Wait()
	defer stop()
	out, began := make(chan *pb.AgentReport), time.Now()
	relaying.Go(func() { relay(ctx, from, reports, func(*pb.AgentReport) {}, out) })
	return from.client.AgentSession(ctx, join, out, func(message *pb.SessionResponse) {
		from.c.obs.ordered(from.name, began, message)
		receive(message)
		if from.doubles() {
			receive(message)
		}
	})
}

// SendLogs answers a log order.
func (from *caller) SendLogs(ctx context.Context, request string, batches <-chan []*pb.LogLine, failure func() error) error {
	return from.client.SendLogs(ctx, request, batches, failure)
}

// Follow is how a router reaches the masters. Tables may come in another order than
// they were sent, and twice.
func (run *routerRun) Follow(ctx context.Context, confirmations <-chan route.Confirmation, apply func(route.Table)) error {
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	out, tables := make(chan route.Confirmation), &shuffled{wake: make(chan struct{}, 1)}
	beside.Go(func() { relay(ctx, run.caller, confirmations, run.confirms, out) })
	beside.Go(func() {
		tables.deliver(ctx, func(table route.Table) {
			run.c.obs.tabled(run, table)
			apply(table)
		})
	})
	return run.client.RouterSession(ctx, id.Router(run.name), out, func(table route.Table) {
		tables.put(table, run.late())
		if run.doubles() {
			tables.put(table, run.late())
		}
	})
}

// confirms tells the laws of a confirmation before it is said.
func (run *routerRun) confirms(said route.Confirmation) { run.c.obs.confirmed(run, said) }

// shuffled are tables under way that overtake each other.
type shuffled struct {
	wake chan struct{} // holds one signal

	mu   sync.Mutex // guards list
	list []shipment // the earliest first
}

// shipment is a table and when it comes.
type shipment struct {
	table route.Table
	due   time.Time
}

// put has a table come after a while.
func (s *shuffled) put(table route.Table, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := shipment{table, time.Now().Add(after)}
	at := len(s.list)
	for at > 0 && s.list[at-1].due.After(one.due) {
		at--
	}
	s.list = append(s.list[:at], append([]shipment{one}, s.list[at:]...)...)
	signal(s.wake)
}

// next returns the table that has come, or how long to wait.
func (s *shuffled) next() (table *route.Table, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return nil, time.Hour
	}
	if wait = time.Until(s.list[0].due); wait > 0 {
		return nil, wait
	}
	first := s.list[0]
	s.list = s.list[1:]
	return &first.table, 0
}

// deliver hands on what has come until ctx is done.
func (s *shuffled) deliver(ctx context.Context, to func(route.Table)) {
	for ctx.Err() == nil {
		if table, wait := s.next(); table != nil {
			to(*table)
		} else {
			await(wait, s.wake, ctx.Done())
		}
	}
}

// pause returns false when ctx is done before d has passed.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
