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

// heardAlive ends an attempt that is not alive. It leaves the routing table
// first: it is reported as not ready, and stopped a while later.
func (a *Agent) heardAlive(ctx context.Context, key runtime.Key, result probe.Result) {
	in, ok := a.probed(key)
	if !ok || result.Verdict != probe.Bad {
		return
	}
	in.verdict = words("not alive: " + result.Error)
	a.move(ctx, in, task.BecomeUnready{At: result.At, Reason: in.verdict})
	in.killAt = time.Now().Add(min(in.rev.spec.Deploy.Drain, unroutedMax))
	a.alarms.set(in.killAt, in.task)
}
