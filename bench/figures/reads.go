package main

import (
	"context"
	"fmt"
	"time"
)

// What it may take to read everything.
const (
	readsWithin = 100 * time.Second

	readAllBar  = 500 * time.Millisecond
	readCallBar = 5 * time.Millisecond
)

// measureReads measures how long it takes to read all of a large cluster, and what
// others notice of that.
func (b *bench) measureReads(ctx context.Context) error {
	r := b.results.of(readsSection)
	b.say("all of 100,000 tasks, by pages and by a watch")
	v, err := b.measureFleet(ctx, "Reads", readsWithin)
	if err != nil {
		return err
	}
	const how = "`go test -bench Reads ./fleet`"
	if v == nil {
		r.noEnd("100,000 tasks on 10,000 agents: all are read", how, readsWithin)
		return nil
	}
	for _, form := range []struct{ prefix, what, others string }{
		{"list-", "100,000 tasks on 10,000 agents, all pages of a list", "Mesos /state 1.4 s as JSON, 0.95 s as protobuf"},
		{"watch-", "100,000 tasks on 10,000 agents, the first answer of a watch of everything", "the same"},
	} {
		r.under(form.what, how, v.took(form.prefix+"ms"), readAllBar, form.others)
		r.calls(form.what, how, form.prefix, v, readCallBar, 0, "Mesos 153 ms")
		r.addFact(form.what+": messages, and processor time of the master", how,
			fmt.Sprintf("%.1f MB, %.0f ms", v[form.prefix+"MB"], 1000*v[form.prefix+"cpu-s"]), 1)
	}
	return nil
}
