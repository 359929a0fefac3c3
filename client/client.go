// Package client speaks to the masters: the API for commands, and the sessions
// for agents and routers.
//
// It holds connections and no state: a session that breaks returns, and whoever
// asked for it asks again. Masters are tried in the order in which they take over from
// one another, beginning with the one that answered last, and that with the first of the
// configuration. A call is made again only where nothing of it was done.
//
// A Client is safe for concurrent use.
package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"connectrpc.com/connect"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
	"github.com/aloft-run/aloft/wire"
)

// errUnreached is the error for a master to which there is no connection.
var errUnreached = errors.New("cannot be reached")

// standbyHeader is what a master that does not lead sets in its answer.
const standbyHeader = "Aloft-Standby"

// busyHeader is what a master sets in its answer that has too much to do: after so long
// the call may be made again.
const busyHeader = "Aloft-Busy"

// A call that finds a master busy is made again after a pause that doubles up to
// busyPauseMax, for busyWithin in all.
const busyPauseMax, busyWithin = time.Second, 10 * time.Second

// anyMaster stands in calls for the master that is asked.
const anyMaster = "http://masters"

// Client reaches the masters of one cluster. Make it with New or Open; Close
// ends its idle connections.
type Client struct {
	cfg     Config
	http    *http.Client
	masters []master
	agents  map[string]aloftv1connect.AgentServiceClient // for sessions, by the address of the master
	next    atomic.Int64                                 // counts up; by it the master to try first
	beat    time.Time                                    // one of the moments at which quiet sessions do
	cluster func() aloftv1connect.ClusterServiceClient   // made once, which takes as long as a call
}

// New returns a client for the masters at the given addresses, such as
// http://127.0.0.1:7117 or 10.0.0.1:7117. It connects to none of them yet.
func New(addresses ...string) (*Client, error) { return Open(Config{Masters: addresses}) }

// Open is New with more to say.
func Open(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	masters, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("client config: %w", err)
	}
	c := &Client{
		cfg: cfg, http: &http.Client{Transport: newTransport(cfg)}, masters: masters,
		agents: make(map[string]aloftv1connect.AgentServiceClient), beat: time.Now().Add(-rand.N(time.Hour)),
	}
	c.cluster = sync.OnceValue(func() aloftv1connect.ClusterServiceClient {
		// What comes is not compressed: that takes a master more time than it saves on the way.
		return aloftv1connect.NewClusterServiceClient(c, anyMaster, connect.WithAcceptCompression("gzip", nil, nil), connect.WithCodec(wire.Codec{}))
	})
	for _, m := range masters {
		c.agents[m.address] = aloftv1connect.NewAgentServiceClient(wholeMessages{c.http}, m.address)
	}
	return c, nil
}

// Close ends the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Cluster returns the API of the cluster.
func (c *Client) Cluster() aloftv1connect.ClusterServiceClient { return c.cluster() }

// Address returns the address of the master that is asked first.
func (c *Client) Address() string { return c.first().address }

// Do sends a request to the master that answered last, and to the others in
// turn as long as nothing of it was done: when there is no connection, or the
// master says that it does not lead, or there is no answer and it would change
// nothing; and for a while again when that is too busy. It is what Cluster's calls go
// through.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	patient, cancel := context.WithTimeout(req.Context(), busyWithin)
	defer cancel()
	for least := time.Duration(0); ; least *= 2 {
		answer, err := c.try(req)
		if err != nil || answer.Header.Get(busyHeader) == "" || req.GetBody == nil {
			return answer, err
		}
		if least == 0 {
			least, _ = time.ParseDuration(answer.Header.Get(busyHeader)) // what is none is no pause
		}
		least = min(max(least, time.Millisecond), busyPauseMax)
		select {
		case <-time.After(least + rand.N(least)):
			_ = answer.Body.Close()
		case <-patient.Done():
			return answer, nil
		}
	}
}

// try sends a request once to each master at most.
func (c *Client) try(req *http.Request) (*http.Response, error) {
	tries := 1
	if req.GetBody != nil { // else what was sent once is gone
		tries = len(c.masters)
	}
	for {
		m := c.first()
		answer, err := c.ask(req, m)
		again := errors.Is(err, errUnreached) || err == nil && answer.Header.Get(standbyHeader) != "" || err != nil && wire.IsRead(req.URL.Path)
		if err != nil || again {
			c.failed(m)
		}
		if tries--; tries == 0 || !again || req.Context().Err() != nil {
			return answer, whileAway(req.Context(), err)
		}
		if err == nil {
			_ = answer.Body.Close()
		}
	}
}

// whileAway says of a connection that was reset that the master is unavailable. connect
// would say that the call was canceled, which is the word for a caller who left.
func whileAway(ctx context.Context, err error) error {
	if ctx.Err() == nil && (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)) {
		return connect.NewError(connect.CodeUnavailable, err)
	}
	return err
}

// ask sends a request to one master.
func (c *Client) ask(req *http.Request, m master) (*http.Response, error) {
	sent := req.Clone(req.Context())
	sent.URL.Scheme, sent.URL.Host, sent.Host = m.scheme, m.host, ""
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		sent.Body = body
	}
	return c.http.Do(sent)
}

// first returns the master to try first.
func (c *Client) first() master { return c.at(c.next.Load()) }

// at returns the master whose turn it is.
func (c *Client) at(turn int64) master {
	m := c.masters[turn%int64(len(c.masters))]
	m.turn = turn
	return m
}

// welcomed makes the next call go to that master, or to one that came after it.
func (c *Client) welcomed(m master) {
	for now := c.next.Load(); now < m.turn && !c.next.CompareAndSwap(now, m.turn); now = c.next.Load() {
	}
}

// failed makes the next call go to another master, once for all calls that
// found that one failing.
func (c *Client) failed(m master) { c.next.CompareAndSwap(m.turn, m.turn+1) }
