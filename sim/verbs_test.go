package sim_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
)

// faults are the verbs that harm.
func faults() map[string]func(c *cluster, a action) {
	return map[string]func(c *cluster, a action){
		"kill-master":  func(c *cluster, a action) { c.downMaster(a, (*masterProcess).kill) },
		"stop-master":  func(c *cluster, a action) { c.downMaster(a, (*masterProcess).stop) },
		"freeze":       (*cluster).freeze,
		"depose":       func(c *cluster, _ action) { c.store.Depose() },
		"store-slow":   (*cluster).slowStore,
		"store-upset":  func(c *cluster, a action) { c.trouble.plan(a.number("in"), a.named("by", upsetLost)) },
		"kill-agent":   (*cluster).killAgent,
		"power-off":    (*cluster).powerOff,
		"kill-router":  func(c *cluster, a action) { c.downRouter(a, (*routerProcess).kill) },
		"stop-router":  func(c *cluster, a action) { c.downRouter(a, (*routerProcess).stop) },
		"isolate":      (*cluster).isolate,
		"reset":        (*cluster).reset,
		"crash-agent":  func(c *cluster, a action) { c.machine(a.arg(0)).dieAtStart(a.number("in"), a.duration("for")) },
		"cut":          (*cluster).cut,
		"weather":      (*cluster).weather,
		"disk-full":    (*cluster).fillDisk,
		"kill-program": (*cluster).killProgram,
		"hang-program": (*cluster).hangProgram,
	}
}

// known reports whether there is a verb of that name.
func known(verb string) bool {
	return faults()[verb] != nil || orders()[verb] != nil
}

// act does one action.
func (c *cluster) act(a action) {
	if order := orders()[a.verb]; order != nil {
		c.operate(a, order(c, a))
		return
	}
	c.obs.tell("%s %v", a.verb, a.args)
	faults()[a.verb](c, a)
}

func (c *cluster) master(name string) *masterProcess {
	return c.masters[max(0, slices.IndexFunc(c.masters, func(p *masterProcess) bool { return p.name == name }))]
}

func (c *cluster) machine(name string) *machine {
	return c.machines[max(0, slices.IndexFunc(c.machines, func(m *machine) bool { return m.name == name }))]
}

func (c *cluster) router(name string) *routerProcess {
	return c.routers[max(0, slices.IndexFunc(c.routers, func(p *routerProcess) bool { return p.name == name }))]
}

// downMaster ends a master, and starts it again after a while.
func (c *cluster) downMaster(a action, down func(*masterProcess)) {
	p := c.master(a.arg(0))
	down(p)
	c.later(a.duration("for"), p.start)
}

// freeze stops a master's process and lets it go on later: meanwhile it hears and
// says nothing, and believes to lead.
func (c *cluster) freeze(a action) {
	p := c.master(a.arg(0))
	others := c.others(p.name)
	p.freeze()
	for _, name := range others {
		c.net.cut(p.name, name)
		c.net.cut(name, p.name)
	}
	c.later(a.duration("for"), func() {
		p.thaw()
		for _, name := range others {
			c.net.heal(p.name, name)
			c.net.heal(name, p.name)
		}
	})
}

// others returns the names of all that are on the network but one.
func (c *cluster) others(one string) []string {
	var list []string
	for _, p := range c.masters {
		if p.name != one {
			list = append(list, p.name)
		}
	}
	for _, m := range c.machines {
		list = append(list, m.name)
	}
	for _, p := range c.routers {
		list = append(list, p.name)
	}
	return append(list, c.watcher.name)
}

func (c *cluster) slowStore(a action) {
	c.trouble.set(a.duration("by"))
	c.later(a.duration("for"), func() { c.trouble.set(0) })
}

// killAgent ends an agent, and starts another one on its folder later. Its
// programs run on.
func (c *cluster) killAgent(a action) {
	m := c.machine(a.arg(0))
	m.killAgent()
	c.later(a.duration("for"), m.startAgent)
}

// powerOff takes a machine down, and boots it later.
func (c *cluster) powerOff(a action) {
	m := c.machine(a.arg(0))
	m.powerOff()
	c.later(a.duration("for"), m.bootAgain)
}

// bootAgain starts the machine and its agent, whichever is down.
func (m *machine) bootAgain() {
	if m.hosts() == nil {
		m.bootUp()
	}
	m.startAgent()
}

func (c *cluster) downRouter(a action, down func(*routerProcess)) {
	p := c.router(a.arg(0))
	down(p)
	c.later(a.duration("for"), p.start)
}

// isolate parts the master that leads from the store and the other masters, with agents
// and routers still at it: until it ends, that master does not learn that it leads no
// more, like one whose process has stood still.
func (c *cluster) isolate(a action) {
	c.alive.Go(func() {
		ctx, stop := context.WithTimeout(c.living, time.Second)
		defer stop()
		r := c.masters[0].now()
		if r == nil {
			return
		}
		identity, _, err := r.member.Leader(ctx)
		if err != nil {
			return
		}
		name, _, _ := strings.Cut(identity, " ")
		c.later(0, func() { c.part(c.master(name), a.duration("for")) })
	})
}

