// Package engine folds what happens to a cluster, and what operators ask of it,
// into the cluster's state, and answers with what changed.
//
// Step folds one event or refuses it and changes nothing. Take then plans all
// that became due, until nothing is left to do, and hands out the changes: the
// caller makes them durable first and acts on them afterwards. The same events
// at the same times give the same changes, and an engine that Load rebuilds
// from the records goes on where the one before stopped.
//
// An Engine is not safe for concurrent use: the leading master's loop owns it.
// Records that it has handed out may be shared; they are never changed again.
package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/task"
)

// Config is how an engine works. A zero field means its default.
type Config struct {
	Epoch          uint64        // the leader's; every table's version carries it
	Restores       int64         // how often the cluster was restored from a backup
	EndedMax       int           // ended tasks that are kept of a service; default 20
	EndedFor       time.Duration // for how long they are, and those of a job's last run when it is over; default: for good
	DeploymentsMax int           // ended deployments that are kept of a service; default 50
	RevisionsMax   int           // revisions that are kept of a service, beside those in use; default 50
	SuspectAfter   time.Duration // an agent not heard of for so long is unreachable; after Load, one that did not come back; default 3 s
	RouterReturn   time.Duration // after Load: how long a router may take to come back before it is forgotten; it may serve on meanwhile; default RouterForget
	RouterForget   time.Duration // how long a router that is gone is remembered; default 1 min
	Zones          Zones         // finds time zones for crons; default: UTC alone
	Together       Together      // does what of Load may be done at the same time; default: one after the other
}

// Zones returns the time zone of an IANA name. Core cannot look: the zones are
// files.
type Zones func(name string) (*time.Location, error)

// Together calls functions that have nothing to do with each other, in any order or all
// at once, and returns when all have. Core has no goroutines of its own.
type Together func(parts ...func())

func oneByOne(parts ...func()) {
	for _, part := range parts {
		part()
	}
}

func (c Config) withDefaults() Config {
	if c.Together == nil {
		c.Together = oneByOne
	}
	c.EndedMax = positive(c.EndedMax, 20)
	c.DeploymentsMax = positive(c.DeploymentsMax, 50)
	c.RevisionsMax = positive(c.RevisionsMax, 50)
	c.SuspectAfter = positive(c.SuspectAfter, 3*time.Second)
	c.RouterForget = positive(c.RouterForget, time.Minute)
	c.RouterReturn = positive(c.RouterReturn, c.RouterForget)
	return c
}

func positive[T int | time.Duration](value, fallback T) T {
	if value <= 0 {
		return fallback
	}
	return value
}

// Engine is a cluster in memory. Make one with New.
type Engine struct {
	config      Config
	now         time.Time // of the step that is underway; never goes back
	began       time.Time // of the first step after Load
	books       ledger.Ledger
	cluster     *Cluster // nil until there is something to remember
	agents      map[id.Agent]*machine
	silent      map[id.Agent]struct{} // those that are
	pools       map[id.Pool]*Pool
	services    map[id.Service]*service
	tasks       map[id.Task]*entry // those that have ended, too, as far as they are kept
	newTasks    []*entry           // whose records were not handed out yet
	deployments map[id.Deployment]*service
	routers     map[id.Router]*router
	rules       map[route.Rule]id.Service // which service has it
	queue       queue
	copied      copied
	table       route.Table
	published   route.Version                  // of the newest table that Take handed out
	parts       map[id.Service][]route.Service // of the table, by service
	tableStale  map[id.Service]struct{}        // services whose part of the table may have changed
	draining    map[*entry]struct{}
	leaving     []*entry           // of draining and resting: those that began since the last table
	untold      []*entry           // of draining: those that began since the last Published
	resting     map[id.Task]*entry // ended, and their ports are not given to others yet
	daemons     map[id.Service]*service
	timers      timers
	dirty       map[id.Service]*service // to be planned
	sights      sights
	seen        int        // tasks that this Take has looked at for plans
	planFrom    id.Service // the first that a Take had no time for, "" if there is none
	fell        bool       // an agent fell silent since the breaker was tended
	doubtAt     time.Time  // of that look: it is at all agents, so one serves for all services
	doubt       bool       // the breaker may have to open, by the last look at those that are awaited
	batch       batch
}

