package master

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
)

// group is what the loop hands on to be made durable together: what changed, and the
// calls that are answered then. They are answered although nothing changed, too, once
// all before them is durable, for they were folded in after it.
type group struct {
	changes engine.Changes
	strays  []id.Agent // of the agents that changes has orders for: those with tasks that they should not have
	calls   []call
}

// commits is how the loop and the goroutine that commits speak with each other.
type commits struct {
	groups chan *group // closed when there are no more
	told   chan told   // holds the newest
	broken chan error  // holds the one error that ends the term
}

// told says until which batch all is durable and published, and since when.
type told struct {
	batch uint64
	at    time.Time
}

// tell has the loop know of the newest, in place of one that it has not looked at.
func (c commits) tell(newest told) {
	select {
	case <-c.told:
	default:
	}
	c.told <- newest // there is room: only this sends
}

// commitAll makes groups durable, one after the other, and publishes and answers each
// before the next. It returns when there are no more, or with an error that ends the
// term; no group is taken after that. What agents said may get its answers a little later.
func (r *reign) commitAll(ctx context.Context, c commits) {
	words := newAnswers()
	defer words.end()
	for g := range c.groups {
		if err := r.commit(ctx, g); err != nil {
			g.refuse(fmt.Errorf("%w: %w", afterCommit(err), err))
			c.broken <- err
			return
		}
		if g.changes.Batch > 0 {
			c.tell(told{g.changes.Batch, time.Now()})
		}
		words.give(g.calls)
	}
}

// refuse answers all calls of a group with an error.
func (g *group) refuse(why error) {
	if g != nil {
		refuse(g.calls, why)
	}
}

// called reports whether a call of the API is told that there was nothing to change. Then
// no commit proves that this master led.
func (g *group) called() bool {
	return slices.ContainsFunc(g.calls, func(c call) bool { return c.api && c.err == nil })
}

func refuse(calls []call, why error) {
	for _, c := range calls {
		c.back <- reply{err: why}
	}
}

// commit makes a group durable and then publishes it.
func (r *reign) commit(ctx context.Context, g *group) error {
	revision := r.view.at()
	if len(g.changes.Records) > 0 {
		ops, err := operations(g.changes.Records)
		if err != nil {
			return err
		}
		began := time.Now()
		if revision, err = r.term.Commit(ctx, ops); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		r.metrics.commits.Observe(time.Since(began).Seconds())
	} else if g.called() {
		if err := r.asker.confirm(ctx); err != nil {
			return fmt.Errorf("confirm: %w", err)
		}
	}
	r.publish(ctx, revision, g)
	return nil
}

// rushFrom is from how many records in one group on agents get their orders to start
// copies of jobs, and to forget tasks, gathered: then there is so much to do that what
// a message costs decides how fast it is done. Nothing else waits for it.
const rushFrom = 250

// publish tells readers, watchers, agents and routers.
func (r *reign) publish(ctx context.Context, revision int64, g *group) {
	changes, told := g.changes, r.cfg.Log.Enabled(ctx, slog.LevelDebug)
	for _, note := range changes.Notes {
		if told {
			r.cfg.Log.DebugContext(ctx, "note", slog.String("kind", string(note.Kind)), slog.String("text", note.Text))
		}
		if note.Kind == engine.BreakerOpened {
			over := overAgents
			if note.Service != "" {
				over = overInstances
			}
			r.metrics.opened.WithLabelValues(over).Inc()
			r.cfg.Log.WarnContext(ctx, "a breaker opened", slog.String("service", string(note.Service)), slog.String("text", note.Text))
		}
	}
	r.orderChanged(revision, changes)
	for _, agent := range g.strays {
		r.hub.orderAll(agent) // what complete orders do not name is stopped
	}
	if changes.Table != nil {
		r.hub.publishTable(*changes.Table)
	}
}

// orderChanged has readers see what changed, and agents told of what it is to them.
func (r *reign) orderChanged(revision int64, changes engine.Changes) {
	rush := len(changes.Records) >= rushFrom
	var gathering []*agentLink // settled when all is said, or an agent would get the first of its orders alone
	order := func(agent id.Agent, name id.Task, how urgency) {
		if how != toGather {
			r.hub.order(agent, name, how)
		} else if link := r.hub.gather(agent, name); link != nil {
			gathering = append(gathering, link)
		}
	}
	for _, change := range r.view.apply(revision, changes) {
		if t, ok := change.Record.(*engine.Task); ok && ordered(t, change.before) {
			order(t.Claim.Agent, t.ID, urgencyOf(t, rush))
		}
	}
	for _, ended := range changes.Forget {
		how := atOnce
		if rush {
			how = toGather
		}
		order(ended.Agent, ended.Task, how)
	}
	for _, link := range gathering {
		link.settle()
	}
}

// urgencyOf returns how an agent is told of a task that it shall start or stop. In a rush
// nobody waits for a single copy of a job.
func urgencyOf(t *engine.Task, rush bool) urgency {
	switch {
	case !rush || t.Run == 0:
		return toAwait
	case t.Status.State == task.Assigned:
		return toGather
	default:
		return atOnce
	}
}

// ordered reports whether a change of a task is something for its agent to do.
func ordered(t *engine.Task, before engine.Record) bool {
	old, known := before.(*engine.Task)
	state := t.Status.State
	return (state == task.Assigned || state == task.Stopping) && (!known || old.Status.State != state)
}
