package router

import (
	"io"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/router/upstream"
)

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

// Standings are the peers of one service, of which only their standing counts.
// With sockets failures would come when they like.
type Standings struct {
	peers     peers
	endpoints []*endpoint
}

// NewStandings returns n peers without a blemish.
func NewStandings(n int) *Standings {
	s := new(Standings)
	for range n {
		s.endpoints = append(s.endpoints, &endpoint{peers: &s.peers, pool: upstream.New(upstream.Config{})})
	}
	s.peers.set(s.endpoints)
	return s
}

// Failures are the reasons for which a peer may be ejected; those from certain on
// mean that it serves nobody.
func Failures() (names []string, certain int) {
	return []string{string(broken), string(late), string(garbled), string(refused), string(unreachable)}, 3
}

// Suspect says that the agent of a peer is silent, or is not.
func (s *Standings) Suspect(i int, suspect bool) { s.endpoints[i].takeSuspicion(suspect) }

// Fail is a request that a peer failed; it reports whether the peer is ejected for it.
func (s *Standings) Fail(i int, why string, now time.Time) bool {
	return s.peers.fail(s.endpoints[i], failure(why), now)
}

// Overtaken reports whether a connection that came to nothing tells nothing any more.
func (s *Standings) Overtaken(i int, began time.Time) bool {
	return s.peers.overtaken(s.endpoints[i], began)
}

// Answer is a request that a peer answered.
func (s *Standings) Answer(i int) { s.peers.answered(s.endpoints[i]) }

// Due reports whether a connection is to be tried.
func (s *Standings) Due(i int, now time.Time) bool { return s.peers.due(s.endpoints[i], now) }

// Connect is a connection that was tried and accepted.
func (s *Standings) Connect(i int, now time.Time) {
	s.endpoints[i].doubted.Store(false)
	s.peers.connected(s.endpoints[i], now)
}

// Miss is one that came to nothing; it reports whether the peer is ejected for it.
func (s *Standings) Miss(i int, why string, now time.Time) bool {
	return s.peers.missed(s.endpoints[i], failure(why), now) == justOut
}

// Ejected reports whether a peer is.
func (s *Standings) Ejected(i int) bool { return s.endpoints[i].isOut() }

// Pick chooses a peer for a request, or -1.
func (s *Standings) Pick(again, waited bool, tried ...int) int {
	want := choice{again: again, waited: waited}
	for _, i := range tried {
		want.tried = append(want.tried, s.endpoints[i])
	}
	return slices.Index(s.endpoints, (&service{endpoints: s.endpoints}).pick(want))
}

// Hold has n requests in flight at a peer.
func (s *Standings) Hold(i int, n int64) { s.endpoints[i].inFlight.Store(n) }

// Line is the queue of one service. Over sockets its order is blurred by the
// kernel and the processors; here it can be seen.
type Line struct{ queue queue }

// Join takes a place, unless limit are taken. Wait returns when it is the
// place's turn, and leave gives it up.
func (l *Line) Join(limit int) (wait, leave func()) {
	t := l.queue.join(limit)
	if t == nil {
		return nil, nil
	}
	wait = func() {
		for !l.queue.mayGo(t) {
			<-t.wake
		}
	}
	return wait, func() { l.queue.leave(t) }
}

// Release lets all go.
func (l *Line) Release() { l.queue.release() }

// Len returns how many wait.
func (l *Line) Len() int { return l.queue.len() }

// Vigil is the limit on the waits for clients. Over sockets only its end can be
// seen; here, on virtual time, each moment.
type Vigil struct{ vigil vigil }

// NewVigil returns a vigil over nobody.
func NewVigil(limit time.Duration) *Vigil { return &Vigil{vigil{limit: limit}} }

// Watch is the waits of one request.
type Watch struct{ watch watch }

// Watch returns a watch that has begun no wait.
func (v *Vigil) Watch(interrupt func()) *Watch {
	return &Watch{watch{vigil: &v.vigil, interrupt: interrupt}}
}

// Begin starts a wait.
func (w *Watch) Begin() bool { return w.watch.begin() }

// End says that the wait is over.
func (w *Watch) End() { w.watch.end() }

// Restart makes the wait count from now.
func (w *Watch) Restart() { w.watch.restart() }

// Stop breaks off the wait.
func (w *Watch) Stop() { w.watch.stop() }

// HasExpired reports whether a wait has lasted too long.
func (w *Watch) HasExpired() bool { return w.watch.hasExpired() }

// Spool is what an access log is written through.
type Spool struct{ *spool }

// NewSpool returns one that writes already.
func NewSpool(to io.Writer, lost prometheus.Counter) Spool {
	s := newSpool(to, lost)
	go s.run()
	return Spool{s}
}

// End ends it, and reports whether all was written.
func (s Spool) End() bool { return s.end() }

// Closing is a listener that accepts whoever has connected, and then is closed.
func Closing(listener net.Listener) net.Listener {
	l := &clientListener{Listener: listener}
	l.finish(true)
	return l
}
