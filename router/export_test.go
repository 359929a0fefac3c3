package router

import "github.com/aloft-run/aloft/router/upstream"

// Gate is the count of one endpoint. Over sockets the race between a request and
// a table is too rare to be met in a test; here the two meet directly.
type Gate struct{ endpoint endpoint }

// NewGate returns a gate that tells drained when it has become free.
func NewGate(drained chan<- struct{}) *Gate {
	return &Gate{endpoint{drained: drained, pool: upstream.New(upstream.Config{})}}
}

// Enter is what a request does before it is sent.
func (g *Gate) Enter() bool { return g.endpoint.enter() }

// Exit is what a request does when it has ended.
func (g *Gate) Exit() { g.endpoint.exit() }

// Leave is what the loop does for a table without the endpoint; it returns the
// requests that the loop then confirms.
func (g *Gate) Leave() int64 {
	g.endpoint.leave()
	return g.endpoint.inFlight.Load()
}
