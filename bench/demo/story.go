package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/aloft-run/aloft/bench/builds"
	"github.com/aloft-run/aloft/bench/cluster"
	"github.com/aloft-run/aloft/bench/load"
)

const (
	instances = 4 // of v1 to v3
	later     = 3 // of v4 and v5: a number in the file counts again when it changes
	surge     = 1
	settle    = time.Second
	// deadline is how long a good release may go without progress, even on a
	// machine that has much else to do; patience is how long a bad one may.
	deadline = 30 * time.Second
	patience = 5 * time.Second
	// afterwards is how long a phase goes on after its change, for what may follow.
	afterwards = 1500 * time.Millisecond
	// phaseWithin is how long a phase may take before it has failed.
	phaseWithin = time.Minute
	failuresMax = 10 // that are told
)

// story is what happens to the service while the load goes on.
type story struct {
	opts     options
	cluster  *cluster.Cluster
	releases map[string]builds.Release
	table    table
	claims   *claims
	load     *load.Load
	kills    []load.Window
	tallies  []load.Tally
}

// phase is one change. Its wished number is the higher of those before and after.
type phase struct {
	name   string
	wished int
	act    func(context.Context) error
}

func (s *story) phases() []phase {
	return []phase{
		{"deploy v1 in 4 instances", instances, s.deployFirst},
		{"roll to v2", instances, s.rollTo("v2", instances)},
		{"roll to v3, never ready, and go back", instances, s.rollBack("v3", "v2")},
		{"scale from 4 to 8", 8, s.scale(8)},
		{"scale from 8 to 2", 8, s.scale(2)},
		{"deploy v4 in 3, and v5 in its middle", later, s.rollTwice("v4", "v5")},
		{"kill -9 of an instance", later, s.killInstance},
		{"kill -9 of an agent, and its return", later, s.killAgent},
		{"drain the agent, another takes over", later, s.drain},
		{"undrain the agent", later, s.undrain},
	}
}

// play goes through the phases until one fails, and tells what was lost.
func (s *story) play(ctx context.Context) error {
	s.claims = watchClaims(ctx, s.cluster)
	defer s.claims.stop()
	phases := append(s.phases(), phase{"no change", later, s.goOn})
	for i, p := range phases {
		next := "the end"
		if i+1 < len(phases) {
			next = phases[i+1].name
		}
		if err := s.playOne(ctx, p, next); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), s.sumUp(ctx))
		}
	}
	return s.sumUp(ctx)
}

// playOne makes a change, waits for what may follow, and prints the phase's
// line. The next phase begins before it returns.
func (s *story) playOne(ctx context.Context, p phase, next string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, phaseWithin, fmt.Errorf("it takes longer than %s", phaseWithin))
	defer cancel()
	began := time.Now()
	acted := p.act(ctx)
	if acted == nil {
		acted = pause(ctx, afterwards)
	}
	most, watched := s.claims.take()
	if s.load == nil {
		return errors.Join(acted, watched)
	}
	took := time.Since(began)
	tally, counted := s.tally(ctx, s.load.Next(next))
	above := max(0, most-p.wished)
	s.table.print(line{tally: tally, took: took, above: above})
	if above > surge {
		counted = errors.Join(counted, fmt.Errorf("%d claims above the wished number, want at most %d", above, surge))
	}
	return errors.Join(acted, watched, counted)
}

// tally counts the requests of a phase that has ended.
func (s *story) tally(ctx context.Context, number int) (load.Tally, error) {
	tally, err := s.load.Tally(context.WithoutCancel(ctx), number)
	for _, kill := range s.kills {
		tally = tally.Excuse(kill)
	}
	s.tallies = append(s.tallies, tally)
	return tally, err
}

// sumUp stops the load and tells what was lost in all phases.
func (s *story) sumUp(ctx context.Context) error {
	if s.load == nil {
		return nil
	}
	s.load.Stop()
	if _, err := s.tally(ctx, s.load.Next("")); err != nil { // the requests of the end
		return err
	}
	var failures, excused []load.Result
	for _, t := range s.tallies {
		failures = append(failures, t.Failures...)
		excused = append(excused, t.Excused...)
	}
	out := s.table.out
	fmt.Fprintln(out)
	for _, f := range failures[:min(failuresMax, len(failures))] {
		fmt.Fprintln(out, f)
	}
	if len(excused) > 0 {
		fmt.Fprintf(out, "POSTs in flight on the instance that was killed, counted apart: %d\n", len(excused))
	}
	fmt.Fprintf(out, "%d failed of %d\n", len(failures), s.load.Begun()-len(excused))
	if len(failures) > 0 {
		return fmt.Errorf("%d requests failed", len(failures))
	}
	return nil
}

// goOn waits until enough requests were sent.
func (s *story) goOn(ctx context.Context) error {
	return cluster.Until(ctx, "enough requests were sent", func() (bool, error) {
		return s.load.Begun() >= s.opts.requests, nil
	})
}

// answeredBy waits until the newest answers are of these versions and no other.
func (s *story) answeredBy(ctx context.Context, versions ...string) error {
	err := cluster.Until(ctx, fmt.Sprintf("all answers are of %v", versions), func() (bool, error) {
		return slices.Equal(s.load.Newest(), versions), nil
	})
	if err != nil {
		return fmt.Errorf("%w: the newest are of %v", err, s.load.Newest())
	}
	return nil
}

// routed waits until the router knows the service.
func (s *story) routed(ctx context.Context) error {
	return cluster.Until(ctx, "the router knows the service", func() (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cluster.HTTP+"/ready", nil)
		if err != nil {
			return false, err
		}
		request.Host = builds.Host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err
		}
		return response.StatusCode != http.StatusNotFound, response.Body.Close()
	})
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
