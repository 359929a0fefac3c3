// Package simulate answers what a cluster would do with a workload: who waits for
// how long, what is used, and who gets how much, if there were more machines, or
// a pool had another priority.
//
// Run drives the engine of the masters event by event on a clock of its own, with
// agents that do what they are told and whose programs end when their length has
// passed. What is decided is decided by the code that decides in a cluster; a day
// passes in seconds. The same Config gives the same Report.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// Config is a run. Zero fields get their defaults.
type Config struct {
	Cluster  Cluster
	Workload Workload
	Seed     uint64        // for the lengths of what ran when the cluster was recorded
	Startup  time.Duration // from an agent's order until its program runs; default 100 ms, below 0: none
	Until    time.Duration // the run ends then; default: when every job has ended, or none can start any more
	Progress func(Progress)
}

// Progress is how far a run has come.
type Progress struct {
	At      time.Duration // on the run's own clock
	Arrived int           // copies of the workload's jobs
	Of      int           // those that will have arrived in the end
	Done    int
	Waiting int
}

const startupDefault = 100 * time.Millisecond

func (c Config) withDefaults() Config {
	switch {
	case c.Startup == 0:
		c.Startup = startupDefault
	case c.Startup < 0:
		c.Startup = 0
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	return c
}

func (c Config) validate() error {
	if c.Until < 0 {
		return fmt.Errorf("until: found %v; want a time after the beginning", c.Until)
	}
	return errors.Join(c.Workload.check(), c.Cluster.admit(c.Workload))
}

// Run has the workload come to the cluster, and reports what became of it. The
// error is a Config that cannot be, or why ctx is done.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w, err := newWorld(cfg)
	if err != nil {
		return nil, err
	}
	if err := w.run(ctx); err != nil {
		return nil, err
	}
	return w.report(w.now.Sub(w.began)), nil
}

// unknownLength is that of a program that ran already when the cluster was
// recorded, where the workload has no jobs to tell by.
const unknownLength = 5 * time.Minute

// guess returns for how much longer a program runs that ran already: nobody knows,
// so it is the length of one of the workload's jobs. It is the same in every run
// with that seed.
func (c Config) guess(name id.Task) time.Duration {
	jobs := c.Workload.Jobs
	if len(jobs) == 0 {
		return unknownLength
	}
	sum := fnv.New64a()
	sum.Write([]byte(name))
	return jobs[rand.New(rand.NewPCG(c.Seed, sum.Sum64())).IntN(len(jobs))].Length //nolint:gosec // it shall be the same each time
}
