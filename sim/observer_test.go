package sim_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/router"
	"github.com/aloft-run/aloft/store"
	"github.com/aloft-run/aloft/wire"
)

// violation is a law that was broken.
type violation struct{ law, text string }

func (v *violation) String() string { return v.law + ": " + v.text }

// observer sees everything and holds it to the laws. It keeps the story.
type observer struct {
	c     *cluster
	began time.Time
	whole bool // each commit is one transaction

	mu       sync.Mutex // guards all below
	story    []string
	broken   *violation // the first one
	records  map[engine.Key]engine.Record
	epoch    uint64
	commits  int
	past     []durable                                // every change that a watcher is told of, in order
	services map[id.Service]map[int64]*engine.Service // every version that was ever durable
	revs     map[engine.Key]bool                      // every revision that was
	pools    map[id.Pool]map[int64]*engine.Pool
	begun    map[runtime.Key]string // where an attempt was started
	ran      map[id.Task]bool       // tasks of which one was
	moved    map[id.Deployment]time.Time
	drains   map[id.Task]drainage     // of tasks that drain
	heard    map[string]uint64        // the term that an agent heard last
	spoken   map[id.Agent]time.Time   // when the session began in which an agent heard the newest leader
	silenced map[id.Agent]time.Time   // when it became durable that an agent is silent
	routers  map[*routerRun]bool      // those that run
	harm     time.Time                // the newest time at which requests may have been lost to a fault
	deaths   map[id.Service]time.Time // the newest death of a program that nobody asked for
}

// drainage is since when a task drains: by the leader that decided it, and when that
// became durable.
type drainage struct {
	decided, durable time.Time
	epoch            uint64
}

// from returns from when the leader counts: one that has loaded the drain does not
// know when it became durable.
func (d drainage) from(epoch uint64) time.Time {
	if epoch == d.epoch {
		return d.durable
	}
	return d.decided
}

func newObserver(c *cluster, whole bool) *observer {
	return &observer{
		c: c, began: time.Now(), whole: whole,
		records: make(map[engine.Key]engine.Record), services: make(map[id.Service]map[int64]*engine.Service),
		revs: make(map[engine.Key]bool), pools: make(map[id.Pool]map[int64]*engine.Pool),
		begun: make(map[runtime.Key]string), ran: make(map[id.Task]bool), drains: make(map[id.Task]drainage), moved: make(map[id.Deployment]time.Time),
		heard: make(map[string]uint64), spoken: make(map[id.Agent]time.Time), silenced: make(map[id.Agent]time.Time), routers: make(map[*routerRun]bool), deaths: make(map[id.Service]time.Time),
	}
}

// tell adds to the story.
func (o *observer) tell(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.say(format, args...)
}

// say is tell for a caller that holds mu.
func (o *observer) say(format string, args ...any) {
	if o.broken != nil {
		return // the story is over
	}
	o.story = append(o.story, fmt.Sprintf("%8.3fs ", time.Since(o.began).Seconds())+fmt.Sprintf(format, args...))
}

// breaks notes that a law is broken. The caller holds mu.
func (o *observer) breaks(law, format string, args ...any) {
	if o.broken == nil {
		text := fmt.Sprintf(format, args...)
		o.say("BROKEN %s: %s", law, text)
		o.broken = &violation{law, text}
	}
}

// fail is breaks for a caller that does not hold mu.
func (o *observer) fail(law, format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.breaks(law, format, args...)
}

// verdict returns the first law that was broken, nil if none was.
func (o *observer) verdict() *violation {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.broken
}

// committed is the store's memory.Config.Committed.
func (o *observer) committed(revision int64, epoch uint64, ops []store.Op) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.commits++
	if epoch < o.epoch {
		o.breaks(lawFence, "term %d commits after term %d", epoch, o.epoch)
	} else if epoch > o.epoch {
		o.say("term %d begins", epoch)
	}
	o.epoch = max(o.epoch, epoch)
	var changed []change
	for _, op := range ops {
		key, err := wire.KeyOf(op.Key)
		if err != nil {
			o.breaks(lawLoads, "%v", err)
			continue
		}
		c := change{key: key, before: o.records[key]}
		if op.Delete {
			delete(o.records, key)
		} else if c.after, err = wire.Unmarshal(op.Value); err != nil {
			o.breaks(lawLoads, "%s: %v", op.Key, err)
			continue
		} else {
			o.records[key] = c.after
		}
		changed = append(changed, c)
		o.remember(revision, c)
		o.keep(c)
	}
	o.judgeCommit(changed)
}

// change is what a transaction did to one record.
type change struct {
	key           engine.Key
	before, after engine.Record
}

// keep remembers what was durable once, and tells the story of it.
func (o *observer) keep(c change) {
	switch r := c.after.(type) {
	case *engine.Service:
		if o.services[r.Name] == nil {
			o.services[r.Name] = make(map[int64]*engine.Service)
		}
		o.services[r.Name][r.Version] = r
	case *engine.Revision:
		o.revs[r.Key()] = true
	case *engine.Pool:
		if o.pools[r.ID] == nil {
			o.pools[r.ID] = make(map[int64]*engine.Pool)
		}
		o.pools[r.ID][r.Version] = r
	case *engine.Deployment:
		o.moved[r.ID] = time.Now()
		before, _ := c.before.(*engine.Deployment)
		if before == nil || before.State != r.State {
			o.say("deployment %s: %s %s", r.ID, r.State, firstLine(r.Reason))
		}
	case *engine.Task:
		before, _ := c.before.(*engine.Task)
		if before == nil || before.Status.State != r.Status.State {
			o.say("task %s on %s: %s %s", r.ID, r.Claim.Agent, r.Status.State, firstLine(r.Status.Reason))
		}
		if r.Status.State != task.Draining && r.Status.State != task.Stopping {
			delete(o.drains, r.ID)
		} else if _, since := o.drains[r.ID]; !since {
			o.drains[r.ID] = drainage{r.Status.Since, time.Now(), o.epoch}
		}
	case *engine.Cluster:
		before, _ := c.before.(*engine.Cluster)
		for run := range o.routers {
			if name := id.Router(run.name); slices.Contains(r.Routers, name) && (before == nil || !slices.Contains(before.Routers, name)) {
				run.joinedAt = time.Now()
			}
		}
	case *engine.Agent:
		before, _ := c.before.(*engine.Agent)
		if before == nil || before.SilentSince.IsZero() != r.SilentSince.IsZero() {
			o.silenced[r.ID] = time.Now() // or connected
			o.say("agent %s: connected %t", r.ID, r.SilentSince.IsZero())
		}
	}
}

