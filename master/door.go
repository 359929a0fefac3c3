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

// comeInWithin bounds how long agents keep others at the door. The rush of those that come
// to a new leader lasts for at least rushFor, and until nobody waits.
const (
	comeInWithin = time.Second
	rushFor      = 5 * time.Second
)

// door is where agents wait until the leader has time for them. All of a large cluster
// come at once when it begins to lead, and each has much to say: the calls of others
// shall pass between them. They are let in by their order, as many at a time as there are
// places.
type door struct {
	mu       sync.Mutex // guards all below, and what guests have below
	places   int        // in all
	free     int
	queue    []*guests            // those that wait, the first in front
	present  map[*guests]struct{} // those that wait or come in
	expected map[id.Agent]*guests // who may begin a session at once, on a place of them
}

// guests are agents that wait and come in together.
type guests struct {
	agents []id.Agent    // each has a place but for those at the end, where there are too many
	open   chan struct{} // closed when they may come in
	places int           // that they wait for, and then have
	gone   bool          // they wait no more
	late   *time.Timer   // takes their places from them; nil until they may come in
}

// rushPlaces returns how many of a cluster's agents may come in at one time while the
// leader is new: the fewer they are, the sooner calls pass between them, and each costs
// less with more of them, so that many are back in time.
func rushPlaces(agents int) int {
	const percent = 3
	return min(max(agents*percent/100, rushLeast), rushMax)
}

func newDoor(places int) *door {
	return &door{places: places, free: places, present: make(map[*guests]struct{}), expected: make(map[id.Agent]*guests)}
}

// enter waits until agents may come in. They keep their places until they have, or
// comeInWithin has passed.
func (d *door) enter(ctx context.Context, over <-chan struct{}, agents ...id.Agent) (*guests, error) {
	g := d.wait(agents)
	var err error
	select {
	case <-g.open:
		return g, nil
	case <-over:
		err = ErrNoLeader
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	d.leave(g)
	return nil, err
}

// wait has agents wait, if they must. Those of them that were let in before and have not
// come give their places back.
func (d *door) wait(agents []id.Agent) *guests {
	g, must := d.queueUp(agents)
	if must {
		calm.rush()
	}
	return g
}

// queueUp is wait, and reports whether anybody must.
func (d *door) queueUp(agents []id.Agent) (g *guests, must bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g = &guests{agents: agents, open: make(chan struct{}), places: min(len(agents), d.places)}
	for _, name := range agents {
		if before := d.take(name); before != nil {
			d.back(before, 1)
		}
	}
	d.queue, d.present[g] = append(d.queue, g), struct{}{}
	d.admit()
	return g, len(d.queue) > 0
}

// leave has agents wait no more.
func (d *door) leave(g *guests) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g.gone = true
	delete(d.present, g)
	if g.late != nil { // they were let in at the same moment
		d.back(g, g.places)
	}
	d.admit()
}

// admit lets in those in front, as far as there are places. The caller holds d.mu.
func (d *door) admit() {
	for len(d.queue) > 0 && (d.queue[0].gone || d.queue[0].places <= d.free) {
		g := d.queue[0]
		d.queue[0], d.queue = nil, d.queue[1:]
		if g.gone {
			continue
		}
		d.free -= g.places
		close(g.open)
		g.late = time.AfterFunc(comeInWithin, func() { d.giveBack(g, len(g.agents)) })
	}
}

// expect has agents that were let in begin their sessions at once.
func (d *door) expect(g *guests) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range g.agents[:g.places] {
		d.expected[name] = g
	}
}

// narrow leaves no more than so many places, unless somebody waits for more.
func (d *door) narrow(places int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		d.free -= d.places - places
		d.places = places
	}
}

// busy reports whether anybody waits or comes in.
func (d *door) busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.present) > 0
}

// begins returns those with whom an agent was let in that begins a session, nil if it was
// not.
func (d *door) begins(agent id.Agent) *guests {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.take(agent)
}

// take is begins for a caller that holds d.mu.
func (d *door) take(agent id.Agent) *guests {
	g := d.expected[agent]
	delete(d.expected, agent)
	return g
}

// giveBack gives back so many places of agents that have come in, or take too long.
func (d *door) giveBack(g *guests, places int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.back(g, places)
	d.admit()
}

// back is giveBack for a caller that holds d.mu, and lets others in.
func (d *door) back(g *guests, places int) {
	places = min(places, g.places)
	if places == 0 {
		return
	}
	g.places, d.free = g.places-places, d.free+places
	if g.places > 0 {
		return
	}
	g.late.Stop()
	delete(d.present, g)
	for _, name := range g.agents {
		if d.expected[name] == g {
			delete(d.expected, name)
		}
	}
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
			if time.Since(r.since) >= rushFor {
				r.door.narrow(comingMax)
			}
			continue
		}
		_, _ = r.hear(ctx, func(e *engine.Engine, now time.Time) (engine.Answer, error) { // if it leads no more, nobody is given up
			return e.Step(engine.AgentsWait{Agents: names}, now)
		})
	}
}

// enterAgent has an agent wait at the door that begins a session. in lets the next one
// come in.
func (r *reign) enterAgent(ctx context.Context, name id.Agent) (in func(), err error) {
	g := r.door.begins(name)
	if g == nil {
		if g, err = r.door.enter(ctx, r.over, name); err != nil {
			return nil, err
		}
	}
	return sync.OnceFunc(func() { r.door.giveBack(g, 1) }), nil
}

// Knock has agents wait at the door that will begin their sessions together. Until then
// they cost next to nothing.
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
	r.door.expect(g)
	return connect.NewResponse(&pb.KnockResponse{}), nil
}

// nameOf returns the agent that a session's header names, "" for none.
func nameOf(header http.Header) id.Agent { return id.Agent(header.Get(agentHeader)) }