// part isolates a master.
func (c *cluster) part(p *masterProcess, lasts time.Duration) {
	c.obs.tell("master %s is isolated", p.name)
	p.isolate()
	for _, other := range c.masters {
		if other != p {
			c.net.cut(p.name, other.name)
			c.net.cut(other.name, p.name)
		}
	}
	c.later(lasts, func() {
		p.rejoin()
		for _, other := range c.masters {
			if other != p {
				c.net.heal(p.name, other.name)
				c.net.heal(other.name, p.name)
			}
		}
	})
}

// reset breaks the connections that an agent, router or watcher has made. What happened is not
// heard at the other end if it is silent.
func (c *cluster) reset(a action) {
	var from *caller
	if a.arg(0) == c.watcher.name {
		from = c.watcher.caller
	} else if m := c.machine(a.arg(0)); m.name == a.arg(0) {
		from = m.caller()
	} else if run := c.router(a.arg(0)).now(); run != nil {
		from = run.caller
	}
	if from != nil {
		from.made.reset(a.arg(1) == "silent")
	}
}

// cut parts an agent, router or watcher from all masters or one, or a router from a machine, one
// way or both.
func (c *cluster) cut(a action) {
	end := a.arg(0)
	var others []string
	if to := a.named("to", ""); to != "" {
		others = []string{to}
	}
	for _, p := range c.masters {
		if only := a.named("from", ""); a.named("to", "") == "" && (only == "" || only == p.name) {
			others = append(others, p.name)
		}
	}
	for _, other := range others {
		for _, way := range [][2]string{{end, other}, {other, end}} {
			if says := a.named("way", "both"); says == "out" && way[0] != end || says == "in" && way[0] == end {
				continue
			}
			c.net.cut(way[0], way[1])
			c.later(a.duration("for"), func() { c.net.heal(way[0], way[1]) })
		}
	}
}

// weather has the network lose messages and deliver late.
func (c *cluster) weather(a action) {
	c.net.weather(a.number("loss"), max(2*time.Millisecond, a.duration("late")))
	c.later(a.duration("for"), func() { c.net.weather(0, 2*time.Millisecond) })
}

func (c *cluster) fillDisk(a action) {
	m := c.machine(a.arg(0))
	if err := m.fillDisk(); err != nil {
		c.obs.tell("the disk of %s: %v", m.name, err)
	}
	c.later(a.duration("for"), func() {
		if err := m.emptyDisk(); err != nil {
			c.obs.tell("the disk of %s: %v", m.name, err)
		}
	})
}

// victim returns a program of a machine, chosen by a number.
func (c *cluster) victim(a action) (*programs, runtime.Key, bool) {
	host := c.machine(a.arg(0)).hosts()
	if host == nil {
		return nil, runtime.Key{}, false
	}
	running := host.running()
	if len(running) == 0 {
		return nil, runtime.Key{}, false
	}
	return host, running[a.number("no")%len(running)], true
}

func (c *cluster) killProgram(a action) {
	if host, key, found := c.victim(a); found {
		c.obs.tell("program %s dies", key)
		c.obs.died(host.program(key).service)
		_ = host.Kill(c.living, key) // it runs
	}
}

func (c *cluster) hangProgram(a action) {
	if host, key, found := c.victim(a); found {
		c.obs.tell("program %s hangs", key)
		host.hang(host.program(key))
	}
}

// heal ends all faults, wants only what works, and waits until all is well.
func (c *cluster) heal() bool {
	if !c.pass(time.Minute) { // all that was planned to end has ended
		return false
	}
	c.trouble.calm()
	c.net.weather(0, 2*time.Millisecond)
	for _, p := range c.masters {
		p.start()
	}
	for _, m := range c.machines {
		m.bootAgain()
		c.operate(action{verb: "undrain", args: []string{m.name}}, drain(c, action{verb: "undrain", args: []string{m.name}}))
	}
	for _, p := range c.routers {
		p.start()
	}
	for _, pool := range []string{"p1", "p2"} {
		c.operate(action{verb: "pool", args: []string{pool}}, c.setPool(action{args: []string{pool, "cpus=100000"}}))
	}
	if !c.pass(20 * time.Second) {
		return false
	}
	c.wantGood()
	for range 120 {
		if !c.pass(5 * time.Second) {
			return false
		}
		if c.unsettled() == nil {
			return c.pass(15 * time.Second)
		}
	}
	c.obs.fail(lawRuns, "%v", c.unsettled())
	return false
}

// wantGood deploys what works in place of all that may not.
func (c *cluster) wantGood() {
	for i, s := range c.obs.wanted() {
		a := action{verb: "deploy", args: []string{
			string(s.Name), "kind=" + s.Kind.String(), "behaves=ok", fmt.Sprintf("version=good%d", i), fmt.Sprintf("instances=%d", min(3, s.Instances)), "cpus=0.2",
		}}
		c.act(a)
	}
}
