package router

import (
	"context"
	"log/slog"

	"github.com/aloft-run/aloft/core/route"
)

// receive applies a table unless it is older than the one applied. The first
// table of a session is taken even if it is, for a master that has lost its count
// knows better; but never one of an older leader.
func (r *Router) receive(ctx context.Context, a arrival) {
	applied := r.table.Load().version
	stale := a.table.Version.Less(applied)
	if !a.session.begun {
		stale = a.table.Version.Epoch < applied.Epoch
	}
	if stale {
		r.cfg.Log.WarnContext(ctx, "older table refused",
			slog.String("version", a.table.Version.String()), slog.String("applied", applied.String()))
		return
	}
	if err := r.apply(a.table); err != nil {
		r.cfg.Log.ErrorContext(ctx, "table refused", slog.String("version", a.table.Version.String()), slog.Any("error", err))
		return
	}
	r.cfg.Log.DebugContext(ctx, "table applied",
		slog.String("version", a.table.Version.String()), slog.Int("services", len(a.table.Services)))
	r.openPorts(ctx)
	a.session.begun = true
	r.attended.Store(true)
	replace(r.keep, a.table)
	r.confirm()
	select {
	case <-r.told:
	default:
		close(r.told)
	}
}

// apply puts the table in force for every request from now on.
func (r *Router) apply(table route.Table) error {
	matcher, err := route.Compile(table)
	if err != nil {
		return err
	}
	last := r.table.Load()
	next := r.build(table, matcher, last)
	r.table.Store(next)
	staying := next.endpoints()
	for e := range last.endpoints() {
		if !staying[e] {
			e.leave()
			r.leaving = append(r.leaving, e)
		}
	}
	r.metrics.forget(next)
	letGo(last, next)
	r.wake() // some may have become suspect
	return nil
}

// letGo frees the held requests whose service has an instance now, or is gone.
func letGo(last, next *snapshot) {
	stays := make(map[*queue]bool, len(next.services))
	for _, service := range next.services {
		stays[service.queue] = true
		if service.reachable() {
			service.queue.release()
		} else {
			service.queue.nudge()
		}
	}
	for _, service := range last.services {
		if !stays[service.queue] {
			service.queue.release()
		}
	}
}
