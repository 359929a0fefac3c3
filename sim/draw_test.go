package sim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// drawn returns the scenario of a seed.
func drawn(seed uint64) scenario {
	d := dice{rand.New(rand.NewPCG(seed, 0x5eed))}
	s := scenario{seed: seed, masters: pick(d, 1, 2, 3, 3), agents: 2 + d.IntN(3), routers: pick(d, 1, 2, 2)}
	if d.IntN(5) == 0 {
		s.split = 4 + d.IntN(8)
	}
	if d.IntN(2) == 0 {
		s.actions = append(s.actions, action{verb: "pool", args: []string{"p1", fmt.Sprintf("cpus=%d", 500+d.IntN(4000))}})
	}
	for i := range 1 + d.IntN(3) {
		s.actions = append(s.actions, action{at: time.Second + d.within(time.Second), verb: "deploy", args: d.spec(fmt.Sprintf("s%d", i+1), "ok")})
	}
	calm := pick(d, 0, 0, 1, 2) // some runs have few faults, some few operators
	at := 6 * time.Second
	for range 12 + d.IntN(20) {
		if at += d.within(5 * time.Second); d.IntN(4) == 0 {
			at -= at % time.Second // several things at one time
		}
		a := action{at: at}
		if harm := d.IntN(10); calm == 0 && harm < 5 || calm == 1 && harm < 2 || calm == 2 && harm < 8 {
			a.verb, a.args = d.fault(s)
		} else {
			a.verb, a.args = d.order(s)
		}
		s.actions = append(s.actions, a)
	}
	at = at.Truncate(time.Millisecond)
	if s.masters == 3 && d.IntN(2) == 0 {
		at += d.between(10*time.Second, 25*time.Second)
		s.actions = append(s.actions, d.deposed(s, at)...)
	}
	if d.IntN(3) == 0 {
		at += d.between(4*time.Second, 10*time.Second)
		s.actions = append(s.actions, d.hurried(s, at)...)
	}
	slices.SortStableFunc(s.actions, func(a, b action) int { return int(a.at - b.at) })
	for i := range s.actions {
		s.actions[i].at = s.actions[i].at.Truncate(time.Millisecond)
	}
	return s
}

type dice struct{ *rand.Rand }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

func (d dice) within(most time.Duration) time.Duration { return time.Duration(d.Int64N(int64(most))) }

func (d dice) name(prefix string, n int) string { return fmt.Sprintf("%s%d", prefix, 1+d.IntN(n)) }

// lasting draws how long a fault lasts.
func (d dice) lasting(most time.Duration) string {
	return "for=" + (100*time.Millisecond + d.within(most)).Truncate(time.Millisecond).String()
}

func (d dice) fault(s scenario) (verb string, args []string) {
	master, agent, router := d.name("m", s.masters), d.name("a", s.agents), d.name("r", s.routers)
	switch d.IntN(21) {
	case 0:
		return "kill-master", []string{master, d.lasting(6 * time.Second)}
	case 1:
		return "stop-master", []string{master, d.lasting(6 * time.Second)}
	case 2:
		return "freeze", []string{master, d.lasting(8 * time.Second)}
	case 3:
		return "depose", nil
	case 4:
		return "store-slow", []string{fmt.Sprintf("by=%dms", 20+d.IntN(800)), d.lasting(10 * time.Second)}
	case 5, 6:
		return "store-upset", []string{fmt.Sprintf("in=%d", 1+d.IntN(12)), "by=" + pick(d, upsetLost, upsetLate, upsetUnheard, upsetDeposed, upsetReplaced)}
	case 7, 8:
		return "kill-agent", []string{agent, d.lasting(pick(d, time.Second, 5*time.Second, 20*time.Second))}
	case 9:
		return "power-off", []string{agent, d.lasting(20 * time.Second)}
	case 10:
		return pick(d, "kill-router", "stop-router"), []string{router, d.lasting(10 * time.Second)}
	case 11, 12:
		args = []string{pick(d, agent, agent, agent, router, router, "w1"), "way=" + pick(d, "both", "in", "out"), d.lasting(pick(d, 4*time.Second, 15*time.Second))}
		if d.IntN(2) == 0 {
			args = append(args, "from="+master)
		}
		return "cut", args
	case 13:
		return "weather", []string{fmt.Sprintf("loss=%d", d.IntN(30)), fmt.Sprintf("late=%dms", 5+d.IntN(1500)), d.lasting(10 * time.Second)}
	case 14, 15:
		return "cut", []string{router, "way=" + pick(d, "both", "in", "out"), d.lasting(15 * time.Second), "to=" + agent}
	case 16:
		return "reset", []string{pick(d, agent, agent, router, "w1"), pick(d, "silent", "told")}
	case 17:
		return "crash-agent", []string{agent, fmt.Sprintf("in=%d", 1+d.IntN(3)), d.lasting(5 * time.Second)}
	case 18:
		return "isolate", []string{d.lasting(pick(d, 4*time.Second, 16*time.Second))}
	case 19:
		return "disk-full", []string{agent, d.lasting(8 * time.Second)}
	default:
		return pick(d, "kill-program", "hang-program"), []string{agent, fmt.Sprintf("no=%d", d.IntN(10))}
	}
}

