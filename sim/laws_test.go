package sim_test

import (
	"errors"
	"slices"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/ledger"
	"github.com/aloft-run/aloft/core/rollout"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// The laws.
const (
	lawFence     = "a term that is over writes no more"
	lawLoads     = "a new leader can load what is durable"
	lawLife      = "a task's life goes one way"
	lawName      = "a task's name is never used again"
	lawKept      = "what runs on a connected agent is not given up"
	lawVersion   = "versions only grow"
	lawBooks     = "claims stay within partitions and pools"
	lawClaims    = "no more claims than instances and surge"
	lawFloor     = "a good instance is not stopped below the floor"
	lawOnce      = "no attempt is started twice"
	lawDurable   = "what is started is durable"
	lawDisk      = "what an agent starts is on its disk"
	lawTwice     = "what must not run twice is given up when it has ended"
	lawTold      = "what is stopped was told to"
	lawDrained   = "what is stopped has no request"
	lawConfirmed = "what a router has confirmed gets no request"
	lawMeant     = "a request reaches the task that it was meant for"
	lawPromise   = "what a client was told is durable"
	lawLost      = "no request is lost without a fault"
	lawServed    = "a request is answered while an instance can be reached"
	lawWatched   = "a watch tells each change once, in order"
	lawBalance   = "the leader's books are those of its tasks"
	lawEnds      = "a deployment always ends"
	lawRuns      = "everything that can run does run in the end"
	lawAgree     = "tasks, programs and tables agree in the end"
)

// judgeCommit holds a transaction to the laws. The caller holds mu.
func (o *observer) judgeCommit(changed []change) {
	claimed := make(map[id.Pool]bool)
	grown := make(map[id.Service]bool)
	for _, c := range changed {
		switch after := c.after.(type) {
		case *engine.Task:
			before, _ := c.before.(*engine.Task)
			o.judgeLife(before, after)
			o.judgeLoss(before, after)
			o.judgeTwice(before, after)
			if after.Status.State.HoldsClaim() && (before == nil || !before.Status.State.HoldsClaim()) {
				claimed[after.Claim.Pool] = true
				if before == nil || before.Status.State != task.Lost {
					grown[after.Service] = true
				}
			}
			good := before != nil && before.Status.State == task.Ready && before.Status.ReadySince.Equal(after.Status.ReadySince)
			if o.whole && good && after.Status.State == task.Draining {
				o.judgeFloor(after)
			}
		case *engine.Service:
			if before, _ := c.before.(*engine.Service); before != nil && (after.Version < before.Version || after.Tasks < before.Tasks || after.Newest < before.Newest) {
				o.breaks(lawVersion, "service %s goes from version %d to %d", after.Name, before.Version, after.Version)
			}
		case *engine.Pool:
			if before, _ := c.before.(*engine.Pool); before != nil && after.Version < before.Version {
				o.breaks(lawVersion, "pool %s goes from version %d to %d", after.ID, before.Version, after.Version)
			}
		}
	}
	if len(claimed) > 0 && o.whole {
		o.judgeBooks(claimed)
	}
	if o.whole {
		for name := range grown {
			o.judgeClaims(name)
		}
	}
}

// judgeLife holds a task to one way through its states.
func (o *observer) judgeLife(before, after *engine.Task) {
	switch {
	case before == nil && o.ran[after.ID]:
		o.breaks(lawName, "task %s is new, and was started before", after.ID)
	case before == nil:
	case before.Status.State == task.Lost: // it may return with its agent
	case before.Status.State.Ended() && after.Status.State != before.Status.State:
		o.breaks(lawLife, "task %s was %s and is %s", after.ID, before.Status.State, after.Status.State)
	case after.Status.Attempt < before.Status.Attempt:
		o.breaks(lawLife, "task %s goes back from attempt %d to %d", after.ID, before.Status.Attempt, after.Status.Attempt)
	case before.Status.State.HoldsClaim() && before.Claim.Agent != after.Claim.Agent:
		o.breaks(lawLife, "task %s moves from %s to %s", after.ID, before.Claim.Agent, after.Claim.Agent)
	case before.Status.State == task.Stopping && after.Status.State == task.Draining, before.Status.State.HoldsClaim() && after.Status.State == task.Pending:
		o.breaks(lawLife, "task %s goes from %s to %s", after.ID, before.Status.State, after.Status.State)
	}
}

// judgeLoss holds the loss of a task to what is so: either its agent is silent and
// the leader does not speak to it, or the attempt that is durable does not run. A
// newer one may, that the agent began after a boot and nobody has heard of.
func (o *observer) judgeLoss(before, after *engine.Task) {
	if !o.whole || after.Status.State != task.Lost || before == nil || !before.Status.State.HoldsClaim() {
		return
	}
	on := o.agent(after.Claim.Agent)
	connected := on != nil && (on.SilentSince.IsZero() || o.spoken[on.ID].After(o.silenced[on.ID]))
	key := runtime.Key{Task: after.ID, Attempt: before.Status.Attempt}
	if host := o.c.machine(string(after.Claim.Agent)).hosts(); connected && host != nil && host.runs(key) {
		o.breaks(lawKept, "%s is given up (%s), and %s runs on %s", after.ID, after.Status.Reason, key, on.ID)
	}
}

// judgeTwice holds the loss of a task that must not run twice to that it has ended:
// from then on another one may take its place.
func (o *observer) judgeTwice(before, after *engine.Task) {
	r := o.revision(after.Service, after.Revision)
	if r == nil || r.Spec.OnPartition != spec.EndOff || after.Status.State != task.Lost || before == nil || !before.Status.State.HoldsClaim() {
		return
	}
	host := o.c.machine(string(after.Claim.Agent)).hosts()
	if host != nil && slices.Contains(tasksOf(host.running()), after.ID) {
		o.breaks(lawTwice, "%s is given up (%s), and runs on %s", after.ID, after.Status.Reason, after.Claim.Agent)
	}
}

// judgeBooks books every claim anew.
func (o *observer) judgeBooks(claimed map[id.Pool]bool) {
	var books ledger.Ledger
	var problems []error
	for _, r := range o.records {
		switch r := r.(type) {
		case *engine.Agent:
			problems = append(problems, books.SetAgent(r.Agent))
		case *engine.Pool:
			problems = append(problems, books.SetPool(r.Pool))
		}
	}
	for _, t := range o.tasks() {
		if t.Status.State.HoldsClaim() {
			problems = append(problems, books.Restore(t.Claim))
		}
	}
	if err := errors.Join(problems...); err != nil {
		o.breaks(lawBooks, "%v", err)
	}
	for _, over := range books.Overcommitted() {
		if over.Pool == "" || claimed[over.Pool] { // a pool that was made smaller is left as it is
			o.breaks(lawBooks, "%v", over)
		}
	}
}

// judgeClaims counts the claims of a service that has got one.
func (o *observer) judgeClaims(name id.Service) {
	s := o.service(name)
	if s == nil || s.Kind != spec.Service || s.Revision == 0 || s.Stopped {
		return
	}
	wanted := o.revision(name, s.Revision)
	if wanted == nil {
		return // lawLoads says so
	}
	surge, _ := rollout.Limits(wanted.Spec.Deploy, s.Instances)
	claims := 0
	for _, t := range o.tasks() {
		if t.Service == name && t.Status.State.HoldsClaim() {
			claims++
		}
	}
	if claims > s.Instances+surge {
		o.breaks(lawClaims, "%s got its claim no. %d; %d instances are wanted, with a surge of %d", name, claims, s.Instances, surge)
	}
}

// judgeFloor holds the stop of an instance that was ready to the floor.
func (o *observer) judgeFloor(stopped *engine.Task) {
	s := o.service(stopped.Service)
	if s == nil || s.Kind != spec.Service || s.Stopped || s.Revision == 0 {
		return
	}
	wanted, on := o.revision(s.Name, s.Revision), o.agent(stopped.Claim.Agent)
	if wanted == nil || on == nil || !on.SilentSince.IsZero() {
		return // nobody knows whether it was good
	}
	if on.DrainForced && !on.DrainedBy.IsZero() && !time.Now().Before(on.DrainedBy) {
		return // an operator wants it
	}
	good := 0
	for _, t := range o.tasks() {
		if on := o.agent(t.Claim.Agent); t.Service == s.Name && t.Status.State == task.Ready && on != nil && on.SilentSince.IsZero() {
			good++
		}
	}
	_, unavailable := rollout.Limits(wanted.Spec.Deploy, s.Instances)
	if good < s.Instances-unavailable {
		o.breaks(lawFloor, "%s leaves (%s), and %d of %d are good", stopped.ID, stopped.Status.Reason, good, s.Instances)
	}
}

// starting judges the start of an attempt before it happens.
func (o *observer) starting(on string, key runtime.Key, kept bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !kept {
		o.breaks(lawDisk, "%s is started on %s, and the disk does not know of it", key, on)
	}
	if before, found := o.begun[key]; found {
		o.breaks(lawOnce, "%s is started on %s, and was on %s", key, on, before)
	}
	t := o.task(key.Task)
	if t == nil && !o.ran[key.Task] || t != nil && string(t.Claim.Agent) != on {
		o.breaks(lawDurable, "%s is started on %s, and durable is %+v", key, on, t)
	}
}

// stopping judges the stop of a program that runs, before it happens.
func (o *observer) stopping(on string, key runtime.Key, sick bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.task(key.Task)
	if t == nil || t.Status.State.Ended() || string(t.Claim.Agent) != on {
		o.harm = time.Now()
		return // a stray
	}
	o.say("machine %s stops %s", on, key)
	if t.Status.State != task.Stopping {
		if o.harm = time.Now(); !sick {
			o.breaks(lawTold, "%s is stopped on %s, and durable is that it is %s", key, on, t.Status.State)
		}
		return
	}
	if o.mayBeCut(t) { // a router that does not hear of it sends requests there until the end
		o.harm = time.Now()
		if r := o.revision(t.Service, t.Revision); r != nil {
			o.harm = o.harm.Add(r.Spec.Deploy.Grace)
		}
		return
	}
	for run := range o.routers {
		for f := range run.flights {
			if f.key == key && o.remembered(run.name) {
				o.breaks(lawDrained, "%s is stopped, and router %s has a request there", key, run.name)
			}
		}
	}
}

// mayBeCut reports whether a task has drained for as long as it may.
func (o *observer) mayBeCut(t *engine.Task) bool {
	since, draining := o.drains[t.ID]
	drain := time.Duration(0)
	if s := o.service(t.Service); s != nil {
		for number := t.Revision; number <= s.Revision; number++ { // by one between them it may have been decided
			if r := o.revision(t.Service, number); r != nil && (drain == 0 || r.Spec.Deploy.Drain < drain) {
				drain = r.Spec.Deploy.Drain
			}
		}
	}
	return !draining || !time.Now().Before(since.from(o.epoch).Add(drain))
}

// skipped reports whether a newer version is durable: of several that are decided before
// the commit, the newest alone is written.
func skipped[R any](versions map[int64]R, version int64) bool {
	for newer := range versions {
		if newer > version {
			return true
		}
	}
	return false
}

// toldService judges an answer that shows a service.
func (o *observer) toldService(told *pb.Service) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	name := id.Service(told.GetName())
	durable := o.services[name][told.GetVersion()]
	if told.GetRemoving() && o.service(name) == nil {
		return "removed"
	}
	if durable == nil && skipped(o.services[name], told.GetVersion()) {
		return "done, and changed again"
	}
	if durable == nil || durable.Instances != int(told.GetInstances()) || durable.Stopped != told.GetStopped() {
		o.breaks(lawPromise, "a client was told of version %d of service %s; durable is %+v", told.GetVersion(), name, durable)
	}
	return "done"
}

