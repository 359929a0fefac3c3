package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/route"
	"github.com/aloft-run/aloft/poller"
	"github.com/aloft-run/aloft/router/upstream"
)

// Master is the part of the masters that a router needs.
type Master interface {
	// Follow holds one session: it sends on what confirmations brings, of which
	// only the newest counts, and calls apply, from one goroutine at a time, for
	// each table that comes. When confirmations is closed it says goodbye, and
	// returns nil, and only then nil, when the masters have heard it. It returns
	// an error when the session is broken or ctx done.
	Follow(ctx context.Context, confirmations <-chan route.Confirmation, apply func(route.Table)) error
}

// Config is what a router is started with. Zero fields get their defaults.
type Config struct {
	ID       id.Router
	Listen   string       // host:port for HTTP/1.1 and HTTP/2; default ":8080"
	Listener net.Listener // used instead of Listen when set; Run closes it

	Table     route.Table   // what the router that this one replaces applies; default: that of the state file
	TableWait time.Duration // for a table of the masters before requests are taken, else Run fails; default: none

	StateFile string        // keeps the newest table over a restart; default: none
	KeptWait  time.Duration // for a newer table before the kept one is served, unless no master can be asked; default 2s
	AccessLog io.Writer     // gets lines of JSON, one per request; it may be slow, or stuck; default: none

	HoldDefault   time.Duration // for a service that does not say; default 10s
	QueueMax      int           // for a service that does not say; default 1024 requests
	BodyKeepMax   int64         // largest body that is kept to be sent again; default 64 KiB
	BodiesKeptMax int64         // bytes of all bodies that are kept at one time; default 64 MiB

	HeaderTimeout  time.Duration // for a client to send a request's header; default 10s
	ClientTimeout  time.Duration // for a client to send more of a body, or take more of an answer; default 1m
	IdleTimeout    time.Duration // for a client's connection without a request; default 2m
	HeaderBytesMax int           // of a request; default 1 MiB
	LoopThreads    int           // of the loop that has the sockets, in a process whose GOMAXPROCS is larger by their number; default: it shares Go's threads
	FastPathOff    bool          // all requests go through net/http, not only the unusual ones
	DialTimeout    time.Duration // for an instance to accept a connection; default 2s
	ProbeTimeout   time.Duration // for an instance in doubt to accept a connection; default 500ms
	AnswerTimeout  time.Duration // for an instance to begin its answer; default 5m
	MachineTimeout time.Duration // for the kernel of an instance's machine to acknowledge anything; default 15s
	ShutdownGrace  time.Duration // for requests in flight when Run is told to stop; default 30s

	Reach      func(address string) Upstream                               // the way to the instance at host:port; default: package upstream, over TCP
	Dial       func(ctx context.Context, address string) (net.Conn, error) // a connection to it to be relayed; default: over TCP
	ListenPort func(ctx context.Context, port int) (net.Listener, error)   // for a route with a port of its own; default: on the host of Listen
	Registerer prometheus.Registerer                                       // default: none
	Log        *slog.Logger                                                // default: discard
}

// Upstream is the way to one instance. Its errors are of package upstream.
type Upstream interface {
	// Exchange sends a request and returns the answer once its head has come.
	Exchange(req *http.Request) (*http.Response, error)
	// Connect tells whether the instance accepts connections.
	Connect(ctx context.Context) error
	// Sweep closes connections that have waited too long for a request, and tells
	// what is left.
	Sweep(now time.Time) upstream.State
	// Drop closes those that wait for a request, and gives up what else is lost.
	Drop(what upstream.Extent)
	// Close lets no request begin.
	Close()
}

func (c Config) withDefaults() Config {
	if c.Listen == "" {
		c.Listen = ":8080"
	}
	orDefault(&c.KeptWait, 2*time.Second)
	orDefault(&c.HoldDefault, 10*time.Second)
	orDefault(&c.QueueMax, 1024)
	orDefault(&c.BodyKeepMax, 64<<10)
	orDefault(&c.BodiesKeptMax, 64<<20)
	orDefault(&c.HeaderTimeout, 10*time.Second)
	orDefault(&c.ClientTimeout, time.Minute)
	orDefault(&c.IdleTimeout, 2*time.Minute)
	orDefault(&c.HeaderBytesMax, 1<<20)
	orDefault(&c.DialTimeout, 2*time.Second)
	orDefault(&c.ProbeTimeout, 500*time.Millisecond)
	orDefault(&c.AnswerTimeout, 5*time.Minute)
	orDefault(&c.MachineTimeout, 15*time.Second)
	orDefault(&c.ShutdownGrace, 30*time.Second)
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	if c.ListenPort == nil {
		c.ListenPort = c.listenOn
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// newLoop returns the loop for the sockets.
func (c Config) newLoop() *poller.Loop {
	if c.LoopThreads > 0 {
		return poller.New(c.LoopThreads, true)
	}
	return poller.New(runtime.GOMAXPROCS(0), false)
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	var problems []error
	if err := id.Check(c.ID); err != nil {
		problems = append(problems, fmt.Errorf("ID: %w", err))
	}
	positive := []struct {
		name  string
		value int64
	}{
		{"HoldDefault", int64(c.HoldDefault)},
		{"QueueMax", int64(c.QueueMax)},
		{"BodyKeepMax", c.BodyKeepMax},
		{"BodiesKeptMax", c.BodiesKeptMax},
		{"HeaderTimeout", int64(c.HeaderTimeout)},
		{"ClientTimeout", int64(c.ClientTimeout)},
		{"IdleTimeout", int64(c.IdleTimeout)},
		{"HeaderBytesMax", int64(c.HeaderBytesMax)},
		{"DialTimeout", int64(c.DialTimeout)},
		{"ProbeTimeout", int64(c.ProbeTimeout)},
		{"AnswerTimeout", int64(c.AnswerTimeout)},
		{"MachineTimeout", int64(c.MachineTimeout)},
		{"ShutdownGrace", int64(c.ShutdownGrace)},
		{"TableWait", int64(c.TableWait)},
		{"KeptWait", int64(c.KeptWait)},
	}
	for _, field := range positive {
		if field.value < 0 {
			problems = append(problems, fmt.Errorf("%s is %d; it must be positive", field.name, field.value))
		}
	}
	return errors.Join(problems...)
}