func (d dice) order(s scenario) (verb string, args []string) {
	service := d.name("s", 3)
	switch d.IntN(24) {
	case 0, 1, 2, 3, 4, 5:
		return "deploy", d.spec(service, pick(d, "ok", "ok", "ok", "slow:4s", "never", "exits", "dies:8s", "hangs:6s", "stubborn"))
	case 6, 7, 8:
		return "scale", []string{service, fmt.Sprintf("to=%d", d.IntN(5))}
	case 9:
		return "pause", []string{service}
	case 10:
		return "resume", []string{service}
	case 11:
		return "abort", []string{service}
	case 12:
		return "rollback", []string{service}
	case 13:
		return "restart", []string{service}
	case 14:
		if d.IntN(2) == 0 {
			return "stop", []string{service, "remove"}
		}
		return "stop", []string{service}
	case 15:
		return "pool", []string{d.name("p", 2), fmt.Sprintf("cpus=%d", d.IntN(4000)), fmt.Sprintf("priority=%d", d.IntN(3))}
	case 16:
		return "drain", []string{d.name("a", s.agents), "within=" + pick(d, "0s", "5s"), pick(d, "asks", "force")}
	case 17:
		return "undrain", []string{d.name("a", s.agents)}
	case 18:
		return "transfer", nil
	case 19:
		return "breaker", []string{fmt.Sprintf("limit=%d", pick(d, 0, 10, 30, 60)), "window=" + pick(d, "5s", "30s")}
	case 20:
		return "release", pick(d, nil, []string{service})
	case 21, 22:
		return pick(d, "rebalance", "rebalance", "abort-moves"), []string{fmt.Sprintf("moves=%d", 1+d.IntN(4))}
	default:
		return "deploy", d.other()
	}
}

// spec draws what is deployed under the name of a service.
func (d dice) spec(name, behaves string) []string {
	surge, unavailable := d.IntN(3), d.IntN(2)
	if surge+unavailable == 0 {
		surge = 1
	}
	args := []string{
		name, "behaves=" + behaves, fmt.Sprintf("instances=%d", 1+d.IntN(4)), fmt.Sprintf("version=%d", d.IntN(1000)),
		fmt.Sprintf("surge=%d", surge), fmt.Sprintf("unavailable=%d", unavailable),
		"settle=" + pick(d, "0s", "1s", "3s"), "drain=" + pick(d, "500ms", "5s", "12s"),
		"on_failure=" + pick(d, "rollback", "rollback", "pause"), "cpus=" + pick(d, "0.2", "0.5", "1"),
	}
	if d.IntN(3) == 0 {
		args = append(args, "alive=1s")
	}
	if d.IntN(4) == 0 {
		args = append(args, "pool=p1")
	}
	if d.IntN(6) == 0 {
		args = append(args, "on_partition=stop")
	}
	return args
}

// other draws what is not a service.
func (d dice) other() []string {
	kind := pick(d, "job", "cron", "daemon")
	args := []string{kind + "1", "kind=" + kind, "cpus=0.2", fmt.Sprintf("version=%d", d.IntN(1000))}
	if kind == "daemon" {
		return append(args, "behaves="+pick(d, "ok", "ok", "never", "exits"))
	}
	return append(args, fmt.Sprintf("instances=%d", 1+d.IntN(3)), "behaves="+pick(d, "works:3s", "works:30s", "exits:2s"), "overlap="+pick(d, "skip", "allow", "replace"))
}
