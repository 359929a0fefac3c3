package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	// probeEvery is how often the API is tried after a leader was harmed, and
	// restEvery how often otherwise.
	probeEvery, restEvery = 20 * time.Millisecond, 200 * time.Millisecond
	probeTimeout          = 10 * time.Second
	// probePool is the pool that is written to. Nothing draws from it.
	probePool = "probe"
)

// probe writes to the API all the time, through a master that no fault has, so that
// it is known for how long nobody can.
type probe struct {
	api   *api
	parts *parts

	mu      sync.Mutex
	watches []*outage
	lost    time.Time // when a leader was harmed last; zero before the first
	writes  int
	refused map[string]int // writes that were answered with an error, by its text
	slowest time.Duration
}

// outage is the time from the harm of a leader to the next write that succeeds.
type outage struct {
	since time.Time
	over  chan struct{} // closed when took is known
	took  time.Duration
}

// leaderLost begins to measure an outage.
func (p *probe) leaderLost() *outage {
	o := &outage{since: time.Now(), over: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches, p.lost = append(p.watches, o), o.since
	return o
}

// lostSince reports whether a leader was harmed after that.
func (p *probe) lostSince(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost.After(t)
}

// run writes until ctx is done, and waits for what is under way.
func (p *probe) run(ctx context.Context) {
	var writing sync.WaitGroup
	defer writing.Wait()
	for n := 0; ; n++ {
		p.mu.Lock()
		every := restEvery
		if len(p.watches) > 0 {
			every = probeEvery
		}
		p.mu.Unlock()
		if !pause(ctx, every) {
			return
		}
		if master := p.through(n); master != "" {
			writing.Go(func() { p.write(context.WithoutCancel(ctx), master, n) })
		}
	}
}

// through chooses a master that is not harmed.
func (p *probe) through(n int) string {
	for i := range p.parts.masters {
		if m := p.parts.masters[(n+i)%len(p.parts.masters)]; !m.isHarmed() {
			return net.JoinHostPort(m.IP(), apiPort)
		}
	}
	return ""
}

// write makes one write, and ends the outages that were there when it began.
func (p *probe) write(ctx context.Context, master string, n int) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	begun := time.Now()
	err := p.api.callAt(ctx, master, "SetPool", map[string]any{"pool": map[string]any{
		"id": probePool,
		"quantities": []map[string]any{
			{"type": "cpus", "kind": "QUANTITY_KIND_SCALAR", "scalar": strconv.Itoa(1000 + n%1000)},
		},
	}}, &struct{}{})
	took := time.Since(begun)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writes++
	if err != nil {
		p.refuse(err)
		return
	}
	p.slowest = max(p.slowest, took)
	left := p.watches[:0]
	for _, o := range p.watches {
		if begun.Before(o.since) {
			left = append(left, o)
			continue
		}
		o.took = time.Since(o.since)
		close(o.over)
	}
	p.watches = left
}

// wait returns how long an outage took, as soon as that is known.
func (o *outage) wait(ctx context.Context) (time.Duration, error) {
	select {
	case <-o.over:
		return o.took, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("no write has succeeded since %s: %w", o.since.Format(clock), context.Cause(ctx))
	}
}

// refuse counts a write that failed, by the error without its names and numbers.
func (p *probe) refuse(err error) {
	if p.refused == nil {
		p.refused = make(map[string]int)
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return '#'
		}
		return r
	}, err.Error())
	p.refused[text]++
}
