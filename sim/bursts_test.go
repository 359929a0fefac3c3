package sim_test

import (
	"fmt"
	"time"
)

// between draws a time.
func (d dice) between(least, most time.Duration) time.Duration {
	return (least + d.within(most-least)).Truncate(time.Millisecond)
}

// deposed draws that an agent comes back to a leader of before, which does not know that
// it leads no more. That one has a task for it, which it could not tell it of in time, and
// nothing else to do; the next leader had it run the task to its end meanwhile.
func (d dice) deposed(s scenario, at time.Duration) []action {
	agent := d.name("a", s.agents)
	deaf := d.between(2400*time.Millisecond, 2500*time.Millisecond) // the next leads by then
	return []action{
		{at: at, verb: "cut", args: []string{agent, "way=in", "for=" + deaf.String()}},
		{at: at + d.between(20*time.Millisecond, 100*time.Millisecond), verb: "deploy", args: []string{
			"x1", "kind=job", "behaves=works:80ms", fmt.Sprintf("instances=%d", 3+d.IntN(4)), fmt.Sprintf("version=%d", d.IntN(1000)), "cpus=0.1",
		}},
		{at: at + d.between(250*time.Millisecond, 320*time.Millisecond), verb: "isolate", args: []string{"for=6s"}},
		{at: at + deaf, verb: "reset", args: []string{agent, "silent"}}, // before the cut ends
		{at: at + deaf + d.between(200*time.Millisecond, 450*time.Millisecond), verb: "reset", args: []string{agent, "silent"}},
	}
}

// hurried draws orders that come while agents hear nothing, but are not missed yet: of
// what was ordered and taken back meanwhile, they hear the end alone.
func (d dice) hurried(s scenario, at time.Duration) []action {
	var list []action
	for i := range s.agents {
		list = append(list, action{at: at, verb: "cut", args: []string{
			fmt.Sprintf("a%d", 1+i), "way=in", "for=" + d.between(1500*time.Millisecond, 2600*time.Millisecond).String(),
		}})
	}
	at += 50 * time.Millisecond
	for range 4 + d.IntN(4) {
		service := d.name("s", 3)
		a := action{at: at, verb: "deploy", args: d.spec(service, "ok")}
		switch d.IntN(4) {
		case 0:
			a.verb, a.args = "scale", []string{service, fmt.Sprintf("to=%d", d.IntN(5))}
		case 1:
			a.verb, a.args = "stop", []string{service}
		}
		list = append(list, a)
		at += d.between(20*time.Millisecond, 400*time.Millisecond)
	}
	return append(list, action{at: at, verb: "stop", args: []string{d.name("s", 3)}})
}
