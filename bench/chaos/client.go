package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

const (
	dialWithin = time.Second
	// getPatience is how long a client waits for the answer to a GET before it
	// asks the other router; postPatience is how long for that to a POST, which it
	// never sends again.
	getPatience, postPatience = 5 * time.Second, 20 * time.Second
	// triesMax is how often a client sends a request at most.
	triesMax = 8
	// avoidFor is how long a client asks a router last that has failed it.
	avoidFor = 500 * time.Millisecond
)

// ending is how one attempt of a client to get an answer went.
type ending int

const (
	answered ending = iota // by an instance, as it must be
	unsent                 // no byte of the request has reached an instance
	unknown                // an instance may have carried it out
	wrong                  // with something that no client can use
)

// try is one attempt.
type try struct {
	ending  ending
	problem string    // one line
	reason  string    // the router's word for it, if it answered itself
	late    bool      // the client lost patience
	sent    time.Time // when the whole request was at the router's machine, or its connection broke
}

// door is one router as clients see it.
type door struct {
	name        string
	url         string
	kept, fresh *http.Transport
	badAt       atomic.Int64 // nanoseconds since 1970
}

func newDoor(r *part) *door {
	const idle = 256
	dial := (&net.Dialer{Timeout: dialWithin}).DialContext
	return &door{
		name: r.Name(), url: "http://" + r.IP() + ":" + httpPort + "/",
		kept:  &http.Transport{DialContext: dial, MaxIdleConnsPerHost: idle, IdleConnTimeout: 10 * time.Second, DisableCompression: true},
		fresh: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true},
	}
}

func (d *door) close() {
	d.kept.CloseIdleConnections()
	d.fresh.CloseIdleConnections()
}

// isBad reports whether it failed a short while ago.
func (d *door) isBad() bool { return time.Since(time.Unix(0, d.badAt.Load())) < avoidFor }

// send sends a request through the router once. On a busy machine it is a while until it
// is written.
func (d *door) send(ctx context.Context, r request) try {
	var written atomic.Pointer[time.Time] // by a goroutine of the connection
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		written.Store(new(time.Now()))
	}})
	t := d.try(ctx, r)
	t.sent = time.Now()
	if at := written.Load(); at != nil {
		t.sent = *at
	}
	return t
}

// try is send, but for when.
func (d *door) try(ctx context.Context, r request) try {
	patience := getPatience
	var body io.Reader = http.NoBody
	if r.method == http.MethodPost {
		patience, body = postPatience, strings.NewReader(strings.Repeat(r.text+" ", 20))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := http.NewRequestWithContext(ctx, r.method, d.url+r.text, body) // the routers' logs have the path
	if err != nil {
		return try{ending: wrong, problem: err.Error()}
	}
	out.Host = r.host
	transport := d.kept
	if r.fresh {
		transport = d.fresh
	}
	response, err := transport.RoundTrip(out)
	if err != nil {
		return d.failed(err)
	}
	defer func() { _ = response.Body.Close() }()
	const longest = 1000
	text, err := io.ReadAll(io.LimitReader(response.Body, longest))
	if err != nil {
		return d.failed(err)
	}
	return d.judge(r, response, strings.TrimSpace(string(text)))
}

// failed tells what there is to say without an answer.
func (d *door) failed(err error) try {
	d.badAt.Store(time.Now().UnixNano())
	t := try{ending: unknown, problem: err.Error(), late: errors.Is(err, context.DeadlineExceeded)}
	if operation, ok := errors.AsType[*net.OpError](err); ok && operation.Op == "dial" {
		t.ending = unsent
	}
	return t
}

// judge decides whether an answer is the right one.
func (d *door) judge(r request, response *http.Response, text string) try {
	if response.StatusCode == http.StatusOK && text == r.text && response.Header.Get(instanceHeader) != "" {
		return try{ending: answered}
	}
	t := try{
		ending:  wrong,
		reason:  response.Header.Get("Aloft-Reason"),
		problem: fmt.Sprintf("status %d: %.200s", response.StatusCode, text),
	}
	switch t.reason {
	case "stopping": // it was not sent to an instance, and the other router takes it
		t.ending = unsent
		d.badAt.Store(time.Now().UnixNano())
	case "unanswered": // the router ends, and does not know what an instance does with it
		t.ending = unknown
		d.badAt.Store(time.Now().UnixNano())
	case "broken", "garbled", "cut", "late":
		t.ending = unknown
	}
	return t
}
