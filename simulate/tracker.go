package simulate

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// tracker follows the tasks and jobs of a run, and has the meter count them.
type tracker struct {
	cfg    Config
	books  *ledger.Ledger // to read only
	meter  *meter
	runs   map[id.Task]*run
	jobs   map[id.Service]int // the jobs of the workload that are deployed, by name
	pools  map[id.Pool]ledger.Pool
	came   int // jobs that have arrived
	ended  int // jobs that have, and failed of them badly
	failed int
}

func newTracker(cfg Config, books *ledger.Ledger) tracker {
	t := tracker{
		cfg: cfg, books: books, meter: newMeter(books, cfg.Workload),
		runs: make(map[id.Task]*run), jobs: make(map[id.Service]int), pools: cfg.Cluster.pools(),
	}
	for name, pool := range t.pools {
		t.meter.pools.of(string(name)).weight = weightOf(pool)
	}
	return t
}

// run is a task, as its agent and the meter see it.
type run struct {
	id      id.Task
	agent   id.Agent
	job     int           // of the workload; -1 for what else the cluster runs
	since   time.Duration // when it was created
	state   task.State
	attempt int
	turn    int  // grows with each change of state
	ends    bool // its program does, after its length
	length  time.Duration
	bill    bill
	reason  string // why it waits
}

// track notes how a task is, and returns it and the state that it was in before.
// created is when it was, on the run's clock.
func (t *tracker) track(record *engine.Task, s *spec.Spec, created time.Duration) (r *run, was task.State) {
	if r = t.runs[record.ID]; r == nil {
		r = &run{id: record.ID, job: -1, since: created}
		if s != nil {
			t.fill(r, record, s)
		}
		t.runs[record.ID] = r
	}
	was = r.state
	r.agent, r.attempt, r.reason = record.Claim.Agent, record.Status.Attempt, record.Status.Reason
	if r.state = record.Status.State; r.state != was {
		r.turn++
	}
	if r.state.Ended() {
		delete(t.runs, record.ID)
	}
	return r, was
}

// fill says of a task what its spec and the workload say.
func (t *tracker) fill(r *run, record *engine.Task, s *spec.Spec) {
	r.ends = s.RunsToCompletion()
	r.bill = t.meter.billOf(s, record.Claim.Pool)
	if i, ours := t.jobs[record.Service]; ours {
		r.job, r.length = i, t.cfg.Workload.Jobs[i].Length
		r.bill.user = t.cfg.Workload.Jobs[i].User
	} else if r.ends {
		r.length = t.cfg.guess(record.ID)
	}
}

// comes counts a job that arrives, and returns its spec.
func (t *tracker) comes(i int) *spec.Spec {
	job := t.cfg.Workload.Jobs[i]
	wanted := spec.New(spec.Job, nameOfJob(i))
	wanted.Instances, wanted.Resources = job.Copies, job.Resources
	wanted.User = job.User
	wanted.Run.Command = []string{"sleep", job.Length.String()}
	if job.Pool != "" {
		wanted.Pools = []id.Pool{job.Pool}
	}
	t.came++
	t.jobs[wanted.Name] = i
	t.meter.arrive(job)
	return wanted
}

// judge reports whether a job of the workload has ended, and which. It is to be
// removed then, so that it does not take up memory.
func (t *tracker) judge(s *engine.Service) (job int, over bool) {
	i, ours := t.jobs[s.Name]
	if !ours || s.Result == engine.Underway || s.Result == engine.NoResult {
		return 0, false
	}
	delete(t.jobs, s.Name)
	if t.ended++; s.Result != engine.Succeeded {
		t.failed++
	}
	return i, true
}

// allEnded reports whether every job has come and ended.
func (t *tracker) allEnded() bool { return t.came == len(t.cfg.Workload.Jobs) && len(t.jobs) == 0 }

func (t *tracker) tellProgress(at time.Duration) {
	t.cfg.Progress(Progress{At: at, Arrived: t.meter.arrived, Of: t.meter.expected, Done: t.meter.done, Waiting: t.meter.waiting})
}

