// Package client speaks to the masters: the API for commands, and the sessions
// for agents and routers.
//
// It holds connections and no state: a session that breaks returns, and whoever
// asked for it asks again. Masters are tried in order, beginning with the one
// that answered last.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/gen/aloft/v1/aloftv1connect"
)

// DefaultAddress is where a master listens unless it is told otherwise.
const DefaultAddress = "http://127.0.0.1:7117"

// heartbeatEvery is how often a session says that it is alive; a session that
// hears nothing for silentAfter is broken.
const (
	heartbeatEvery = 500 * time.Millisecond
	silentAfter    = 3 * time.Second
)

// errSilent is the cause of a session that ended because nothing was heard.
var errSilent = errors.New("the master is silent")

// Client reaches the masters of one cluster. Make it with New; Close ends its
// idle connections.
type Client struct {
	http    *http.Client
	masters []string
	next    atomic.Int64 // index of the master to try first
}

// New returns a client for the masters at the given addresses, such as
// http://127.0.0.1:7117 or 10.0.0.1:7117. It connects to none of them yet.
func New(addresses ...string) (*Client, error) {
	if len(addresses) == 0 {
		addresses = []string{DefaultAddress}
	}
	masters := make([]string, 0, len(addresses))
	for _, address := range addresses {
		base, err := baseURL(address)
		if err != nil {
			return nil, err
		}
		masters = append(masters, base)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{
		Protocols:   protocols,
		DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: silentAfter, PingTimeout: silentAfter},
	}
	return &Client{http: &http.Client{Transport: transport}, masters: masters}, nil
}

func baseURL(address string) (string, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil {
		return "", fmt.Errorf("master address: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Path != "" {
		return "", fmt.Errorf("master address %q: want the form %s", address, DefaultAddress)
	}
	return u.String(), nil
}

// Close ends the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Cluster returns the API of the master that answered last.
func (c *Client) Cluster() aloftv1connect.ClusterServiceClient {
	return aloftv1connect.NewClusterServiceClient(c.http, c.master())
}

// Address returns the address of the master that is asked first.
func (c *Client) Address() string { return c.master() }

func (c *Client) master() string {
	return c.masters[int(c.next.Load())%len(c.masters)]
}

// failed makes the next call go to another master.
func (c *Client) failed() { c.next.Add(1) }

// watched returns a context that ends with errSilent when the function it
// returns has not been called for silentAfter.
func watched(ctx context.Context) (watch context.Context, heard, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(silentAfter, func() { cancel(errSilent) })
	return ctx, func() { timer.Reset(silentAfter) }, func() { timer.Stop(); cancel(context.Canceled) }
}

// ended prefers why the context ended over what the broken stream says.
func ended(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}
