package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"
)

// lagMax is how long after its end a fault may still be felt: a connection that it
// killed is used once more.
const lagMax = 2 * time.Second

// linger is how long a router that was told to stop has its open connections used:
// a little less than the second that it gives them. When it closes one that was silent
// all that time, it cannot know of a request that is written just then.
const linger = 900 * time.Millisecond

// drainOf is how long an instance that must go waits for a router of which nothing is
// heard: what the services' specs say.
const drainOf = 10 * time.Second

// verdict is what became of the requests, judged.
type verdict struct {
	lost    []failure // that were safe to save
	unsaved []failure // POSTs that a fault explains: an instance or a router may have had them
	laws    []string  // that were broken
}

// judge separates what was lost from what nobody could have saved, and holds the
// journals of the instances to the answers that clients got.
func judge(c counts, faults []fault, folder string) (verdict, error) {
	var v verdict
	seen, err := gather(folder, c.failures)
	if err != nil {
		return v, err
	}
	for _, f := range c.failures {
		if f = seen.traced(f); f.method == http.MethodPost && f.ending == unknown && explained(f, faults) {
			v.unsaved = append(v.unsaved, f)
		} else {
			v.lost = append(v.lost, f)
		}
	}
	for _, name := range seen.twice {
		v.laws = append(v.laws, "an attempt was started twice, or beside another one: "+name)
	}
	for number, times := range seen.carried {
		if times > 1 {
			v.laws = append(v.laws, fmt.Sprintf("POST %d was carried out %d times", number, times))
		}
	}
	for number := range c.answered {
		if seen.carried[number] == 0 {
			v.laws = append(v.laws, fmt.Sprintf("POST %d was answered and not carried out", number))
		}
	}
	return v, nil
}

// explained reports whether a fault that can break a POST was there while it was
// under way: at the router that had it, or at the agent of the instance to which that
// router had sent it. A router that was told to stop, or replaced, may also have closed a
// connection that had been silent; and one that the masters did not hear for the whole of a
// drain may have sent it to an instance that was just told to stop.
func explained(f failure, faults []fault) bool {
	return slices.ContainsFunc(faults, func(one fault) bool {
		felt := one.to.Add(lagMax)
		if one.name == cutFromMasters {
			felt = felt.Add(one.back) // the masters that it looks for may be struck meanwhile
		}
		switch {
		case !f.begun.Before(felt) || !f.ended.After(one.from):
			return false
		case one.part == f.door && (one.name == toldToStop || one.name == replaced):
			return f.sent.After(one.from.Add(linger))
		case one.part == f.door && one.name == cutFromMasters:
			return !f.stopped.Before(one.from.Add(drainOf)) && f.begun.Before(f.stopped.Add(lagMax)) && f.ended.After(f.stopped)
		}
		return one.harm == breaks && (one.part == f.door || one.part == f.agent)
	})
}