// report tells what the run has come to.
func (t *tracker) report(now time.Duration) *Report {
	m := t.meter
	r := &Report{
		Machines: t.books.AgentCount(), Seconds: m.elapsed.Seconds(), QueueMax: m.queueMax,
		Copies: Tally{Arrived: m.arrived, Done: m.done, Failed: m.failed, Running: m.running, Waiting: m.waiting},
	}
	if m.elapsed > 0 {
		r.Placed = float64(len(m.all.waits)) / m.elapsed.Seconds()
	}
	r.Jobs = t.tally()
	t.stillWaiting(r, now)
	r.Waits = append(r.Waits, waitOf("all", &m.all))
	for _, a := range m.pools.order {
		r.addAccount("pool", a, m.elapsed, t.pools)
	}
	for _, a := range m.users.order {
		r.addAccount("user", a, m.elapsed, t.pools)
	}
	for of, a := range map[string]*accounts{"pool": &m.pools, "user": &m.users} {
		if index, contested := a.jain(); contested {
			r.Fairness = append(r.Fairness, Jain{Of: of, Index: index, Contested: a.contested.Seconds() / m.elapsed.Seconds()})
		}
	}
	slices.SortFunc(r.Fairness, func(a, b Jain) int { return cmp.Compare(a.Of, b.Of) })
	for i, of := range m.types {
		r.Use = append(r.Use, Use{
			Type: of, Capacity: natural(of, float64(m.capacity[i])), Mean: m.use[i].mean(m.elapsed), Most: m.use[i].most,
			RMean: natural(of, m.weighted[i].mean(m.elapsed)), RLeast: natural(of, m.weighted[i].least), RMost: natural(of, m.weighted[i].most),
		})
	}
	r.Series = m.points()
	return r
}

// addAccount tells of a pool or user. What nobody's jobs took is not told.
func (r *Report) addAccount(of string, a *account, elapsed time.Duration, pools map[id.Pool]ledger.Pool) {
	if a.name == "" {
		return
	}
	if len(a.waits) > 0 {
		r.Waits = append(r.Waits, waitOf(of, a))
	}
	share := Share{Of: of, Name: a.name, Mean: a.share.mean(elapsed), Most: a.share.most, Waiting: a.backlog.Seconds() / max(elapsed.Seconds(), 1e-9)}
	if of == "pool" {
		pool := pools[id.Pool(a.name)]
		share.Priority, share.Weight = pool.Priority, weightOf(pool)
	}
	r.Shares = append(r.Shares, share)
}

// weightOf returns how much of what jobs get is the part of a pool, beside others of
// its priority.
func weightOf(pool ledger.Pool) float64 {
	if pool.Weight == 0 {
		return 1
	}
	return float64(pool.Weight) / ledger.WeightOne
}

// tally counts the jobs.
func (t *tracker) tally() Tally {
	n := Tally{Arrived: t.came, Done: t.ended - t.failed, Failed: t.failed}
	runs := make(map[int]bool)
	for _, r := range t.runs {
		if r.job >= 0 && phaseOf(r.state) == holds {
			runs[r.job] = true
		}
	}
	n.Running = len(runs)
	n.Waiting = len(t.jobs) - n.Running
	return n
}

// stillWaiting adds for how long copies have waited that still do, and why.
func (t *tracker) stillWaiting(r *Report, now time.Duration) {
	reasons := make(map[string]int)
	for _, name := range slices.Sorted(maps.Keys(t.runs)) {
		run := t.runs[name]
		if run.job < 0 || phaseOf(run.state) != waits {
			continue
		}
		t.meter.record(t.meter.pools.of(string(run.bill.pool)), t.meter.users.of(run.bill.user), now-run.since)
		if run.reason != "" {
			reasons[run.reason]++
		}
	}
	for text, n := range reasons {
		r.Reasons = append(r.Reasons, Reason{Copies: n, Text: text})
	}
	slices.SortFunc(r.Reasons, func(a, b Reason) int { return cmp.Or(cmp.Compare(b.Copies, a.Copies), cmp.Compare(a.Text, b.Text)) })
	r.Reasons = r.Reasons[:min(len(r.Reasons), reasonsMax)]
}
