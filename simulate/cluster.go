package simulate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/task"
)

// jobPrefix begins the names under which a workload's jobs are deployed.
const jobPrefix = "simulated-"

// beginning is when a cluster that was not recorded begins. Any time would do; the
// same one gives the same run.
func beginning() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// Cluster is the records of a cluster, as the store of its masters has them, and
// the time at which they were true. It is a value: With makes another one.
type Cluster struct {
	Records  []engine.Record
	At       time.Time
	recorded bool
}

// Made returns a cluster of so many machines on which nothing runs.
func Made(shapes []Shape, pools []PoolChange) (Cluster, error) {
	return Cluster{At: beginning()}.With(Change{Add: shapes, Pools: pools})
}

// Recorded returns the cluster of these records. Routers are left out: nobody
// sends requests to what runs in a simulation. Machines that were out of reach
// stay away.
func Recorded(records []engine.Record) Cluster {
	c := Cluster{recorded: true}
	for _, record := range records {
		if known, ok := record.(*engine.Cluster); ok {
			copied := *known
			copied.Routers = nil
			record = &copied
		}
		c.Records = append(c.Records, record)
		c.At = later(c.At, newest(record))
	}
	c.At = later(c.At, beginning()).Add(time.Second)
	return c
}

func newest(record engine.Record) time.Time {
	switch r := record.(type) {
	case *engine.Agent:
		return later(r.JoinedAt, r.SilentSince)
	case *engine.Service:
		return later(r.ChangedAt, r.CreatedAt)
	case *engine.Revision:
		return r.CreatedAt
	case *engine.Deployment:
		return later(r.StartedAt, r.EndedAt)
	case *engine.Task:
		return later(r.CreatedAt, r.Status.Since)
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Change is what is asked with "what if".
type Change struct {
	Add         []Shape
	Remove      int        // so many machines that are there go, the last ones by name
	RemoveNamed []id.Agent // these go
	Pools       []PoolChange
}

// None reports whether nothing is changed.
func (c Change) None() bool {
	return len(c.Add) == 0 && c.Remove == 0 && len(c.RemoveNamed) == 0 && len(c.Pools) == 0
}

// With returns the cluster as it would be with a change. Machines that go were
// never there: what ran on them starts elsewhere.
func (c Cluster) With(change Change) (Cluster, error) {
	gone, err := c.leaving(change)
	if err != nil {
		return Cluster{}, err
	}
	next := Cluster{At: c.At, recorded: c.recorded}
	for _, record := range c.Records {
		if kept := without(record, gone); kept != nil {
			next.Records = append(next.Records, kept)
		}
	}
	for _, pool := range change.Pools {
		next.setPool(pool)
	}
	return next, next.add(change.Add)
}

// leaving returns the machines that go.
func (c Cluster) leaving(change Change) (map[id.Agent]bool, error) {
	var there []id.Agent
	for agent := range c.agents() {
		there = append(there, agent.ID)
	}
	slices.SortFunc(there, byNumber)
	if change.Remove < 0 || change.Remove > len(there) {
		return nil, fmt.Errorf("remove: found %d; want 0 to %d, as many as there are", change.Remove, len(there))
	}
	gone := make(map[id.Agent]bool)
	for _, name := range there[len(there)-change.Remove:] {
		gone[name] = true
	}
	var problems []error
	for _, name := range change.RemoveNamed {
		if !slices.Contains(there, name) {
			problems = append(problems, fmt.Errorf("remove: there is no agent %s", name))
		}
		gone[name] = true
	}
	return gone, errors.Join(problems...)
}

// byNumber orders names that end in numbers as people do: agent-9 before
// agent-10.
func byNumber(a, b id.Agent) int {
	if d := len(a) - len(b); d != 0 && strings.TrimRight(string(a), "0123456789") == strings.TrimRight(string(b), "0123456789") {
		return d
	}
	return strings.Compare(string(a), string(b))
}

// without returns a record as it would be if some machines had not been there;
// nil if it would not be.
func without(record engine.Record, gone map[id.Agent]bool) engine.Record {
	switch r := record.(type) {
	case *engine.Agent:
		if gone[r.ID] {
			return nil
		}
	case *engine.Task:
		if gone[r.Claim.Agent] && !r.Status.State.Ended() {
			return nil
		}
		if gone[r.Claim.Agent] && r.Status.State == task.Lost || gone[r.Moves.To] {
			copied := *r
			copied.Moves = engine.Move{}
			return &copied
		}
	}
	return record
}

func (c Cluster) agents() func(func(*engine.Agent) bool) {
	return func(yield func(*engine.Agent) bool) {
		for _, record := range c.Records {
			if a, ok := record.(*engine.Agent); ok && !yield(a) {
				return
			}
		}
	}
}

// ran returns what each agent ran, as it would say itself.
func (c Cluster) ran() map[id.Agent][]engine.Report {
	tasks := make(map[id.Agent][]engine.Report)
	for _, record := range c.Records {
		t, ok := record.(*engine.Task)
		if ok && t.Status.State.HoldsClaim() && t.Status.State != task.Assigned {
			tasks[t.Claim.Agent] = append(tasks[t.Claim.Agent], engine.Report{Task: t.ID, Status: reported(t.Status)})
		}
	}
	return tasks
}

// reported is a task as its agent sees it: agents do not know what a master has
// decided and not told.
func reported(s task.Status) task.Status {
	if s.State != task.Draining {
		return s
	}
	if s.State = task.Running; !s.ReadySince.IsZero() {
		s.State = task.Ready
	}
	return s
}

// offered is what an agent offers, whatever the masters have decided about it.
func offered(a *engine.Agent) ledger.Agent {
	return ledger.Agent{ID: a.ID, Attributes: a.Attributes, Partitions: a.Partitions}
}

// pools returns the pools by name.
func (c Cluster) pools() map[id.Pool]ledger.Pool {
	list := make(map[id.Pool]ledger.Pool)
	for _, record := range c.Records {
		if pool, ok := record.(*engine.Pool); ok {
			list[pool.ID] = pool.Pool
		}
	}
	return list
}

// setPool changes a pool, or makes it.
func (c *Cluster) setPool(change PoolChange) {
	for i, record := range c.Records {
		if pool, ok := record.(*engine.Pool); ok && pool.ID == change.ID {
			c.Records[i] = &engine.Pool{Pool: change.on(pool.Pool), Version: pool.Version + 1}
			return
		}
	}
	c.Records = append(c.Records, &engine.Pool{Pool: change.on(ledger.Pool{}), Version: 1})
}

// add adds machines.
func (c *Cluster) add(shapes []Shape) error {
	taken := make(map[id.Agent]bool)
	for agent := range c.agents() {
		taken[agent.ID] = true
	}
	fallback := "agent"
	if len(taken) > 0 {
		fallback = "added"
	}
	var books ledger.Ledger // says what is wrong with a machine, as a master would
	for _, shape := range shapes {
		if len(taken)+shape.Count > machinesMax {
			return fmt.Errorf("the cluster has more than %d machines", machinesMax)
		}
		for _, name := range shape.names(taken, fallback) {
			agent := ledger.Agent{ID: name, Attributes: maps.Clone(shape.Attributes), Partitions: shape.Partitions}
			if err := books.SetAgent(agent); err != nil {
				return err
			}
			c.Records = append(c.Records, &engine.Agent{
				Agent: agent, BootID: "simulated", Hostname: string(name), Version: "simulated", Address: "127.0.0.1", JoinedAt: c.At,
			})
		}
	}
	return nil
}

// admit returns what of a workload the cluster would refuse.
func (c Cluster) admit(w Workload) error {
	machines, pools, taken := 0, c.pools(), false
	for _, record := range c.Records {
		switch r := record.(type) {
		case *engine.Agent:
			machines++
		case *engine.Service:
			taken = taken || strings.HasPrefix(string(r.Name), jobPrefix)
		}
	}
	var problems []error
	if machines == 0 {
		problems = append(problems, errors.New("the cluster has no machines"))
	}
	if taken {
		problems = append(problems, fmt.Errorf("the cluster has services that are called %s...; that is how a workload's jobs are called", jobPrefix))
	}
	for _, pool := range w.Pools() {
		if _, there := pools[pool]; !there {
			problems = append(problems, fmt.Errorf("the workload draws from pool %s; want one of those that are there: %s", pool, poolNames(pools)))
		}
	}
	return errors.Join(problems...)
}

func poolNames(pools map[id.Pool]ledger.Pool) string {
	if len(pools) == 0 {
		return "none"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		names = append(names, string(name))
	}
	return strings.Join(names, ", ")
}

// WithPools returns a cluster that was not recorded with the pools that a workload
// names and nobody has described: they bound nothing, and have priority 0. A
// recorded cluster stays as it is.
func (c Cluster) WithPools(w Workload) (Cluster, error) {
	if c.recorded {
		return c, nil
	}
	known := c.pools()
	var change Change
	for _, name := range w.Pools() {
		if _, there := known[name]; !there {
			change.Pools = append(change.Pools, PoolChange{ID: name})
		}
	}
	return c.With(change)
}

// nameOfJob returns the name under which a job is deployed, by its place in the
// workload.
func nameOfJob(i int) id.Service { return id.Service(jobPrefix + strconv.Itoa(i+1)) }
