package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/aloft-run/aloft/bench/machine"
)

// harm is what a fault can do to a request that must not be sent twice.
type harm int

const (
	harmless harm = iota // nothing: it only takes longer
	breaks               // a POST in flight there may be lost
)

// The names of the kinds of a master or router that ends in order, of a router that
// another process takes over from, and of an agent or router that no master hears.
const toldToStop, replaced, cutFromMasters = "SIGTERM", "router --replace", "cut off from the masters"

// kind is one way in which a part fails.
type kind struct {
	name   string
	weight int // how often, next to the others
	least  time.Duration
	most   time.Duration // how long until it is mended
	harm   harm
	loses  bool                // the tasks of an agent stop, or count as lost
	keeps  bool                // the tasks of an agent must run on
	with   func(*part) []*part // all that fail together; nil: the part alone
	strike func(context.Context, *part) error
	mend   func(context.Context, *part) error
}

func kill(s syscall.Signal) func(context.Context, *part) error {
	return func(ctx context.Context, p *part) error { return p.end(ctx, s) }
}

func sending(s syscall.Signal) func(context.Context, *part) error {
	return func(_ context.Context, p *part) error { return p.signal(s) }
}

func again(_ context.Context, p *part) error { return p.run() }

func cut(lost machine.Direction, others ...*part) func(context.Context, *part) error {
	var from []*machine.Machine
	for _, one := range others {
		from = append(from, one.Machine)
	}
	return func(ctx context.Context, p *part) error { return p.Cut(ctx, lost, from...) }
}

func heal(ctx context.Context, p *part) error { return p.Heal(ctx) }

func nothing(context.Context, *part) error { return nil }

func powerOff(ctx context.Context, p *part) error { return p.Off(ctx) }

func powerOn(ctx context.Context, p *part) error { return errors.Join(p.On(ctx), p.run()) }

// masterKinds is how a master fails: never for longer than until it is one of
// three again.
func masterKinds() []kind {
	const s = time.Second
	return []kind{
		{name: "kill -9", weight: 4, least: s, most: 4 * s, strike: kill(syscall.SIGKILL), mend: again},
		{name: toldToStop, weight: 2, least: s, most: 3 * s, strike: kill(syscall.SIGTERM), mend: again},
		{name: "SIGSTOP", weight: 2, least: s, most: 6 * s, strike: sending(syscall.SIGSTOP), mend: sending(syscall.SIGCONT)},
		{name: "cut off", weight: 2, least: s, most: 6 * s, strike: cut(machine.Both), mend: heal},
		{name: "hears nothing", weight: 1, least: 2 * s, most: 6 * s, strike: cut(machine.Direction{In: true}), mend: heal},
		{name: "is not heard", weight: 1, least: 2 * s, most: 6 * s, strike: cut(machine.Direction{Out: true}), mend: heal},
		{name: "power lost", weight: 1, least: 2 * s, most: 6 * s, strike: powerOff, mend: powerOn},
	}
}

// agentKinds is how an agent fails, alone or with its machine.
func agentKinds(masters, routers []*part, many *blackout) []kind {
	const s = time.Second
	return []kind{
		{name: "agent kill -9", weight: 3, least: s / 10, most: 2 * s, keeps: true, strike: kill(syscall.SIGKILL), mend: again},
		{name: "agent SIGTERM", weight: 1, least: s / 10, most: 2 * s, keeps: true, strike: kill(syscall.SIGTERM), mend: again},
		{name: "agent taken over by its binary", weight: 1, least: s / 10, most: s, keeps: true, strike: sending(syscall.SIGUSR2), mend: nothing},
		{name: "agent SIGSTOP, short", weight: 1, least: s, most: 2 * s, keeps: true, strike: sending(syscall.SIGSTOP), mend: sending(syscall.SIGCONT)},
		{name: "agent SIGSTOP, long", weight: 1, least: 9 * s, most: 13 * s, loses: true, strike: sending(syscall.SIGSTOP), mend: sending(syscall.SIGCONT)},
		{name: "supervisor kill -9", weight: 1, least: s, most: 2 * s, harm: breaks, loses: true, strike: killSupervisor, mend: nothing},
		{name: "machine kill -9", weight: 3, least: 2 * s, most: 12 * s, harm: breaks, loses: true, strike: killMachine, mend: again},
		{name: "power lost", weight: 3, least: 2 * s, most: 14 * s, harm: breaks, loses: true, strike: powerOff, mend: powerOn},
		{name: "cut off, short", weight: 1, least: s, most: 2 * s, harm: breaks, keeps: true, strike: cut(machine.Both), mend: heal},
		{name: "cut off, long", weight: 2, least: 9 * s, most: 13 * s, harm: breaks, loses: true, strike: cut(machine.Both), mend: heal},
		{name: "hears nothing", weight: 1, least: 2 * s, most: 10 * s, harm: breaks, loses: true, strike: cut(machine.Direction{In: true}), mend: heal},
		{name: "is not heard", weight: 1, least: 2 * s, most: 10 * s, harm: breaks, loses: true, strike: cut(machine.Direction{Out: true}), mend: heal},
		{name: cutFromMasters, weight: 1, least: 9 * s, most: 13 * s, loses: true, strike: cut(machine.Both, masters...), mend: heal},
		{name: "many cut off: the breaker", weight: 2, least: s, most: 6 * s, keeps: true, with: many.with, strike: many.strike, mend: many.mend},
		{name: "cut off from one router", weight: 1, least: 2 * s, most: 6 * s, harm: breaks, strike: cut(machine.Both, routers[0]), mend: heal},
		{name: "instance kill -9", weight: 2, least: s, most: s + 1, harm: breaks, loses: true, strike: toInstance(syscall.SIGKILL), mend: nothing},
		{name: "instance SIGSTOP", weight: 1, least: s, most: 3 * s, strike: toInstance(syscall.SIGSTOP), mend: toInstances(syscall.SIGCONT)},
	}
}

