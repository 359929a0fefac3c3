package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/aloft-run/aloft/agent/probe"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
)

// unroutedMax bounds how long an instance that is not alive is left running so
// that the routers can leave it first.
const unroutedMax = 10 * time.Second

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
	a.probe(probing, in, s.Ready, 0, func(result probe.Result) { a.heardReady(ctx, key, result) })
	a.probe(probing, in, s.Alive, s.Deploy.Deadline, func(result probe.Result) { a.heardAlive(ctx, key, result) })
}

// probe asks until ctx is done, apart from Run, and has heard called by Run.
func (a *Agent) probe(ctx context.Context, in *instance, asked spec.Probe, patience time.Duration, heard func(probe.Result)) {
	if asked.Kind == spec.NoProbe {
		return
	}
	command := a.probeCommand(in)
	checker, err := probe.NewChecker(probe.Target{
		Kind: asked.Kind, Host: a.cfg.Address, Port: int(in.order.GetPorts()[asked.Port]), Path: asked.Path,
		Service: asked.Service, Command: asked.Command, Exec: command,
	})
	if err != nil {
		heard(probe.Result{Verdict: probe.Bad, Error: err.Error(), At: time.Now()})
		return
	}
	cfg := probe.Config{Every: asked.Every, Timeout: asked.Timeout, FailuresMax: asked.Failures, Patience: patience}
	a.workers.Go(func() {
		_ = probe.Run(ctx, cfg, checker, func(result probe.Result) { // ends only with ctx
			a.do(ctx, func() { heard(result) })
		})
	})
}

// probed returns the task whose attempt was asked, if that is still its newest
// one and is running.
func (a *Agent) probed(key runtime.Key) (*instance, bool) {
	in, ok := a.tasks[key.Task]
	return in, ok && in.status.Attempt == key.Attempt && in.cancelProbes != nil
}

func (a *Agent) heardReady(ctx context.Context, key runtime.Key, result probe.Result) {
	in, ok := a.probed(key)
	switch {
	case !ok:
	case result.Verdict == probe.Good && in.killAt.IsZero():
		a.move(ctx, in, task.BecomeReady{At: result.At})
	case result.Verdict != probe.Good && result.Error != in.status.Reason:
		a.move(ctx, in, task.BecomeUnready{At: result.At, Reason: "not ready: " + result.Error})
	}
}

// heardAlive ends an attempt that is not alive. It leaves the routing table
// first: it is reported as not ready, and stopped a while later.
func (a *Agent) heardAlive(ctx context.Context, key runtime.Key, result probe.Result) {
	in, ok := a.probed(key)
	if !ok || result.Verdict != probe.Bad || !in.killAt.IsZero() {
		return
	}
	in.verdict = fmt.Sprintf("not alive: %s", result.Error)
	a.move(ctx, in, task.BecomeUnready{At: result.At, Reason: in.verdict})
	in.killAt = time.Now().Add(min(in.rev.spec.Deploy.Drain, unroutedMax))
}
