// Package load sends requests at a steady rate through the router, whatever
// becomes of them, and accounts for every single one.
//
// The generator is vegeta's: it is open-loop, so a router that stalls gets its
// requests all the same, and it gives each result with its error. Requests belong
// to the phase in which they were begun; a phase's tally is complete, because
// taking it waits for all of them.
package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// inFlightMax is the most requests under way at once: more would need more files
// than a process may open. Only a router that answers nothing for seconds gets
// there, and then requests come later instead of not at all.
const inFlightMax = 5000

// Config is what a load is started with. Zero fields get their defaults.
type Config struct {
	URL     string        // of the router
	Host    string        // of the service
	Rate    int           // requests per second; default 1000
	Timeout time.Duration // of one request; default 30s
}

func (c Config) withDefaults() Config {
	if c.Rate == 0 {
		c.Rate = 1000
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if c.URL == "" {
		problems = append(problems, errors.New("a load needs a URL"))
	}
	if c.Rate < 0 {
		problems = append(problems, fmt.Errorf("a rate of %d is not positive", c.Rate))
	}
	return errors.Join(problems...)
}

// Load is requests on their way. Make it with Start and end it with Stop.
type Load struct {
	cfg      Config
	attacker *vegeta.Attacker
	lanes    *lanes
	done     chan struct{} // closed when the last result is in

	mu      sync.Mutex
	phases  []*phase
	begun   int // requests of all phases
	changed chan struct{}
}

// phase is what is known of the requests begun in it.
type phase struct {
	name    string
	begun   int
	results []Result
}

// Start begins to send requests, which belong to a phase of that name.
func Start(cfg Config, first string) (*Load, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("load config: %w", err)
	}
	lanes := newLanes()
	l := &Load{
		cfg:   cfg,
		lanes: lanes,
		attacker: vegeta.NewAttacker(vegeta.Client(&http.Client{
			Transport: lanes,
			Timeout:   cfg.Timeout,
		}), vegeta.Redirects(vegeta.NoFollow), vegeta.MaxWorkers(inFlightMax)),
		done:    make(chan struct{}),
		phases:  []*phase{{name: first}},
		changed: make(chan struct{}),
	}
	results := l.attacker.Attack(l.target, NewPace(cfg.Rate), 0, "")
	go l.collect(results)
	return l, nil
}

// Stop sends no more and returns when every request has ended.
func (l *Load) Stop() {
	l.attacker.Stop()
	<-l.done
	l.lanes.close()
}

// Next ends the phase that is under way and begins another one. It returns the
// number of the one that ended, for Tally.
func (l *Load) Next(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phases = append(l.phases, &phase{name: name})
	return len(l.phases) - 2
}

// Begun returns how many requests were begun in all.
func (l *Load) Begun() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun
}

// Tally waits until every request that was begun in a phase has ended and
// returns what became of them. The phase must have ended.
func (l *Load) Tally(ctx context.Context, number int) (Tally, error) {
	for {
		l.mu.Lock()
		p, changed := l.phases[number], l.changed
		complete := len(p.results) == p.begun
		l.mu.Unlock()
		if complete {
			return newTally(p.name, p.results), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Tally{}, fmt.Errorf("waiting for the requests of %s: %w", p.name, context.Cause(ctx))
		}
	}
}

// Newest returns the versions that gave the newest answers, sorted.
func (l *Load) Newest() []string {
	const answers = 20
	l.mu.Lock()
	defer l.mu.Unlock()
	var versions []string
	for _, p := range slices.Backward(l.phases) {
		for _, r := range slices.Backward(p.results) {
			if len(versions) == answers {
				break
			}
			if r.Version != "" {
				versions = append(versions, r.Version)
			}
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions)
}

// target fills in the next request. The query tells the phase, so that each
// result finds its own.
func (l *Load) target(target *vegeta.Target) error {
	l.mu.Lock()
	number := l.begun
	l.begun++
	at := len(l.phases) - 1
	l.phases[at].begun++
	l.mu.Unlock()

	method, lane := laneOf(number)
	target.Method = method
	target.URL = l.cfg.URL + "/?phase=" + strconv.Itoa(at)
	target.Header = http.Header{"Host": {l.cfg.Host}, laneHeader: {lane}}
	if method == http.MethodPost {
		target.Body = newBody(number)
	}
	return nil
}

// collect owns the results until the attack has ended.
func (l *Load) collect(results <-chan *vegeta.Result) {
	defer close(l.done)
	for r := range results {
		number := phaseOf(r.URL)
		l.mu.Lock()
		l.phases[number].results = append(l.phases[number].results, judge(r, l.phases[number].name))
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	}
}
