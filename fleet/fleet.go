// Package fleet is agents without machines: many of them in one process, each in
// a session of its own with the masters, by the same client and protocol as an
// agent that has a machine. It is for finding out what a master can carry.
//
// An agent of a fleet obeys its orders at once and reports what an agent would
// whose programs all do well; no program runs. A job's copy ends when its length
// has passed, where it was told one. What it runs survives the end of
// its session, and of the master, as with real agents.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/client"
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
)

// Config is what a fleet is started with. Zero fields get their defaults.
type Config struct {
	Masters   []string // addresses; default: client.DefaultAddress
	Agents    []Agent
	PerClient int // agents that share a client, and so its connections; default 200
	// Pauses bound the time between two sessions of an agent; each is drawn
	// between half of its length and its length. Default: those of an agent.
	Pauses Pauses
	// Length tells for how long the program of a job's copy runs before it ends well;
	// 0: for ever. It is asked once for each, also for those that an agent has at the
	// start, then without the service. It must be safe for concurrent use. Default: for
	// ever.
	Length func(task id.Task, service id.Service) time.Duration
}

// Pauses are a row of pauses, of which each is twice as long as the one before.
type Pauses struct {
	Min time.Duration // default 50ms
	Max time.Duration // default 2s
}

// Agent is one agent of a fleet, with what it runs at the start.
type Agent struct {
	ledger.Agent

	Tasks []engine.Report
}

func (c Config) withDefaults() Config {
	if c.PerClient == 0 {
		c.PerClient = 200
	}
	if c.Pauses.Min == 0 {
		c.Pauses.Min = 50 * time.Millisecond
	}
	if c.Pauses.Max == 0 {
		c.Pauses.Max = 2 * time.Second
	}
	if c.Length == nil {
		c.Length = func(id.Task, id.Service) time.Duration { return 0 }
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if c.PerClient < 0 {
		problems = append(problems, fmt.Errorf("%d agents for each client; want more than 0", c.PerClient))
	}
	if c.Pauses.Min < 0 || c.Pauses.Max < c.Pauses.Min {
		problems = append(problems, fmt.Errorf("pauses from %v to %v are no range", c.Pauses.Min, c.Pauses.Max))
	}
	for _, a := range c.Agents {
		var books ledger.Ledger // as the master will do
		problems = append(problems, books.SetAgent(a.Agent))
	}
	return errors.Join(problems...)
}

// Fleet is agents in one process. Make it with New and start it with Run.
type Fleet struct {
	cfg     Config
	clients []*shared
	agents  []*agent
	broken  atomic.Int64
}

// New returns a fleet that has not started.
func New(cfg Config) (*Fleet, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("fleet config: %w", err)
	}
	f := &Fleet{cfg: cfg}
	for i, a := range cfg.Agents {
		if i%cfg.PerClient == 0 {
			c, err := client.Open(client.Config{Masters: cfg.Masters})
			if err != nil {
				return nil, err
			}
			f.clients = append(f.clients, &shared{Client: c, pauses: cfg.Pauses, broken: &f.broken, out: make(map[string]bool)})
		}
		made := newAgent(a, cfg.Length)
		made.out = f.clients[i/cfg.PerClient].goOut(string(a.ID))
		f.agents = append(f.agents, made)
	}
	return f, nil
}

// Run keeps every agent in a session until ctx is done. All that it started has
// ended when it returns.
func (f *Fleet) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for i, a := range f.agents {
		running.Go(func() { a.run(ctx, f.clients[i/f.cfg.PerClient]) })
	}
	running.Wait()
	for _, c := range f.clients {
		c.Close()
	}
	return context.Cause(ctx)
}

// Break ends all sessions and connections at once, as a network that fails for a
// moment. Each agent then begins its next session, after a pause.
func (f *Fleet) Break() {
	for _, a := range f.agents {
		a.cut()
	}
	for _, c := range f.clients {
		c.Close()
	}
}

// Joined returns how many agents are in a session with the leader of that epoch
// or a later one, which has made durable that they are.
func (f *Fleet) Joined(epoch uint64) int {
	joined := 0
	for _, a := range f.agents {
		if seen := a.epoch.Load(); seen != 0 && seen >= epoch {
			joined++
		}
	}
	return joined
}

// Running returns how many tasks all agents run.
func (f *Fleet) Running() int {
	running := 0
	for _, a := range f.agents {
		running += a.running()
	}
	return running
}

// Broken returns how many sessions have broken so far, those that never came
// about included.
func (f *Fleet) Broken() int64 { return f.broken.Load() }
