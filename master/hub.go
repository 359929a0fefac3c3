package master

import (
	"maps"
	"sync"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// hub is where the loop leaves what sessions have to send, without waiting for
// any of them. It belongs to one reign.
type hub struct {
	epoch uint64
	gone  chan struct{} // closed at the end of the reign

	mu      sync.Mutex // guards all below
	agents  map[id.Agent]*agentLink
	routers map[id.Router]*routerLink
	table   route.Table
	logs    map[string]*logRequest
}

func newHub(epoch uint64) *hub {
	return &hub{
		epoch:   epoch,
		gone:    make(chan struct{}),
		agents:  make(map[id.Agent]*agentLink),
		routers: make(map[id.Router]*routerLink),
		logs:    make(map[string]*logRequest),
	}
}

func (h *hub) close() { close(h.gone) }

// agentLink is what waits to be sent to one agent.
type agentLink struct {
	agent id.Agent
	wake  chan struct{} // holds one signal
	cut   chan struct{} // closed when a newer session takes its place

	mu       sync.Mutex // guards all below
	complete bool       // everything is to be said again
	tasks    map[id.Task]struct{}
	logs     []*pb.LogOrder
}

// addAgent registers a session in place of an older one of the same agent.
func (h *hub) addAgent(agent id.Agent) *agentLink {
	link := &agentLink{
		agent: agent, wake: make(chan struct{}, 1), cut: make(chan struct{}), tasks: make(map[id.Task]struct{}),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if older, ok := h.agents[agent]; ok {
		close(older.cut)
	}
	h.agents[agent] = link
	return link
}

// removeAgent reports whether the session was still the newest of its agent.
func (h *hub) removeAgent(link *agentLink) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agents[link.agent] != link {
		return false
	}
	delete(h.agents, link.agent)
	return true
}

func (h *hub) link(agent id.Agent) *agentLink {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.agents[agent]
}

// order has the agent told again what to do with a task.
func (h *hub) order(agent id.Agent, task id.Task) {
	if link := h.link(agent); link != nil {
		link.add(func() { link.tasks[task] = struct{}{} })
	}
}

// add changes what waits and wakes the session.
func (l *agentLink) add(change func()) {
	l.mu.Lock()
	change()
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take hands out what waits.
func (l *agentLink) take() (complete bool, tasks map[id.Task]struct{}, logs []*pb.LogOrder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	complete, tasks, logs = l.complete, maps.Clone(l.tasks), l.logs
	l.complete, l.logs = false, nil
	clear(l.tasks)
	return complete, tasks, logs
}

// routerLink wakes one router's session when there is a new table.
type routerLink struct {
	router  id.Router
	wake    chan struct{} // holds one signal
	cut     chan struct{}
	applied route.Version // guarded by hub.mu
}

func (h *hub) addRouter(router id.Router) *routerLink {
	link := &routerLink{router: router, wake: make(chan struct{}, 1), cut: make(chan struct{})}
	link.wake <- struct{}{} // the table of now is to be sent
	h.mu.Lock()
	defer h.mu.Unlock()
	if older, ok := h.routers[router]; ok {
		close(older.cut)
	}
	h.routers[router] = link
	return link
}

func (h *hub) removeRouter(link *routerLink) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.routers[link.router] != link {
		return false
	}
	delete(h.routers, link.router)
	return true
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

// confirmed keeps which table a router has applied, for people.
func (h *hub) confirmed(link *routerLink, version route.Version) {
	h.mu.Lock()
	defer h.mu.Unlock()
	link.applied = version
}

// routerInfos returns the connected routers.
func (h *hub) routerInfos() map[id.Router]route.Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	infos := make(map[id.Router]route.Version, len(h.routers))
	for name, link := range h.routers {
		infos[name] = link.applied
	}
	return infos
}
