package simulate

import (
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// meter measures a run. It counts by itself what tasks hold, so that what it says
// can be held against the books.
type meter struct {
	types    []resource.Type // scalar ones; amounts are in their order
	pools    accounts
	users    accounts
	all      account // of the workload
	arrived  int     // copies of the workload's jobs
	expected int
	waiting  int
	running  int // they hold a claim
	done     int
	failed   int
	elapsed  time.Duration
	series   series
	use      []gauge // by type, as a part of what there is
	weighted []gauge // R, in the type's smallest unit
	capacity []int64
	queueMax int
}

// bill is what a task takes, and who pays.
type bill struct {
	amounts []int64
	pool    id.Pool
	user    string
}

// gauge is a value over time.
type gauge struct {
	now, sum    float64 // sum is in value-seconds
	least, most float64
	set         bool
}

func (g *gauge) pass(value float64, d time.Duration) {
	if !g.set || value < g.least {
		g.least = value
	}
	if !g.set || value > g.most {
		g.most = value
	}
	g.now, g.set = value, true
	g.sum += value * d.Seconds()
}

// mean returns the mean value over a time.
func (g *gauge) mean(over time.Duration) float64 {
	if over <= 0 {
		return g.now
	}
	return g.sum / over.Seconds()
}

func newMeter(books *ledger.Ledger, w Workload) *meter {
	m := &meter{expected: w.copies(), pools: newAccounts(), users: newAccounts(), types: scalars(books)}
	m.use, m.weighted = make([]gauge, len(m.types)), make([]gauge, len(m.types))
	m.capacity = make([]int64, len(m.types))
	m.series = newSeries(len(m.types))
	return m
}

// scalars returns the resource types that are numbers, in order.
func scalars(books *ledger.Ledger) []resource.Type {
	var list []resource.Type
	for agent := range books.Agents() {
		for p := range agent.Partitions() {
			if at, found := slices.BinarySearch(list, p.Type); !found && p.Quantity.Kind() == resource.KindScalar {
				list = slices.Insert(list, at, p.Type)
			}
		}
	}
	return list
}

// billOf returns what a task of a spec takes.
func (m *meter) billOf(s *spec.Spec, pool id.Pool) bill {
	b := bill{amounts: make([]int64, len(m.types)), pool: pool}
	for i, t := range m.types {
		if q, ok := s.Resources.Get(t); ok {
			b.amounts[i] = q.Amount()
		}
	}
	if pool == "" && len(s.Pools) > 0 {
		b.pool = s.Pools[0] // the one that it waits for, as far as is known
	}
	return b
}

// arrive counts the copies of a job that has come.
func (m *meter) arrive(job Job) { m.arrived += job.Copies }

// phase is what of a task's life is measured.
type phase uint8

const (
	absent phase = iota
	waits
	holds
	ended
)

func phaseOf(s task.State) phase {
	switch {
	case s == 0:
		return absent
	case s == task.Pending:
		return waits
	case s.Ended():
		return ended
	default:
		return holds
	}
}

// move counts a task that has gone from one state to another, and reports whether
// a copy of the workload has found a place or ended. It draws from that pool, once
// it holds something.
func (m *meter) move(r *run, was task.State, drawn id.Pool, at time.Duration) bool {
	before, after := phaseOf(was), phaseOf(r.state)
	if before == after {
		return false
	}
	pool, user := m.pools.of(string(r.bill.pool)), m.users.of(r.bill.user)
	if before == waits {
		m.count(r, pool, user, func(n *standing) { n.waiting-- })
	}
	if before == holds {
		m.count(r, pool, user, func(n *standing) { n.running-- })
		m.pay(pool, user, r, -1)
	}
	if after == waits {
		m.count(r, pool, user, func(n *standing) { n.waiting++ })
	}
	if after == holds {
		r.bill.pool = drawn
		pool = m.pools.of(string(drawn))
		m.count(r, pool, user, func(n *standing) { n.running++ })
		m.pay(pool, user, r, +1)
	}
	if r.job < 0 {
		return false
	}
	if after == holds {
		m.record(pool, user, at-r.since)
		m.series.placed()
	}
	if r.state == task.Finished {
		m.done++
	}
	if r.state == task.Failed {
		m.failed++
	}
	return after == holds || after == ended
}

// standing is how many tasks stand how.
type standing struct{ waiting, running int }

// count changes the standing of a task's pool, and of its user and of all where
// it is the workload's.
func (m *meter) count(r *run, pool, user *account, change func(*standing)) {
	change(&pool.standing)
	if r.job < 0 {
		return
	}
	change(&user.standing)
	all := standing{m.waiting, m.running}
	change(&all)
	m.waiting, m.running = all.waiting, all.running
}

// pay books what a task takes with those who pay for it, or takes it back.
func (m *meter) pay(pool, user *account, r *run, sign int64) {
	pool.pay(r.bill.amounts, sign)
	if r.job >= 0 {
		user.pay(r.bill.amounts, sign)
		m.all.pay(r.bill.amounts, sign)
	}
}

// record notes for how long a copy has waited.
func (m *meter) record(pool, user *account, waited time.Duration) {
	for _, a := range []*account{&m.all, pool, user} {
		a.waits = append(a.waits, waited)
	}
}

// pass has time pass in which nothing changes.
func (m *meter) pass(books *ledger.Ledger, d time.Duration) {
	if d <= 0 {
		return
	}
	now := newValues(len(m.types))
	for i, t := range m.types {
		balance := books.Balance(t)
		m.capacity[i] = balance.Quantity
		m.use[i].pass(part(balance.Claimed, balance.Quantity), d)
		m.weighted[i].pass(books.R(t), d)
		now.use[i], now.weighted[i] = m.use[i].now, m.weighted[i].now
	}
	m.pools.pass(m.capacity, d)
	m.users.pass(m.capacity, d)
	now.waiting, now.running = float64(m.waiting), float64(m.running)
	m.queueMax = max(m.queueMax, m.waiting)
	m.elapsed += d
	m.series.pass(now, d)
}

// part returns n as a part of all; of nothing, 0.
func part(n, all int64) float64 {
	if all == 0 {
		return 0
	}
	return float64(n) / float64(all)
}
