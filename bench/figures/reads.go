package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aloft-run/aloft/bench/report"
)

// What it may take to read everything.
const (
	readsWithin = 100 * time.Second

	readAllBar  = 500 * time.Millisecond
	readCallBar = 5 * time.Millisecond
	crowdTimes  = 2 // how much longer tasks may take to start when a thousand watch
)

// measureReads measures how long it takes to read all of a large cluster, and what
// others notice of that.
func (b *bench) measureReads(ctx context.Context) error {
	if err := b.measureWatchers(ctx); err != nil {
		return err
	}
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

// measureWatchers measures what a thousand watchers of everything are to a master, and to
// those who start tasks meanwhile.
func (b *bench) measureWatchers(ctx context.Context) error {
	r := b.results.of(readsSection)
	b.say("1,000 watchers while 10,000 tasks start")
	v, err := b.measureFleet(ctx, "Watchers", readsWithin)
	if err != nil {
		return err
	}
	const how, what = "`go test -bench Watchers ./fleet`", "1,000 watchers of everything while 10,000 tasks start on 1,000 agents"
	if v == nil {
		r.noEnd(what, how, readsWithin)
		return nil
	}
	alone := v.took("alone-ms")
	r.addFact("10,000 tasks start on 1,000 agents: all run", how, report.Duration(alone), 1)
	r.under(what+": all run", how, v.took("watched-ms"), crowdTimes*alone, "")
	r.addCount(what+": watchers that were cut", how, int(v["cut"]), 1_000, "")
	r.addFact(what+": the last has been told of all, after that", how, report.Duration(v.took("told-ms")), 1)
	r.addFact(what+": messages, and processor time of the master", how, fmt.Sprintf("%.0f MB, %.1f s", v["told-MB"], v["master-cpu-s"]), 1)
	r.addFact(what+": a watcher in the master's memory", how, fmt.Sprintf("%.1f KB", v["watcher-KB"]), 1)
	return nil
}
