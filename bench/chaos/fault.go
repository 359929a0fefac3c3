package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// recoverWithin is how long a part may take to be back after it was mended, and
	// the API and the services to be whole again.
	recoverWithin = time.Minute
	clock         = "15:04:05.000"
)

// fault is one that happened, with what came of it.
type fault struct {
	kind
	part     string
	leads    bool // it was the leader
	from, to time.Time
	back     time.Duration // from its end until the part is in service again
	apiDown  time.Duration // after the harm of a leader
	whole    time.Duration // from its begin until every service is at full strength
	problems error
}

// book is all faults that happened.
type book struct {
	mu     sync.Mutex
	faults []fault
}

func (b *book) add(f fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, f)
}

// all returns the faults in the order in which they began.
func (b *book) all() []fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(slices.Values(b.faults), func(x, y fault) int { return x.from.Compare(y.from) })
}

// lane makes the parts of one role fail, one at a time: more than that at once is
// more than a cluster of this size promises to survive.
type lane struct {
	parts  []*part
	kinds  []kind
	random *rand.Rand
	api    *api
	probe  *probe
	book   *book
	told   func(fault)
	// target chooses the part, and says whether it leads.
	target func(context.Context) (p *part, leads bool)
	// ended reports whether a program has done its work, and may have ended by itself.
	ended func(attempt) bool
	// back reports whether a part is in service.
	back func(context.Context, *part) bool
}

// run makes faults until ctx is done; the last one is mended before it returns.
func (l *lane) run(ctx context.Context) {
	for l.gap(ctx) {
		chosen := l.kind()
		p, leads := l.target(ctx)
		if p == nil || ctx.Err() != nil {
			continue
		}
		f := l.fault(context.WithoutCancel(ctx), p, fault{kind: chosen, part: p.Name(), leads: leads})
		l.book.add(f)
		l.told(f)
	}
}

// gap leaves the cluster some time, or none.
func (l *lane) gap(ctx context.Context) bool {
	const none, most = 4, 6 * time.Second
	d := time.Second + time.Duration(l.random.Int64N(int64(most)))
	if l.random.IntN(none) == 0 {
		d = 0
	}
	return pause(ctx, d)
}

// kind draws one by the weights.
func (l *lane) kind() kind {
	var all int
	for _, k := range l.kinds {
		all += k.weight
	}
	at := l.random.IntN(all)
	for _, k := range l.kinds {
		if at -= k.weight; at < 0 {
			k.least += time.Duration(l.random.Int64N(int64(k.most - k.least)))
			return k
		}
	}
	panic("weights that do not add up")
}

// fault makes a fault, mends it, and waits until the cluster is as it was.
func (l *lane) fault(ctx context.Context, p *part, f fault) fault {
	hit := []*part{p}
	if f.with != nil {
		hit = f.with(p)
	}
	var before map[*part][]attempt
	if f.keeps {
		before, f.problems = attemptsOf(hit)
	}
	wanted := l.wanted(ctx)
	for _, one := range hit {
		one.harm(true)
	}
	var out *outage
	if f.leads {
		out = l.probe.leaderLost()
	}
	f.from = time.Now()
	struck := f.strike(ctx, p)
	var watching sync.WaitGroup
	var whole error
	if f.loses && struck == nil {
		watching.Go(func() { f.whole, whole = l.whole(ctx, p, f.from, wanted) })
	}
	pause(ctx, f.least)
	mended := f.mend(ctx, p)
	for _, one := range hit {
		one.harm(false)
	}
	f.to = time.Now()

	waiting, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	var back error
	for _, one := range hit {
		back = errors.Join(back, until(waiting, one.Name()+" is in service again", func() (bool, error) { return l.back(waiting, one), nil }))
	}
	f.back = time.Since(f.to)
	var down error
	if out != nil {
		f.apiDown, down = out.wait(waiting)
	}
	watching.Wait()
	f.problems = errors.Join(f.problems, struck, mended, back, down, whole)
	if f.problems == nil {
		for one, ran := range before {
			f.problems = errors.Join(f.problems, l.kept(ctx, one, ran, f))
		}
	}
	return f
}

// attemptsOf returns the programs that run, by their agents.
func attemptsOf(agents []*part) (found map[*part][]attempt, err error) {
	found = make(map[*part][]attempt)
	for _, one := range agents {
		ran, unknown := one.attempts()
		found[one], err = ran, errors.Join(err, unknown)
	}
	return found, err
}

// wanted returns how many instances of each service that changes are wanted now.
func (l *lane) wanted(ctx context.Context) map[string]int {
	list, _ := l.api.services(ctx) // unknown: the API is down, and nothing is asked for
	wanted := make(map[string]int)
	for _, s := range list {
		if slices.Contains(changedServices(), s.Service.Name) {
			wanted[s.Service.Name] = s.Wanted
		}
	}
	return wanted
}

// whole returns how long it takes until every service has as many ready instances
// as it had wanted, or now wants, without those that the fault took. An instance of
// the machine counts when it became ready since, or when the fault has ended.
func (l *lane) whole(ctx context.Context, p *part, since time.Time, wanted map[string]int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	err := until(ctx, fmt.Sprintf("the services are whole without %s, which want %v", p.Name(), wanted), func() (bool, error) {
		tasks, err := l.api.tasks(ctx)
		if err != nil {
			return false, err
		}
		now := l.wanted(ctx)
		ready := make(map[string]int)
		for _, t := range tasks {
			if t.ready() && (t.Agent != p.Name() || t.Status.ReadySince.After(since) || !p.isHarmed()) {
				ready[t.Service]++
			}
		}
		for service, n := range wanted {
			if ready[service] < min(n, now[service]) {
				return false, nil
			}
		}
		return len(now) > 0, nil
	})
	return time.Since(since), err
}

// aloneMax is how long an agent may be out of touch with the masters before it ends the
// task of which there may be one alone.
const aloneMax = 9 * time.Second

// kept tells which programs did not run on though only their agent had failed. The task
// of which there may be one alone may have been ended when a leader failed, too, shortly
// before or meanwhile: nobody knows then for how long its agent was out of touch.
func (l *lane) kept(ctx context.Context, p *part, before []attempt, f fault) error {
	inTouch := f.to.Add(f.back).Sub(f.from) < aloneMax && !l.probe.lostSince(f.from.Add(-aloneMax))
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	var after []attempt
	var tasks []task
	err := until(ctx, "a master tells of the tasks", func() (bool, error) { // its leader may be killed meanwhile
		var problem error
		if after, problem = p.attempts(); problem != nil {
			return true, problem
		}
		tasks, problem = l.api.tasks(ctx) // later: one that is ready now was there before
		return problem == nil, problem
	})
	if err != nil {
		return err
	}
	var problems []error
	for _, a := range before {
		wanted := slices.ContainsFunc(tasks, func(t task) bool {
			return t.ID == a.task && t.ready() && (t.Service != alone || inTouch)
		})
		if wanted && !slices.Contains(after, a) && !l.ended(a) {
			problems = append(problems, fmt.Errorf("task %s did not run on as process %d: %v", a.task, a.pid, after))
		}
	}
	return errors.Join(problems...)
}
