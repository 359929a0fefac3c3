package master

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// leader is the master that leads, as its standbys know it.
type leader struct {
	id      string
	address string // URL of its API; "" when it does not tell
	epoch   uint64 // 0: nobody leads
}

// identity is what a master campaigns with: its name, and where it is reached.
func (c Config) identity() string { return strings.TrimSpace(c.ID + " " + c.Advertise) }

func leaderOf(identity string, epoch uint64) leader {
	name, address, _ := strings.Cut(identity, " ")
	return leader{name, address, epoch}
}

// sight is what a master knows of who leads.
type sight struct {
	mu      sync.Mutex // guards all below
	leader  leader
	gone    bool          // its connection has ended, and there is no new one
	changed chan struct{} // closed and made anew when there may be something new
}

func newSight() *sight { return &sight{changed: make(chan struct{})} }

// set takes note of who leads.
func (s *sight) set(now leader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader, s.gone = now, s.gone && s.leader == now
	close(s.changed)
	s.changed = make(chan struct{})
}

// connected takes note of whether there is a connection to a leader.
func (s *sight) connected(to leader, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == to {
		s.gone = !there
	}
}

// leaves reports whether the leader of now has no connection any more, as when
// its process has died: nobody should be sent there.
func (s *sight) leaves() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// wake has everybody look again who waits for a change.
func (s *sight) wake() {
	now, _ := s.get()
	s.set(now)
}

// get returns who leads, and what is closed when that may have changed.
func (s *sight) get() (leader, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader, s.changed
}

// watchLeader keeps sight of who leads until ctx is done.
func (m *Master) watchLeader(ctx context.Context) {
	for {
		_ = m.store.WatchLeader(ctx, func(identity string, epoch uint64) { // what it cannot see now it sees later
			m.sight.set(leaderOf(identity, epoch))
		})
		if !wait(ctx, m.cfg.SilentAfter/10) {
			return
		}
	}
}

// guardLeader ends the term of a leader whose process has died, so that nobody
// waits for its lease to run out. It may err without harm: commits are fenced.
func (m *Master) guardLeader(ctx context.Context) {
	for {
		now, changed := m.sight.get()
		if now.epoch != 0 && now.id != m.cfg.ID && now.address != "" {
			m.guard(ctx, now, changed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// endFormer ends the term of this master's process before: no other one has its
// address while this one listens there.
func (m *Master) endFormer(ctx context.Context) {
	identity, epoch, err := m.store.Leader(ctx)
	if err == nil && epoch != 0 && m.cfg.Advertise != "" && identity == m.cfg.identity() {
		m.evict(ctx, leaderOf(identity, epoch), "it was of a process before this one")
	}
}

// evict ends a leader's term. If that fails, its lease ends it.
func (m *Master) evict(ctx context.Context, l leader, why string) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.SilentAfter)
	defer cancel()
	err := m.store.Evict(ctx, l.epoch)
	m.cfg.Log.WarnContext(ctx, "ended the leader's term", slog.String("why", why),
		slog.String("leader", l.id), slog.Uint64("epoch", l.epoch), slog.Any("error", err))
}

// guard evicts a leader once it is known to be dead, unless something changes
// before.
func (m *Master) guard(ctx context.Context, now leader, changed <-chan struct{}) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var dead bool
	var watching sync.WaitGroup
	watching.Go(func() {
		defer stop()
		dead = m.outlives(ctx, now)
	})
	select {
	case <-changed:
	case <-ctx.Done():
	}
	stop()
	watching.Wait()
	if dead {
		m.outlive(context.WithoutCancel(ctx), now)
	}
}

// outlive ends the term of a leader whose process is dead, and has the members of the
// embedded state do without that one.
func (m *Master) outlive(ctx context.Context, l leader) {
	var electing sync.WaitGroup
	defer electing.Wait()
	electing.Go(func() { m.store.Outlive(ctx, l.id) })
	m.evict(ctx, l, "its process is dead")
}

// A leader's process is dead when its machine refuses connections so many times
// in a row, where before there was one.
const (
	refusalsMax  = 3
	refusalPause = 10 * time.Millisecond
)

// outlives holds a connection to a leader and returns true once its process is
// dead, or false when ctx is done. Silence proves nothing: that is for the lease.
func (m *Master) outlives(ctx context.Context, l leader) bool {
	connected, refusals := false, 0
	_, host, _ := strings.Cut(l.address, "://")
	for {
		conn, err := m.dialLeader(ctx, "tcp", host)
		switch {
		case err == nil:
			connected, refusals = true, 0
			m.sight.connected(l, true)
			awaitEnd(ctx, conn)
			m.sight.connected(l, false)
		case connected && errors.Is(err, syscall.ECONNREFUSED):
			if refusals++; refusals == refusalsMax {
				return true
			}
		}
		if !wait(ctx, refusalPause) {
			return false
		}
	}
}

// awaitEnd returns when the other side has ended a connection on which nothing is
// said, or ctx is done.
func awaitEnd(ctx context.Context, conn net.Conn) {
	leaving := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer leaving()
	_, _ = conn.Read(make([]byte, 1)) // any outcome is its end
	_ = conn.Close()
}

// awaitSuccessor waits until another master leads after a term of this one, or
// ctx is done: meanwhile calls go to that master.
func (m *Master) awaitSuccessor(ctx context.Context, epoch uint64) {
	list, err := m.present(ctx)
	if err == nil && len(list) > 1 {
		_, _ = m.awaitTerm(ctx, epoch)
	}
}

// awaitTerm waits for a term after that of an epoch.
func (m *Master) awaitTerm(ctx context.Context, epoch uint64) (leader, error) {
	for {
		now, changed := m.sight.get()
		if now.epoch > epoch {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return leader{}, context.Cause(ctx)
		}
	}
}
