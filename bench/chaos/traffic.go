package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/aloft-run/aloft/bench/load"
)

// request is one request of the load.
type request struct {
	number int
	text   string // the number
	method string
	host   string
	fresh  bool // on a connection of its own
}

// failure is a request that got no right answer.
type failure struct {
	request
	door         string    // the router that had it last
	agent        string    // that of the instance to which the router sent it, if it is known
	stopped      time.Time // when that instance was told to stop, if it was
	begun, ended time.Time
	try
}

// String tells it in one line.
func (f failure) String() string {
	text := fmt.Sprintf("%s  %s %s to %s through %s  after %s  %s", f.begun.Format("15:04:05.000"), f.method, f.text, f.host, f.door,
		f.ended.Sub(f.begun).Round(time.Millisecond), f.problem)
	if f.agent != "" {
		text += "  at " + f.agent
	}
	if f.reason != "" {
		text += "  (" + f.reason + ")"
	}
	return text
}

// counts is what became of the requests so far.
type counts struct {
	gets, posts int
	answered    map[int]bool // numbers of the POSTs that were
	failures    []failure
	again       map[string]int // tries that a client repeated itself, by the cause
	latencies   []time.Duration
}

// traffic is the clients of the services. They do what clients with two addresses
// do: a request that cannot have reached an instance goes to the other router, and
// so does a GET without an answer. A POST that an instance may have got is not sent
// again.
type traffic struct {
	hosts    []string
	doors    []*door
	attacker *vegeta.Attacker
	done     chan struct{} // closed when the last request has ended

	mu     sync.Mutex
	begun  int
	counts counts
}

// startTraffic begins to send requests.
func startTraffic(routers []*part, hosts []string, rate int) *traffic {
	const inFlightMax = 5000 // as bench/load: more would need more files than a process may open
	t := &traffic{
		hosts: hosts, done: make(chan struct{}),
		counts: counts{answered: make(map[int]bool), again: make(map[string]int)},
	}
	for _, r := range routers {
		t.doors = append(t.doors, newDoor(r))
	}
	t.attacker = vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: t}), vegeta.MaxWorkers(inFlightMax))
	results := t.attacker.Attack(t.target, load.NewPace(rate), 0, "")
	go func() {
		defer close(t.done)
		for range results { // each is counted already
		}
	}()
	return t
}

// stop sends no more, waits for what is under way, and returns what became of all.
func (t *traffic) stop() counts {
	t.attacker.Stop()
	<-t.done
	for _, d := range t.doors {
		d.close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}

// target hands vegeta the next number; RoundTrip makes the request of it.
func (t *traffic) target(target *vegeta.Target) error {
	t.mu.Lock()
	number := t.begun
	t.begun++
	t.mu.Unlock()
	target.Method, target.URL = http.MethodGet, "http://"+strconv.Itoa(number)
	return nil
}

// RoundTrip plays one client from its request to its answer.
func (t *traffic) RoundTrip(asked *http.Request) (*http.Response, error) {
	r := t.request(asked.URL.Host)
	begun := time.Now()
	order := slices.Clone(t.doors)
	if r.number/2%2 == 1 {
		slices.Reverse(order)
	}
	if order[0].isBad() && !order[1].isBad() {
		slices.Reverse(order)
	}
	var last try
	var through *door
	for i := range triesMax {
		if i > 0 {
			t.repeats(last)
		}
		if i > 1 && !pause(asked.Context(), 100*time.Millisecond) {
			break
		}
		through = order[i%len(order)]
		last = through.send(context.WithoutCancel(asked.Context()), r)
		if last.ending == answered || last.ending == wrong || last.ending == unknown && r.method == http.MethodPost {
			break
		}
	}
	t.book(failure{request: r, door: through.name, begun: begun, ended: time.Now(), try: last})
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: asked}, nil
}

// request makes the request of a number: half are POSTs, one in ten is on a
// connection of its own.
func (t *traffic) request(text string) request {
	number, err := strconv.Atoi(text)
	if err != nil {
		panic(fmt.Sprintf("the load made the number %q, which is none", text))
	}
	const ten = 10
	r := request{number: number, text: text, method: http.MethodGet, fresh: number/len(t.hosts)%ten == 0}
	if number%2 == 1 {
		r.method = http.MethodPost
	}
	r.host = t.hosts[number/4%len(t.hosts)]
	return r
}

// repeats counts a try that is about to be repeated.
func (t *traffic) repeats(last try) {
	cause := "the router refused the connection or was stopping"
	switch {
	case last.late:
		cause = "no answer within the client's patience"
	case last.ending == unknown:
		cause = "the connection broke"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.again[cause]++
}

// book counts a request that has ended.
func (t *traffic) book(f failure) {
	const sampled = 8
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.method == http.MethodGet {
		t.counts.gets++
	} else {
		t.counts.posts++
	}
	if f.number%sampled < 2 {
		t.counts.latencies = append(t.counts.latencies, f.ended.Sub(f.begun))
	}
	switch {
	case f.ending != answered:
		t.counts.failures = append(t.counts.failures, f)
	case f.method == http.MethodPost:
		t.counts.answered[f.number] = true
	}
}
