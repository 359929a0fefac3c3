package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aloft-run/aloft/agent/probe"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
)

// Config is what an agent is started with. Zero fields get their defaults.
type Config struct {
	ID         id.Agent
	BootID     string // changes when the machine restarts: then no task survived
	Hostname   string
	Version    string
	Address    string // host name or IP where routers reach the tasks' ports; default 127.0.0.1
	Attributes map[string]string
	Partitions []ledger.Partition
	DataDir    string // keeps tasks, logs and sandboxes; for one agent only
	EndedMax   int    // ended tasks whose logs are kept; default 100
	Reconnect  Reconnect
	Probe      func(probe.Target) (probe.Checker, error) // the way of the questions to a program; default: probe.NewChecker
	Clock      func() time.Duration                      // that of leases, with which heartbeats are marked; default: runtime.SinceBoot
	Log        *slog.Logger                              // default: discard
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
	if c.Probe == nil {
		c.Probe = probe.NewChecker
	}
	if c.Clock == nil {
		c.Clock = runtime.SinceBoot
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if c.DataDir == "" {
		problems = append(problems, errors.New("data dir is missing"))
	}
	if len(c.Partitions) == 0 {
		problems = append(problems, errors.New("an agent needs at least one partition"))
	}
	var books ledger.Ledger // as the master will do
	if err := books.SetAgent(ledger.Agent{ID: c.ID, Attributes: c.Attributes, Partitions: c.Partitions}); err != nil {
		problems = append(problems, err)
	}
	if net.ParseIP(c.Address) == nil && strings.ContainsAny(c.Address, ":/ ") {
		problems = append(problems, fmt.Errorf("address: found %q; want a host name or an IP address, without a port", c.Address))
	}
	texts := []string{c.BootID, c.Hostname, c.Version, c.Address}
	texts = slices.AppendSeq(texts, maps.Keys(c.Attributes))
	texts = slices.AppendSeq(texts, maps.Values(c.Attributes))
	if slices.ContainsFunc(texts, func(text string) bool { return !utf8.ValidString(text) }) {
		problems = append(problems, errors.New("names and attributes must be UTF-8"))
	}
	if c.EndedMax < 0 {
		problems = append(problems, fmt.Errorf("ended tasks kept is %d; it must not be negative", c.EndedMax))
	}
	if c.Reconnect.Min < 0 || c.Reconnect.Max < c.Reconnect.Min {
		problems = append(problems, fmt.Errorf("reconnect pause from %v to %v is no range", c.Reconnect.Min, c.Reconnect.Max))
	}
	return errors.Join(problems...)
}
