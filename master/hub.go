package master

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// hub is where the loop leaves what sessions have to send, without waiting for
// any of them. It belongs to one reign.
//
// Sessions come and go in the loop, beside the events that say so: which session
// of an agent is the newest, and what the engine believes, never differ.
type hub struct {
	mu      sync.Mutex // guards all below
	agents  map[id.Agent]*agentLink
	routers map[id.Router]*routerLink
	table   route.Table
	logs    map[string]*logRequest
	newest  map[id.Agent]opening // session of each agent, whether it has ended or not

	unproven chan struct{} // holds one signal: an agent waits for its first proven stamp
}

// opening is when an agent opened a session, by the clock of its machine since boot.
type opening struct {
	boot string
	at   int64 // 0: not known
}

func newHub() *hub {
	return &hub{
		agents:  make(map[id.Agent]*agentLink),
		routers: make(map[id.Router]*routerLink),
		logs:    make(map[string]*logRequest),
		newest:  make(map[id.Agent]opening),

		unproven: make(chan struct{}, 1),
	}
}

// agentLink is what waits to be sent to one agent.
type agentLink struct {
	agent  id.Agent
	folder string                  // of the agent's data
	named  map[id.Task]struct{}    // that its join told of, until it has its first orders; owned by their sender
	voice  voice                   // says what waits
	left   atomic.Bool             // something waits
	end    context.CancelCauseFunc // of the session; known once it joins
	ended  chan struct{}           // closed when the session has ended
	stamp  atomic.Int64            // the newest that the agent sent
	proven atomic.Int64            // the newest that it sent before this master was known to lead
	heard  atomic.Int64            // when the agent last said something, in nanoseconds since the epoch of Unix
	quiet  bool                    // its connection speaks for it, and it wants few heartbeats but those with stamps
	rare   int32                   // where it is quiet: of so many heartbeats it wants one
	leased atomic.Bool             // it needs those: it was ordered to run what must not run out of touch
	awaits atomic.Int64            // until when its word is awaited, in nanoseconds since the epoch of Unix
	line   line                    // known once it joins
	in     func()                  // lets the next agent in: this one has joined
	opened opening

	mu      sync.Mutex // guards all below
	waits   waiting
	taken   time.Time   // when orders that waited were taken last
	many    bool        // they were manyOrders or more
	touched bool        // orders to gather have come that nobody has settled
	due     *time.Timer // has what waits taken; nil: it waits for nothing
}

// waiting is what is to be said to an agent.
type waiting struct {
	complete bool      // everything
	stamped  bool      // the newest proven stamp, which it needs
	tasks    []id.Task // in any order, some of them perhaps twice
	logs     []*pb.LogOrder
}

// newAgentLink returns the link of a session to which all is still to be said, once
// its agent has joined.
func newAgentLink(joined engine.AgentJoined, said *pb.AgentJoin) *agentLink {
	link := &agentLink{
		agent: joined.Agent.ID, folder: said.GetFolder(), quiet: said.GetQuiet(), rare: min(max(said.GetQuietTimes(), quietTimesMin), quietTimesMax),
		opened: opening{joined.BootID, said.GetOpened()}, named: make(map[id.Task]struct{}, len(joined.Tasks)),
		ended: make(chan struct{}), waits: waiting{complete: true},
	}
	link.signal()
	for _, report := range joined.Tasks {
		link.named[report.Task] = struct{}{}
	}
	link.hear(time.Now())
	return link
}

// mark takes note of a stamp of the agent. The first that it waits for is proven at
// once.
func (h *hub) mark(link *agentLink, stamp int64) {
	link.stamp.Store(stamp)
	if link.quiet && link.leased.Load() && link.proven.Load() == 0 {
		select {
		case h.unproven <- struct{}{}:
		default:
		}
	}
}

// hear takes note that the agent has said something.
func (l *agentLink) hear(now time.Time) { l.heard.Store(now.UnixNano()) }

// lastHeard is when the agent last said something, by whatever came from it.
func (l *agentLink) lastHeard() time.Time {
	heard := time.Unix(0, l.heard.Load())
	if by := l.line.lastHeard(); by.After(heard) {
		return by
	}
	return heard
}

// proveAfter returns what takes all stamps that came until now for proven, or nil
// when there are none that are not.
func (h *hub) proveAfter() func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	stamps := make(map[*agentLink]int64)
	for _, link := range h.agents {
		if stamp := link.stamp.Load(); stamp != link.proven.Load() && (!link.quiet || link.leased.Load()) {
			stamps[link] = stamp
		}
	}
	if len(stamps) == 0 {
		return nil
	}
	return func() {
		for link, stamp := range stamps {
			link.proven.Store(stamp)
			if link.quiet && link.leased.Load() {
				link.add(func(waits *waiting) { waits.stamped = true })
			}
		}
	}
}

// addAgent registers a session in place of an older one of the same agent.
func (h *hub) addAgent(link *agentLink) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if older, ok := h.agents[link.agent]; ok {
		older.end(errReplaced)
	}
	h.agents[link.agent] = link
	h.newest[link.agent] = link.opened
}

// isOvertaken reports whether the agent has opened a newer session, which was heard
// of before this one: what this one says is old.
func (h *hub) isOvertaken(link *agentLink) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest := h.newest[link.agent]
	return link.opened.at != 0 && link.opened.boot == newest.boot && link.opened.at < newest.at
}

