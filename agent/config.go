package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
)

// Config is what an agent is started with. Zero fields get their defaults.
type Config struct {
	ID         id.Agent
	BootID     string // changes when the machine restarts: then no task survived
	Hostname   string
	Version    string
	Address    string // where routers reach the tasks' ports; default 127.0.0.1
	Attributes map[string]string
	Partitions []ledger.Partition
	DataDir    string // keeps tasks, logs and sandboxes
	EndedMax   int    // ended tasks whose logs are kept; default 100
	Reconnect  Reconnect
	Log        *slog.Logger // default: discard
}

// Reconnect bounds the pause between two sessions; each pause is drawn between
// half of its length and its length, so that agents do not come back in step.
type Reconnect struct {
	Min time.Duration // default 50ms
	Max time.Duration // default 2s
}

func (c Config) withDefaults() Config {
	if c.Address == "" {
		c.Address = "127.0.0.1"
	}
	if c.EndedMax == 0 {
		c.EndedMax = 100
	}
	if c.Reconnect.Min == 0 {
		c.Reconnect.Min = 50 * time.Millisecond
	}
	if c.Reconnect.Max == 0 {
		c.Reconnect.Max = 2 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if err := id.Check(c.ID); err != nil {
		problems = append(problems, fmt.Errorf("id: %w", err))
	}
	if c.DataDir == "" {
		problems = append(problems, errors.New("data dir is missing"))
	}
	if len(c.Partitions) == 0 {
		problems = append(problems, errors.New("an agent needs at least one partition"))
	}
	if c.EndedMax < 0 {
		problems = append(problems, fmt.Errorf("ended tasks kept is %d; it must not be negative", c.EndedMax))
	}
	if c.Reconnect.Min < 0 || c.Reconnect.Max < c.Reconnect.Min {
		problems = append(problems, fmt.Errorf("reconnect pause from %v to %v is no range", c.Reconnect.Min, c.Reconnect.Max))
	}
	return errors.Join(problems...)
}

// pause is the row of pauses between sessions.
type pause struct {
	length, longest time.Duration
}

func (r Reconnect) restart() *pause { return &pause{r.Min, r.Max} }

// next returns a pause that doubles each time, less up to half of it by chance.
func (p *pause) next() time.Duration {
	length := p.length
	p.length = min(2*length, p.longest)
	return length/2 + rand.N(length/2+1)
}
