package agent

import (
	"cmp"
	"context"
	"time"

	"github.com/aloft-run/aloft/agent/probe"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// unroutedMax bounds how long an instance that is not alive is left running so
// that the routers can leave it first.
const unroutedMax = 10 * time.Second

// aloneAfter is how long an instance that is not alive is left to the masters
// after a session broke: they are back in a moment when another one leads.
const aloneAfter = 10 * time.Second

// impatience is the patience with a program that was good before: with a new
// agent, too, some bad answers in a row are enough.
const impatience = time.Nanosecond

// aliveWithin is how long a program that never answered its alive probe is left
// running where no deployment sets a deadline, as for a job.
const aliveWithin = 5 * time.Minute

// watchHealth begins to probe the newest attempt, or calls it ready where it
// has no ready probe.
func (a *Agent) watchHealth(ctx context.Context, in *instance) {
	s := in.rev.spec
	if s.Ready.Kind == spec.NoProbe && in.status.State == task.Running {
		a.move(ctx, in, task.BecomeReady{At: time.Now()})
	}
	probing, cancel := context.WithCancel(ctx)
	in.cancelProbes = cancel
	key := in.key()
	var patience time.Duration // for ever: the deployment has a deadline
	if in.status.State == task.Ready {
		patience = impatience
	}
	a.probe(probing, in, s.Ready, patience, func(result probe.Result) { a.heardReady(ctx, key, result) })
	patience = max(impatience, cmp.Or(s.Deploy.Deadline, aliveWithin)-time.Since(in.status.Since))
	if in.status.IsUnhealthy() {
		patience = impatience
	}
	a.probe(probing, in, s.Alive, patience, func(result probe.Result) { a.heardAlive(ctx, key, result) })
}

// probe asks until ctx is done, apart from Run, and has heard called by Run.
func (a *Agent) probe(ctx context.Context, in *instance, asked spec.Probe, patience time.Duration, heard func(probe.Result)) {
	if asked.Kind == spec.NoProbe {
		return
	}
	checker, err := a.checker(in, asked)
	if err != nil {
		heard(probe.Result{Verdict: probe.Bad, Error: err.Error(), At: time.Now()})
		return
	}
	cfg := probe.Config{Every: asked.Every, Timeout: asked.Timeout, FailuresMax: asked.Failures, Patience: patience}
	a.workers.Go(func() {
		err := probe.Run(ctx, cfg, checker, func(result probe.Result) {
			a.do(ctx, func() { heard(result) })
		})
		if ctx.Err() == nil {
			a.do(ctx, func() { heard(probe.Result{Verdict: probe.Bad, Error: err.Error(), At: time.Now()}) })
		}
	})
}

func (a *Agent) checker(in *instance, asked spec.Probe) (probe.Checker, error) {
	target := probe.Target{
		Kind: asked.Kind, Host: a.cfg.Address, Port: int(in.order.GetPorts()[asked.Port]), Path: asked.Path,
		Service: asked.Service, Command: asked.Command,
	}
	if asked.Kind == spec.CommandProbe {
		run, err := a.probeCommand(in)
		if err != nil {
			return nil, err
		}
		target.Exec = run
	}
	return a.cfg.Probe(target)
}

// probed returns the task whose attempt was asked, if that is still its newest
// one and is watched.
func (a *Agent) probed(key runtime.Key) (*instance, bool) {
	in, ok := a.tasks[key.Task]
	return in, ok && in.status.Attempt == key.Attempt && in.cancelProbes != nil && in.killAt.IsZero()
}

// heardReady puts an instance into service or takes it out. One that is in
// service stays until enough answers in a row were bad.
func (a *Agent) heardReady(ctx context.Context, key runtime.Key, result probe.Result) {
	in, ok := a.probed(key)
	if !ok {
		return
	}
	ready := in.status.State == task.Ready
	reason := words("not ready: " + result.Error)
	switch {
	case result.Verdict == probe.Good && !ready:
		a.move(ctx, in, task.BecomeReady{At: result.At})
	case result.Verdict == probe.Bad && ready, result.Verdict != probe.Good && !ready && reason != in.status.Reason:
		a.move(ctx, in, task.BecomeUnready{At: result.At, Reason: reason})
	}
}

// heardAlive notes that an attempt is not alive, or is again. A master replaces
// an instance of a service before it stops it; where there is no master, and for
// whatever has one place only, the agent starts it anew itself.
func (a *Agent) heardAlive(ctx context.Context, key runtime.Key, result probe.Result) {
	in, ok := a.probed(key)
	if !ok || result.Verdict == probe.Unknown {
		return
	}
	reason := words("not alive: " + result.Error)
	switch {
	case result.Verdict == probe.Good:
		a.move(ctx, in, task.BecomeHealthy{At: result.At})
	case in.rev.spec.Kind != spec.Service:
		a.dismiss(ctx, in, reason)
	default:
		a.move(ctx, in, task.BecomeUnhealthy{At: result.At, Reason: reason})
		a.fend(ctx, in, time.Now())
	}
}

// fend dismisses an instance that is not alive once no master has been there for
// a while. Until then it looks again when that may be.
func (a *Agent) fend(ctx context.Context, in *instance, now time.Time) {
	if !in.status.IsUnhealthy() || in.cancelProbes == nil || !in.killAt.IsZero() || a.joined.Load() {
		return
	}
	if due := a.leftAt.Add(aloneAfter); now.Before(due) {
		a.alarms.set(due, in.task)
		return
	}
	a.dismiss(ctx, in, in.status.Unhealthy)
}

// dismiss ends an attempt that is not alive. It leaves the routing table first:
// it is reported as not ready, and stopped a while later.
func (a *Agent) dismiss(ctx context.Context, in *instance, reason string) {
	now := time.Now()
	in.verdict = reason
	a.move(ctx, in, task.BecomeUnready{At: now, Reason: reason})
	in.killAt = now.Add(min(in.rev.spec.Deploy.Drain, unroutedMax))
	a.alarms.set(in.killAt, in.task)
}