// toldDeployed judges the answer to a deployment.
func (o *observer) toldDeployed(told *pb.DeployedService) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := engine.RevisionKey(id.Service(told.GetService()), id.Revision(told.GetRevision()))
	if !o.revs[key] {
		o.breaks(lawPromise, "a client was told of revision %s, which is not durable", key.ID)
	}
	return "revision " + key.ID
}

// toldPool judges an answer that shows a pool.
func (o *observer) toldPool(told *pb.Pool) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	versions := o.pools[id.Pool(told.GetId())]
	if versions[told.GetVersion()] == nil && !skipped(versions, told.GetVersion()) {
		o.breaks(lawPromise, "a client was told of version %d of pool %s, which is not durable", told.GetVersion(), told.GetId())
	}
	return "done"
}

// stillMax is how long a deployment may stand still: all that is deployed has a
// deadline of 30 s, and a leader is never missed for long.
const stillMax = 100 * time.Second

// judgeEnds looks for a deployment that goes on for ever.
func (o *observer) judgeEnds() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.records {
		if d, ok := r.(*engine.Deployment); ok && d.State == engine.Going && time.Since(o.moved[d.ID]) > stillMax {
			o.breaks(lawEnds, "deployment %s has not moved since %.3fs", d.ID, o.moved[d.ID].Sub(o.began).Seconds())
		}
	}
}

// judgeLoad has a new leader load what is durable, and check it.
func (o *observer) judgeLoad() {
	e := engine.New(engine.Config{Epoch: 1 << 60})
	err := e.Load(slices.Values(o.all()))
	if err == nil {
		err = e.Check()
	}
	if err != nil {
		o.fail(lawLoads, "%v", err)
	}
}