// removeAgent forgets a session that is the newest of its agent.
func (h *hub) removeAgent(link *agentLink) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.agents, link.agent)
}

// endAgents ends the sessions of all agents.
func (h *hub) endAgents(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, link := range h.agents {
		link.end(why)
	}
}

// link returns the newest session of an agent, nil if there is none.
func (h *hub) link(agent id.Agent) *agentLink {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agents[agent]
}

// gatherFor is how long an agent that has got orders is not told of others that may
// be gathered. A message costs both sides much more than the orders in it, unless these
// are many: as soon as so many wait they go, and what follows them waits for a short time.
const (
	gatherFor     = time.Second
	manyOrders    = 50
	gatherManyFor = gatherFor / 10
)

// urgency is when an agent is told of a task, and how soon its answer is wanted.
type urgency int

const (
	toGather urgency = iota // together with others
	atOnce
	toAwait // at once, and the agent is heard before others
)

// awaitedFor is how long an agent is heard before others that was told something of which
// the answer is awaited. What takes longer does not mind to wait for a moment at the end.
const awaitedFor = 10 * time.Second

// isAwaited reports whether the agent's word is awaited.
func (l *agentLink) isAwaited() bool { return time.Now().UnixNano() < l.awaits.Load() }

// order has the agent told again, at once, what to do with a task.
func (h *hub) order(agent id.Agent, task id.Task, how urgency) {
	link := h.link(agent)
	if link == nil {
		return
	}
	if how == toAwait {
		link.awaits.Store(time.Now().Add(awaitedFor).UnixNano())
	}
	link.add(func(waits *waiting) { waits.tasks = append(waits.tasks, task) })
}

// gather has the agent told again what to do with a task, together with others. It returns
// the link that is to be settled when all of a group are there, nil where that is known.
func (h *hub) gather(agent id.Agent, task id.Task) *agentLink {
	link := h.link(agent)
	if link == nil {
		return nil
	}
	link.mu.Lock()
	defer link.mu.Unlock()
	link.waits.tasks = append(link.waits.tasks, task)
	if link.touched {
		return nil
	}
	link.touched = true
	return link
}

// settle decides when the orders go that were gathered.
func (l *agentLink) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touched = false
	wait := gatherFor
	if l.many {
		wait = gatherManyFor
	}
	wait -= time.Since(l.taken)
	switch waits := len(l.waits.tasks); {
	case waits == 0: // they went along with others
	case waits >= manyOrders || wait <= 0:
		l.signal()
	case l.due == nil:
		l.due = time.AfterFunc(wait, l.signal)
	}
}

// orderAll has the agent told again all that it should do.
func (h *hub) orderAll(agent id.Agent) {
	if link := h.link(agent); link != nil {
		link.add(func(waits *waiting) { waits.complete = true })
	}
}

// add changes what waits and wakes the session.
func (l *agentLink) add(change func(waits *waiting)) {
	l.mu.Lock()
	change(&l.waits)
	l.mu.Unlock()
	l.signal()
}

// signal has the session say what waits.
func (l *agentLink) signal() {
	l.left.Store(true)
	l.voice.wake()
}

// take hands out what waits.
func (l *agentLink) take() waiting {
	l.mu.Lock()
	defer l.mu.Unlock()
	waits := l.waits
	l.waits = waiting{}
	if l.due != nil {
		l.due.Stop()
		l.due = nil
	}
	if orders := len(waits.tasks); orders > 0 || waits.complete {
		l.taken, l.many = time.Now(), orders >= manyOrders
	}
	return waits
}

// routerLink wakes one router's session when there is a new table.
type routerLink struct {
	router id.Router
	wake   chan struct{}      // holds one signal
	cut    chan struct{}      // closed when a newer session takes its place
	said   route.Confirmation // the newest; guarded by hub.mu
}

// newRouterLink returns the link of a session that has not got the table yet.
func newRouterLink(router id.Router) *routerLink {
	link := &routerLink{router: router, wake: make(chan struct{}, 1), cut: make(chan struct{})}
	link.wake <- struct{}{}
	return link
}

// addRouter registers a session in place of an older one of the same router.
func (h *hub) addRouter(link *routerLink) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if older, ok := h.routers[link.router]; ok {
		close(older.cut)
	}
	h.routers[link.router] = link
}

// removeRouter forgets a session that is the newest of its router.
func (h *hub) removeRouter(link *routerLink) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.routers, link.router)
}

// routerLink returns the newest session of a router, nil if there is none.
func (h *hub) routerLink(router id.Router) *routerLink {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.routers[router]
}

// publishTable makes every router session send the table. Only the newest
// counts: a slow router skips those between.
func (h *hub) publishTable(table route.Table) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table = table
	for _, link := range h.routers {
		select {
		case link.wake <- struct{}{}:
		default:
		}
	}
}

func (h *hub) newestTable() route.Table {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table
}

// confirmed keeps what a router says of itself, for people.
func (h *hub) confirmed(link *routerLink, said route.Confirmation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	link.said = said
}

// confirmations returns what each connected router has said last.
func (h *hub) confirmations() map[id.Router]route.Confirmation {
	h.mu.Lock()
	defer h.mu.Unlock()
	said := make(map[id.Router]route.Confirmation, len(h.routers))
	for name, link := range h.routers {
		said[name] = link.said
	}
	return said
}
