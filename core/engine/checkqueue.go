package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/aloft-run/aloft/core/fairshare"
	"github.com/aloft-run/aloft/core/placement"
)

// checkQueue wants every group to stand where it belongs, the shares to be those of
// what is held, and nobody to wait who has a place.
func (e *Engine) checkQueue() error {
	broken := e.checkGroups()
	standing, refused, jobs := 0, 0, 0
	for _, p := range e.queue.inOrder() {
		if p.cell != nil {
			if first, found := p.cell.groups.First(); !found || first != p.cell.first {
				broken = append(broken, fmt.Errorf("a cell of %v does not stand by its first group", p.cell.key.account))
			}
		}
		for g := range p.groups() {
			standing++
			if g.ofJobs() {
				jobs += len(g.waiting)
			}
			broken = append(broken, e.checkRefused(g))
		}
	}
	for _, s := range e.queue.shapes {
		if s.pass == e.queue.pass {
			refused++
		}
	}
	if jobs != e.queue.jobs {
		broken = append(broken, fmt.Errorf("%d tasks of jobs wait, counted %d", jobs, e.queue.jobs))
	}
	if standing != len(e.queue.groups) || refused != e.queue.refused {
		broken = append(broken, fmt.Errorf("%d groups stand in the queue of %d, %d shapes are refused, counted %d", standing, len(e.queue.groups), refused, e.queue.refused))
	}
	return errors.Join(append(broken, e.checkShares())...)
}

// checkGroups wants every group to have tasks, and to stand by the first of them.
func (e *Engine) checkGroups() []error {
	var broken []error
	for _, g := range e.queue.groups {
		if len(g.waiting) == 0 || !slices.IsSortedFunc(g.waiting, compareEntries) || !g.since.Equal(g.waiting[0].record.CreatedAt) {
			broken = append(broken, fmt.Errorf("a group of %s stands in the queue by %v, with %d tasks", g.key.service, g.since, len(g.waiting)))
		}
	}
	return broken
}

// checkRefused wants a group that waits to have no place, when all was tried.
func (e *Engine) checkRefused(g *group) error {
	if e.queue.fresh || len(e.dirty) > 0 {
		return nil
	}
	if choice, found := e.placeFor(g.waiting[0]); found {
		return fmt.Errorf("task %s waits, and has a place on agent %s; it was refused for: %s", g.waiting[0].record.ID, choice.Agent, g.reason())
	}
	return nil
}

// placeFor returns the place that a task would get. It is false if it has none.
func (e *Engine) placeFor(t *entry) (placement.Choice, bool) {
	choice, err := placement.Choose(&e.books, request(t))
	if err == nil {
		choice, err = e.chooseBeside(t, choice)
	}
	return choice, err == nil && t.owner.full() == nil
}

// checkShares wants the shares to be as if all was counted anew.
func (e *Engine) checkShares() error {
	anew := fairshare.New()
	for _, t := range e.books.Types() {
		anew.SetTotal(t, e.books.Total(t))
	}
	for _, p := range e.pools {
		anew.SetPool(p.ID, p.Priority, p.weight())
	}
	held := make(map[fairshare.Account]bool)
	for _, t := range e.tasks {
		if t.state().HoldsClaim() {
			t.charge(anew.Charge)
			held[account(t.record.Claim.Pool, t.spec())] = true
		}
	}
	for a := range held {
		if is, want := e.queue.shares.Share(a), anew.Share(a); is != want {
			return fmt.Errorf("user %q of pool %q has a share of %g, counted %g", a.User, a.Pool, want, is)
		}
		if is, want := e.queue.shares.PoolShare(a.Pool), anew.PoolShare(a.Pool); is != want {
			return fmt.Errorf("pool %q has a share of %g, counted %g", a.Pool, want, is)
		}
	}
	return nil
}