// record returns what is durable of a task; nil if nothing is.
func (o *observer) task(name id.Task) *engine.Task {
	r, _ := o.records[engine.Key{Kind: engine.TaskKind, ID: string(name)}].(*engine.Task)
	return r
}

func (o *observer) service(name id.Service) *engine.Service {
	r, _ := o.records[engine.Key{Kind: engine.ServiceKind, ID: string(name)}].(*engine.Service)
	return r
}

func (o *observer) agent(name id.Agent) *engine.Agent {
	r, _ := o.records[engine.Key{Kind: engine.AgentKind, ID: string(name)}].(*engine.Agent)
	return r
}

func (o *observer) revision(name id.Service, number id.Revision) *engine.Revision {
	r, _ := o.records[engine.RevisionKey(name, number)].(*engine.Revision)
	return r
}

// remembered reports whether the masters know that a router may have a table.
func (o *observer) remembered(name string) bool {
	for _, r := range o.records {
		if known, ok := r.(*engine.Cluster); ok {
			return slices.Contains(known.Routers, id.Router(name))
		}
	}
	return false
}

// tasks returns what is durable of all tasks, in order.
func (o *observer) tasks() []*engine.Task {
	var list []*engine.Task
	for _, r := range o.records {
		if t, ok := r.(*engine.Task); ok {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *engine.Task) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list
}

// all returns what is durable, in no order.
func (o *observer) all() []engine.Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Values(o.records))
}

// ordered hears what a master says to an agent, in a session that has begun then.
func (o *observer) ordered(agent string, began time.Time, message *pb.SessionResponse) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if message.GetEpoch() == o.epoch {
		o.spoken[id.Agent(agent)] = began
	}
	if o.heard[agent] != message.GetEpoch() {
		o.heard[agent] = message.GetEpoch()
		o.say("agent %s hears term %d", agent, message.GetEpoch())
	}
}

// started hears what came of a start.
func (o *observer) started(on string, key runtime.Key, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case err == nil:
		o.begun[key], o.ran[key.Task] = on, true
		o.say("machine %s starts %s", on, key)
	case errors.Is(err, runtime.ErrAlreadyStarted):
		o.say("machine %s has started %s before", on, key)
	}
}

// harmed notes that a fault may cost requests for so long.
func (o *observer) harmed(within time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.harm = time.Now().Add(within)
}

// died notes that a program has ended though nobody asked for it.
func (o *observer) died(name id.Service) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.deaths[name] = time.Now()
}

// machineDown forgets what was at work on a machine.
func (o *observer) machineDown(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.harm = time.Now()
	o.say("machine %s goes down", name)
}

func (o *observer) routerUp(run *routerRun) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.routers[run] = true
}

func (o *observer) routerDown(run *routerRun) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.routers, run)
}

// tabled hears a table that comes to a router.
func (o *observer) tabled(run *routerRun, table route.Table) {
	o.mu.Lock()
	defer o.mu.Unlock()
	run.tables = append(run.tables, table)
	for _, s := range table.Services {
		for _, e := range s.Endpoints {
			if _, before := run.served[e.Task]; !before {
				run.served[e.Task] = time.Now()
			}
		}
	}
}

// newestHas reports whether the newest table that came has a task.
func (run *routerRun) newestHas(name id.Task) bool {
	return names(slices.MaxFunc(run.tables, func(a, b route.Table) int { return a.Version.Compare(b.Version) }), name)
}

// knows reports whether a table came to this life of the router.
func (run *routerRun) knows(version route.Version) bool {
	return slices.ContainsFunc(run.tables, func(t route.Table) bool { return t.Version == version })
}

// hadAt reports whether a table of this life of the router, or the one that it had
// kept, has a task at an address.
func (run *routerRun) hadAt(address string, name id.Task) bool {
	return slices.ContainsFunc(append([]route.Table{run.kept}, run.tables...), func(table route.Table) bool {
		return slices.ContainsFunc(table.Services, func(s route.Service) bool {
			return slices.ContainsFunc(s.Endpoints, func(e route.Endpoint) bool { return e.Address == address && e.Task == name })
		})
	})
}

// mayServe reports whether a task is in the table that was confirmed, or in a
// newer one.
func (run *routerRun) mayServe(name id.Task) bool {
	return slices.ContainsFunc(run.tables, func(t route.Table) bool { return !t.Version.Less(run.confirmed) && names(t, name) })
}

// names reports whether a table has a task.
func names(table route.Table, name id.Task) bool {
	for _, s := range table.Services {
		if slices.ContainsFunc(s.Endpoints, func(e route.Endpoint) bool { return e.Task == name }) {
			return true
		}
	}
	return false
}

// answered hears what a client was answered.
func (o *observer) answered(run *routerRun, q question, began time.Time, status int, reason router.Reason, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.judgeAnswer(run, q, began, status, reason, err)
}
