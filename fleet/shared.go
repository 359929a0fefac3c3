package fleet

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aloft-run/aloft/client"
)

// letInFor is how long agents take the answer to a knock for their own.
const letInFor = time.Second

// shared is a client that agents share, and so its connections. They knock together
// before they begin their sessions: one of them for all that are in none.
type shared struct {
	*client.Client

	pauses Pauses
	broken *atomic.Int64 // counts knocks in vain, too

	mu  sync.Mutex      // guards all below
	out map[string]bool // agents that are in no session, and begin none
	its *knock          // the newest; nil if it says nothing any more
}

// knock asks for the way in, again and again.
type knock struct {
	ended chan struct{} // closed when a master has let them in, or nobody asks any more
	in    bool          // it has
	at    time.Time     // when
}

// knock waits until a master has time for the agents, or ctx is done.
func (s *shared) knock(ctx context.Context) {
	k, first := s.join()
	if !first {
		select {
		case <-k.ended:
		case <-ctx.Done():
		}
		return
	}
	defer close(k.ended)
	for pause := s.pauses.Min; ctx.Err() == nil; pause = min(2*pause, s.pauses.Max) {
		if s.Knock(ctx, s.outside()) == nil {
			k.in, k.at = true, time.Now()
			return
		}
		s.broken.Add(1)
		wait(ctx, drawn(pause))
	}
}

// join returns the knock that counts, and whether the caller has to make it.
func (s *shared) join() (k *knock, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.its != nil && s.its.counts() {
		return s.its, false
	}
	s.its = &knock{ended: make(chan struct{})}
	return s.its, true
}

// awaited reports whether the answer is not there yet.
func (k *knock) awaited() bool {
	select {
	case <-k.ended:
		return false
	default:
		return true
	}
}

// counts reports whether the answer is awaited, or of now.
func (k *knock) counts() bool { return k.awaited() || k.in && time.Since(k.at) < letInFor }

// outside returns the agents that wait to begin a session.
func (s *shared) outside() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.out))
	for name := range s.out {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// goIn takes note that an agent begins a session.
func (s *shared) goIn(agent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.out, agent)
}

// goOut takes note that an agent is in no session. What a master answered before tells
// nothing any more.
func (s *shared) goOut(agent string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out[agent] = true
	if s.its != nil && !s.its.awaited() {
		s.its = nil
	}
}

// lose ends the connections.
func (s *shared) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Close()
	s.its = nil
}
