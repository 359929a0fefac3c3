package master

import (
	"context"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// agentHeader names the agent of a session before its first message is read.
const agentHeader = "Aloft-Agent"

// comeInWithin bounds how long agents keep others at the door.
const comeInWithin = time.Second

// door is where agents wait until the leader has time for them. All of a large cluster
// come at once when it begins to lead, and each has much to say: the calls of others
// shall pass between them. They are let in by their order, as many at a time as there are
// places.
type door struct {
	mu      sync.Mutex // guards all below, and what guests have below
	places  int        // in all
	free    int
	queue   []*guests            // those that wait, the first in front
	present map[*guests]struct{} // those that wait or come in
}

// guests are agents that come in together, by one connection.
type guests struct {
	agents []id.Agent
	open   chan struct{} // closed when they may come in
	places int           // that they wait for, and then have
	coming int           // those of them that have not begun a session
	gone   bool          // they wait no more
	late   *time.Timer   // takes their places from them; nil until they may come in
}

func newDoor(places int) *door {
	return &door{places: places, free: places, present: make(map[*guests]struct{})}
}

// enter waits until agents may come in. They keep their places until they have, or
// comeInWithin has passed.
func (d *door) enter(ctx context.Context, over <-chan struct{}, agents ...id.Agent) (*guests, error) {
	g := d.knock(agents)
	var err error
	select {
	case <-g.open:
		d.hurry(g)
		return g, nil
	case <-over:
		err = ErrNoLeader
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	d.leave(g)
	return nil, err
}

// knock has agents wait, if they must.
func (d *door) knock(agents []id.Agent) *guests {
	d.mu.Lock()
	defer d.mu.Unlock()
	number := min(len(agents), d.places)
	g := &guests{agents: agents, open: make(chan struct{}), places: number, coming: number}
	d.queue, d.present[g] = append(d.queue, g), struct{}{}
	d.admit()
	return g
}

// hurry gives agents that were let in only so long to come in.
func (d *door) hurry(g *guests) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.late = time.AfterFunc(comeInWithin, func() { d.giveBack(g, d.places) })
}

// leave has agents wait no more.
func (d *door) leave(g *guests) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-g.open:
		d.free += g.places // they were let in at the same moment
		g.places = 0
	default:
	}
	g.gone = true
	delete(d.present, g)
	d.admit()
}

// giveBack gives back so many places of agents that have come in, or take too long.
func (d *door) giveBack(g *guests, places int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	places = min(places, g.places)
	g.places, d.free = g.places-places, d.free+places
	if g.places == 0 {
		g.late.Stop()
		g.coming = 0
		delete(d.present, g)
	}
	d.admit()
}

// admit lets in those in front, as far as there are places. The caller holds d.mu.
func (d *door) admit() {
	for len(d.queue) > 0 && (d.queue[0].gone || d.queue[0].places <= d.free) {
		g := d.queue[0]
		d.queue[0], d.queue = nil, d.queue[1:]
		if !g.gone {
			d.free -= g.places
			close(g.open)
		}
	}
}

// begins reports whether an agent that begins a session is one of guests that were let
// in, and have a place for it.
func (d *door) begins(g *guests) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if g == nil || g.coming == 0 {
		return false
	}
	g.coming--
	return true
}

// waiting returns the agents that wait or come in, as far as they have told their names.
func (d *door) waiting() []id.Agent {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []id.Agent
	for g := range d.present {
		for _, name := range g.agents {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// tellWaiting has the engine know who is at the door, as often as sessions beat, until
// the term is over: nobody is given up who waits for this master.
func (r *reign) tellWaiting(ctx context.Context) {
	beat := time.NewTicker(r.cfg.beatEvery())
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-r.over:
			return
		}
		names := r.door.waiting()
		if len(names) == 0 {
			continue
		}
		_, _ = r.fold(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) { // if it leads no more, nobody is given up
			return e.Step(engine.AgentsWait{Agents: names}, now)
		})
	}
}

// enterAgent has an agent wait at the door that begins a session. in lets the next one
// come in.
func (r *reign) enterAgent(ctx context.Context, name id.Agent) (in func(), err error) {
	c, _ := ctx.Value(connKey{}).(*conn)
	var g *guests
	if c != nil {
		g = c.guests.Load()
	}
	if !r.door.begins(g) {
		if g, err = r.door.enter(ctx, r.over, name); err != nil {
			return nil, err
		}
	}
	return sync.OnceFunc(func() { r.door.giveBack(g, 1) }), nil
}

// Knock has agents wait at the door that will begin their sessions on one connection.
// Until then they cost next to nothing.
func (s agentService) Knock(ctx context.Context, req *connect.Request[pb.KnockRequest]) (*connect.Response[pb.KnockResponse], error) {
	r, err := s.master.current()
	if err != nil {
		return nil, apiError(err)
	}
	names := make([]id.Agent, 0, len(req.Msg.GetAgents()))
	for _, name := range req.Msg.GetAgents() {
		names = append(names, id.Agent(name))
	}
	lineOf(ctx).hearAnytime()
	lineOf(ctx).sayAnytime() // it may wait for long
	g, err := r.door.enter(ctx, r.over, names...)
	if err != nil {
		return nil, apiError(err)
	}
	if c, ok := ctx.Value(connKey{}).(*conn); ok {
		c.guests.Store(g)
	}
	return connect.NewResponse(&pb.KnockResponse{}), nil
}

// nameOf returns the agent that a session's header names, "" for none.
func nameOf(header http.Header) id.Agent { return id.Agent(header.Get(agentHeader)) }