// New returns the engine of an empty cluster.
func New(config Config) *Engine {
	config = config.withDefaults()
	e := &Engine{
		config:      config,
		agents:      make(map[id.Agent]*machine),
		silent:      make(map[id.Agent]struct{}),
		pools:       make(map[id.Pool]*Pool),
		services:    make(map[id.Service]*service),
		tasks:       make(map[id.Task]*entry),
		deployments: make(map[id.Deployment]*service),
		routers:     make(map[id.Router]*router),
		rules:       make(map[route.Rule]id.Service),
		tableStale:  make(map[id.Service]struct{}),
		sights:      sights{late: make(map[id.Service]*service)},
		draining:    make(map[*entry]struct{}),
		resting:     make(map[id.Task]*entry),
		daemons:     make(map[id.Service]*service),
		parts:       make(map[id.Service][]route.Service),
		dirty:       make(map[id.Service]*service),
		queue:       newQueue(),
		table:       route.Table{Version: route.Version{Epoch: config.Epoch}},
	}
	e.batch.round = 1 // 0 is that of tasks that are loaded
	return e
}

// Step folds an event into the cluster, or refuses it and changes nothing. The
// error wraps ErrUnknown, ErrStale, ErrInvalid or ErrConflict. What follows from
// the event is planned by Take.
func (e *Engine) Step(event Event, now time.Time) (Answer, error) {
	e.advance(now)
	return event.fold(e)
}

// roundsMax bounds how often Take plans. Plans settle after a few rounds; if
// they ever did not, the rest would wait for the next Take instead of holding
// up the cluster.
const roundsMax = 100

// seenMax is how many tasks a Take looks at for plans, or those of one service. When
// there are more, as there are when a leader has loaded a large cluster, the rest is for
// the next Take, which is due at once: so nobody waits for all of them.
const seenMax = 10_000

// Take plans all that is due at now, and returns what changed since the Take
// before. It is empty when nothing did.
func (e *Engine) Take(now time.Time) Changes {
	e.advance(now)
	e.wake()
	e.tendBreaker()
	e.queue.begin()
	e.seen = 0
	for range roundsMax {
		e.plan()
		e.place()
		if len(e.dirty) > 0 && e.seen < seenMax {
			continue
		}
		if freed := e.refreshTable(); e.seen >= seenMax || !freed && len(e.dirty) == 0 {
			break
		}
	}
	e.tellNew()
	changes := e.batch.take()
	if e.table.Version != e.published {
		e.published = e.table.Version
		table := e.table
		changes.Table = &table
	}
	return changes
}

// Published notes that what Take returned up to a batch is durable and was told at now.
// The times that routers have are counted from then.
func (e *Engine) Published(batch uint64, now time.Time) {
	for len(e.untold) > 0 && e.untold[0].leaving().untold <= batch {
		t := e.untold[0]
		e.untold = e.untold[1:]
		if t.leave == nil {
			continue // it was given up, and is back
		}
		t.leave.toldAt, t.leave.untold = now, 0
		if t.state() == task.Draining {
			e.timers.advance(timerKey{serviceTimer, string(t.owner.record.Name)}, t.owner.drainsUntil(t))
		}
	}
}

// AskAgain returns when to Take again if nothing happens before; zero if only
// an event can change anything.
func (e *Engine) AskAgain() time.Time {
	if len(e.dirty) > 0 || e.queue.fresh {
		return e.now
	}
	return e.timers.next()
}

// advance sets the time of what happens now. A clock that goes back stands
// still for the cluster.
func (e *Engine) advance(now time.Time) {
	if now.After(e.now) {
		e.now = now
	}
	if e.began.IsZero() {
		e.began = e.now
		e.awaitReturn()
	}
}

// wake makes due what a timer waited for.
func (e *Engine) wake() {
	for {
		key, due := e.timers.due(e.now)
		if !due {
			return
		}
		switch key.kind {
		case agentTimer:
			e.wakeAgent(id.Agent(key.name))
		case routerTimer:
			e.wakeRouter(id.Router(key.name))
		case sightTimer:
			e.wakeSights()
		case queueTimer:
			e.queue.fresh = true
		case serviceTimer:
			if s, found := e.services[id.Service(key.name)]; found {
				e.touch(s)
			}
		}
	}
}

// touch has a service planned by the next Take.
func (e *Engine) touch(s *service) { e.dirty[s.record.Name] = s }

// plan plans every service that is dirty, in the order of their names, or as many as a
// Take has time for: then the next goes on where it ended.
func (e *Engine) plan() {
	names := slices.Sorted(maps.Keys(e.dirty))
	from, _ := slices.BinarySearch(names, e.planFrom)
	e.planFrom = ""
	for _, name := range slices.Concat(names[from:], names[:from]) {
		if e.seen >= seenMax {
			e.planFrom = name
			return
		}
		s := e.dirty[name]
		delete(e.dirty, name)
		e.seen += len(s.live) + len(s.ended)
		e.planService(s)
	}
}