// routerKinds is how a router fails while the other one serves.
func routerKinds(masters []*part) []kind {
	const s = time.Second
	return []kind{
		{name: "kill -9", weight: 3, least: s / 10, most: 3 * s, harm: breaks, strike: kill(syscall.SIGKILL), mend: again},
		{name: toldToStop, weight: 2, least: s / 10, most: 2 * s, strike: kill(syscall.SIGTERM), mend: again},
		{name: replaced, weight: 3, least: s / 10, most: s, strike: takeOver, mend: nothing},
		{name: "SIGSTOP", weight: 1, least: s, most: 3 * s, strike: sending(syscall.SIGSTOP), mend: sending(syscall.SIGCONT)},
		{name: "cut off", weight: 1, least: s, most: 4 * s, harm: breaks, strike: cut(machine.Both), mend: heal},
		{name: "hears nothing", weight: 1, least: s, most: 4 * s, harm: breaks, strike: cut(machine.Direction{In: true}), mend: heal},
		{name: "is not heard", weight: 1, least: s, most: 4 * s, harm: breaks, strike: cut(machine.Direction{Out: true}), mend: heal},
		{name: cutFromMasters, weight: 2, least: 2 * s, most: 12 * s, strike: cut(machine.Both, masters...), mend: heal},
		{name: "power lost", weight: 1, least: s, most: 4 * s, harm: breaks, strike: powerOff, mend: powerOn},
	}
}

func killSupervisor(ctx context.Context, p *part) error {
	found, err := p.supervisor(ctx)
	if err != nil {
		return err
	}
	if err := syscall.Kill(found.PID, syscall.SIGKILL); err != nil {
		return fmt.Errorf("%s: kill -9 of the supervisor: %w", p.Name(), err)
	}
	return p.gone(ctx, found.PID)
}

// takeOver replaces a router by another process, and waits until the one before has
// ended. While no master can be reached none takes over, and the one before serves on.
func takeOver(ctx context.Context, p *part) error {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	before := p.pid()
	for {
		next, err := p.Start(machine.Program{Command: append(slices.Clone(p.argv), "--replace"), Log: p.log})
		if err != nil {
			return err
		}
		var over, failed bool
		err = until(ctx, fmt.Sprintf("process %d of %s has handed over to %d", before, p.Name(), next.PID), func() (bool, error) {
			over, failed = hasEnded(before), hasEnded(next.PID)
			return over || failed, nil
		})
		switch {
		case err != nil:
			return err
		case !failed:
			p.becomes(next)
			return nil
		case over:
			return fmt.Errorf("%s: both the router and the one that took over have ended", p.Name())
		}
		pause(ctx, time.Second)
	}
}

func killMachine(ctx context.Context, p *part) error { return p.killAll(ctx) }

// toInstance sends a signal to one task's program, where there is any.
func toInstance(s syscall.Signal) func(context.Context, *part) error {
	return func(_ context.Context, p *part) error {
		found, err := p.attempts()
		if err != nil || len(found) == 0 {
			return err
		}
		_ = syscall.Kill(found[0].pid, s) // it may have ended
		return nil
	}
}

// toInstances sends a signal to all of them.
func toInstances(s syscall.Signal) func(context.Context, *part) error {
	return func(_ context.Context, p *part) error {
		found, err := p.attempts()
		for _, a := range found {
			_ = syscall.Kill(a.pid, s) // it may have ended
		}
		return err
	}
}
