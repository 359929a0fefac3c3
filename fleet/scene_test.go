package fleet_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/aloft-run/aloft/fleet"
)

// scene is masters of a cluster with a fleet in sessions with them.
type scene struct {
	*masters

	size   fleet.Size
	rest   *fleet.Rest
	load   time.Duration // from the start of the masters until one answered a write
	agents *fleet.Fleet  // nil before they join
	leave  func()        // ends their sessions
}

// newScene starts masters of a cluster at rest, whose agents are not there yet. One
// without services is empty.
func newScene(b *testing.B, masters int, size fleet.Size) *scene {
	b.Helper()
	rest, err := fleet.AtRest(size, time.Now().Add(-time.Hour).Truncate(time.Second))
	if err != nil {
		b.Fatal(err)
	}
	s := &scene{masters: newMasters(b, masters), size: size, rest: rest}
	if size.Services > 0 {
		s.fill(rest.Records)
	}
	began := time.Now()
	for i := range masters {
		s.start(i)
	}
	s.awaitWrite()
	s.load = time.Since(began)
	makeReady(size.Agents)
	return s
}

// join has all agents come, and returns how long that took. They stay until they
// leave, or the benchmark ends.
func (s *scene) join() time.Duration {
	s.Helper()
	var err error
	s.agents, err = fleet.New(fleet.Config{Masters: s.apis, Agents: s.rest.Agents, PerClient: *perClientFlag})
	if err != nil {
		s.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.Context())
	var running sync.WaitGroup
	began := time.Now()
	running.Go(func() { _ = s.agents.Run(ctx) })
	s.leave = sync.OnceFunc(func() {
		stop()
		running.Wait()
	})
	s.Cleanup(s.leave)
	s.joined(1)
	return time.Since(began)
}

// joined waits until all agents are in a session with a leader of that epoch.
func (s *scene) joined(epoch uint64) {
	s.Helper()
	until(s.B, "all agents have joined", func() bool { return s.agents.Joined(epoch) == s.size.Agents })
}
