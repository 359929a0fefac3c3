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
	out map[string]bool // agents that are in no session, and were not let in
	seq int             // counts how often an agent came to be so
	its *knock          // the newest; nil before the first
}

// knock asks for the way in, again and again.
type knock struct {
	ended chan struct{} // closed when a master has let them in, or nobody asks any more
	named int           // agents that came to be in no session until then are named
	in    bool          // a master has let them in
	at    time.Time     // when
}

// knock waits until a master has time for an agent, which came to be in no session by
// that number, or ctx is done.
func (s *shared) knock(ctx context.Context, agent string, number int) {
	for ctx.Err() == nil {
		k, own := s.join(number)
		if own {
			s.ask(ctx, k)
		}
		select {
		case <-k.ended:
		case <-ctx.Done():
			return
		}
		if k.counts(number) {
			return
		}
		if k.in && number <= k.named {
			number = s.goOut(agent) // it was let in, and came too late
		}
	}
}

// join returns the newest knock, or one that the caller has to make, where that one's
// answer does not count for it.
func (s *shared) join(number int) (k *knock, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.its != nil && (s.its.awaited() || s.its.counts(number)) {
		return s.its, false
	}
	s.its = &knock{ended: make(chan struct{})}
	return s.its, true
}

// ask knocks until a master has let them in, or ctx is done.
func (s *shared) ask(ctx context.Context, k *knock) {
	defer close(k.ended)
	for pause := s.pauses.Min; ctx.Err() == nil; pause = min(2*pause, s.pauses.Max) {
		var names []string
		names, k.named = s.outside()
		if s.Knock(ctx, names) == nil {
			k.in, k.at = true, time.Now()
			s.goIn(names...)
			return
		}
		s.broken.Add(1)
		wait(ctx, drawn(pause))
	}
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

// counts reports whether the answer, which is there, lets in an agent that was named.
func (k *knock) counts(number int) bool {
	return k.in && number <= k.named && time.Since(k.at) < letInFor
}

// outside returns the agents that wait to begin a session, and the number of the last.
func (s *shared) outside() (names []string, last int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names = make([]string, 0, len(s.out))
	for name := range s.out {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, s.seq
}

// goIn takes note that agents were let in.
func (s *shared) goIn(agents ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range agents {
		delete(s.out, name)
	}
}

// goOut takes note that an agent is in no session from now on, and numbers that.
func (s *shared) goOut(agent string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out[agent] = true
	s.seq++
	return s.seq
}
