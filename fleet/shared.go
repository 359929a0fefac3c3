package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/aloft-run/aloft/client"
)

// reachedFor is how long it is taken for granted that there is a connection.
const reachedFor = time.Second

// shared is a client that agents share, and so its connections. Where there is none, one
// of them opens it before all begin their sessions: else each would open its own.
type shared struct {
	*client.Client

	mu      sync.Mutex // guards reached; held while the connection is opened
	reached time.Time  // when that was done last
}

// reach makes sure that there is a connection, if one can be had: if not, the sessions
// find that out by themselves.
func (s *shared) reach(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.reached) > reachedFor {
		_ = s.Reach(ctx)
		s.reached = time.Now()
	}
}

// lose ends the connections.
func (s *shared) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Close()
	s.reached = time.Time{}
}
