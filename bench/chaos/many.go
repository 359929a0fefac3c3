package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/aloft-run/aloft/bench/machine"
)

// breakerWithin is how long it may take until the breaker opens after agents were cut
// off. The leader may change meanwhile, and the next one gives them their time anew.
const breakerWithin = 30 * time.Second

// cutWithin is how long it may take to cut them off, for the breaker to be what keeps
// their tasks: an agent that is silent alone keeps them for 6 s.
const cutWithin = 2 * time.Second

// manyCut is how many agents are cut off from the masters at once: more than the
// breaker lets go, while enough are left for it not to be the whole cluster.
const manyCut = 3

// blackout cuts many agents off from the masters, so that the breaker has to open, to
// keep their tasks, and to close by itself. One is made at a time.
type blackout struct {
	api     *api
	masters []*machine.Machine
	agents  []*part
	since   time.Time // from when on none of their tasks may be given up
}

func newBlackout(a *api, masters, agents []*part) *blackout {
	b := &blackout{api: a, agents: agents}
	for _, m := range masters {
		b.masters = append(b.masters, m.Machine)
	}
	return b
}

// with returns the agents that are cut off together with p, and p.
func (b *blackout) with(p *part) []*part {
	first := slices.Index(b.agents, p)
	return slices.Concat(b.agents, b.agents)[first : first+manyCut]
}

// strike returns when the breaker has opened.
func (b *blackout) strike(ctx context.Context, p *part) error {
	b.since = time.Now()
	var cutting errgroup.Group
	for _, one := range b.with(p) {
		cutting.Go(func() error { return one.Cut(ctx, machine.Both, b.masters...) })
	}
	if err := cutting.Wait(); err != nil {
		return err
	}
	slow := time.Since(b.since) > cutWithin
	err := b.breaker(ctx, true, breakerWithin)
	if slow { // so the first may have been silent for too long before the others were
		b.since = time.Now()
	}
	return err
}

// mend returns when the breaker has closed by itself. No task may have been given up.
func (b *blackout) mend(ctx context.Context, p *part) error {
	var problems []error
	lost, err := b.api.lost(ctx)
	problems = append(problems, err)
	for _, one := range b.with(p) {
		for _, t := range lost {
			if t.Agent == one.Name() && t.Status.Since.After(b.since) {
				problems = append(problems, fmt.Errorf("task %s on %s was given up while the breaker was to keep it: %s", t.ID, t.Agent, t.Status.Reason))
			}
		}
		problems = append(problems, one.Heal(ctx))
	}
	return errors.Join(append(problems, b.breaker(ctx, false, recoverWithin))...)
}

// breaker waits until the breaker is open, or closed.
func (b *blackout) breaker(ctx context.Context, open bool, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return until(ctx, map[bool]string{true: "the breaker has opened", false: "the breaker has closed by itself"}[open], func() (bool, error) {
		now, err := b.api.breakerIsOpen(ctx)
		return err == nil && now == open, err
	})
}
