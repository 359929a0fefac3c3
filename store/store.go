// Package store keeps the cluster's durable state in etcd, embedded or outside,
// and decides which process may change it. It knows nothing of what it stores:
// keys are strings and values are bytes.
//
// The law: at any moment at most one term can write. Each transaction compares
// that the leader's key is still the one that its term made, so what a deposed
// leader sends late is refused, whatever the clocks say.
//
// A Store is safe for concurrent use. A Term belongs to the process that
// campaigned for it; its commits are made one after the other.
package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrDeposed says that the term is over. Nothing of the transaction was written.
	ErrDeposed = errors.New("this term leads no more")
	// ErrInDoubt says that a group may have been written whole, in part or not
	// at all. The caller drops what it has in memory and loads again.
	ErrInDoubt = errors.New("the outcome of the commit is in doubt")
	// ErrNewerData says that a newer program wrote the data.
	ErrNewerData = errors.New("the data is of a newer format than this program knows")
	// ErrLocked says that another process works in the data folder.
	ErrLocked = errors.New("the data folder is in use by another process")
	// ErrTooLarge says that an operation is larger than a transaction may be.
	ErrTooLarge = errors.New("too large for the store")
	// ErrClosed says that the Store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrStopped says that the embedded member has stopped by itself. The Store is
	// of no more use; what was committed is in its folder.
	ErrStopped = errors.New("the etcd member has stopped")
)

// Op puts Value at Key, or deletes Key. Deleting what is not there is no error.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
}

// Backend is what a Store stands on: etcd, or the memory of a test. Its methods
// may be called concurrently.
type Backend interface {
	Election
	Attendance
	Archive
	// Commit applies ops, no two of one key, in one transaction if epoch leads.
	// An error other than ErrInDoubt says that nothing was written.
	Commit(ctx context.Context, epoch uint64, ops []Op) (revision int64, err error)
	// Close stops all that the Backend started. It is called once, when no other
	// call is under way. A term that still holds is lost to this process, and to
	// the others when its lease runs out, as if this process had died.
	Close() error
}

// Election is the part of a Backend that decides who leads.
type Election interface {
	// Campaign waits until identity leads. After the end of a term that it has seen it lets
	// others go first for as long as behind says.
	Campaign(ctx context.Context, identity string, behind Behind) (Hold, error)
	// WatchLeader calls seen with the leader of now and then after each change,
	// until seen returns false. Epoch 0 means that nobody leads.
	WatchLeader(ctx context.Context, seen func(identity string, epoch uint64) bool) error
	// Evict ends the term of epoch, if that is the one that leads.
	Evict(ctx context.Context, epoch uint64) error
}

// Attendance is the part of a Backend that knows which processes are there.
type Attendance interface {
	// Announce keeps value under name until ctx is done, and returns why. What
	// was announced is gone then, or when its lease runs out if the cause is
	// ErrClosed.
	Announce(ctx context.Context, name, value string) error
	// Announced returns the values that are kept, by name.
	Announced(ctx context.Context) (map[string]string, error)
}

// Archive is the part of a Backend that tells what was committed.
type Archive interface {
	// Load visits the pairs whose keys begin with prefix, by key, as they all
	// were at the revision that it returns. The visitor may keep value.
	Load(ctx context.Context, prefix string, visit func(key string, value []byte) error) (revision int64, err error)
	// History visits the changes of keys that begin with prefix at revisions before
	// epoch, in order, and returns since when they are all: at most so many
	// revisions before epoch.
	History(ctx context.Context, epoch uint64, prefix string, most int64, visit func(Change) error) (since int64, err error)
}

// Hold is a leadership as a Backend hands it out.
type Hold struct {
	Epoch   uint64                          // grows from one leadership to the next
	Lost    <-chan struct{}                 // closed when the leadership has ended
	Release func(ctx context.Context) error // ends it; the next may lead at once
}

// Behind says for how long a candidate lets others go first when the term of former has
// ended, by its identity: 0 for not at all. It must not block.
type Behind func(former string) time.Duration

// BehindNobody is for a candidate who lets nobody go first.
func BehindNobody(string) time.Duration { return 0 }

// Store is a connection to the state. Make it with Open, or with New for a
// Backend of one's own, and end it with Close.
type Store struct {
	backend Backend
	limits  Limits
	closing chan struct{}
	calls   sync.WaitGroup

	mu     sync.Mutex // guards closed, and calls from growing once it is set
	closed bool
}

// New returns a Store that stands on backend, which it then owns.
func New(backend Backend, limits Limits) *Store {
	return &Store{
		backend: backend,
		limits:  limits.withDefaults(Limits{Ops: embeddedOps, Bytes: embeddedBytes}),
		closing: make(chan struct{}),
	}
}

// Campaign waits until this process leads, or ctx is done. The term that it
// returns outlives ctx: it ends with Resign, Close, or the loss of its lease.
func (s *Store) Campaign(ctx context.Context, identity string) (*Term, error) {
	return s.CampaignBehind(ctx, identity, BehindNobody)
}

// CampaignBehind is Campaign for one who lets others go first, who then lead if they are
// there.
func (s *Store) CampaignBehind(ctx context.Context, identity string, behind Behind) (*Term, error) {
	if identity == "" {
		return nil, errors.New("campaign: the identity is empty")
	}
	ctx, done := s.call(ctx, nil)
	defer done()
	hold, err := s.backend.Campaign(ctx, identity, behind)
	if err != nil {
		return nil, fmt.Errorf("campaign of %s: %w", identity, err)
	}
	return &Term{store: s, hold: hold}, nil
}

// Leader returns who leads now and the epoch of that term, or "" and 0 while
// nobody does.
func (s *Store) Leader(ctx context.Context) (identity string, epoch uint64, err error) {
	ctx, done := s.call(ctx, nil)
	defer done()
	err = s.backend.WatchLeader(ctx, func(seen string, seenEpoch uint64) bool {
		identity, epoch = seen, seenEpoch
		return false
	})
	if err != nil {
		return "", 0, fmt.Errorf("leader: %w", err)
	}
	return identity, epoch, nil
}

// WatchLeader calls seen with the leader of now and then after each change, one
// call at a time, until ctx is done or the store cannot be asked, and returns
// why. An epoch of 0 says that nobody leads. Changes that follow each other fast
// may be seen as one.
func (s *Store) WatchLeader(ctx context.Context, seen func(identity string, epoch uint64)) error {
	ctx, done := s.call(ctx, nil)
	defer done()
	err := s.backend.WatchLeader(ctx, func(identity string, epoch uint64) bool {
		seen(identity, epoch)
		return true
	})
	return fmt.Errorf("watch of the leader: %w", err)
}

// Evict ends the term of epoch, whoever holds it, if that is the one that leads,
// so that another process may lead at once; a term that is over already is no
// error. Who knows that the leader's process is dead need not wait for its lease.
//
// It does no harm to evict a leader that lives: it learns so by Lost, and what
// it commits from then on is refused. Nobody writes beside the next leader.
func (s *Store) Evict(ctx context.Context, epoch uint64) error {
	ctx, done := s.call(ctx, nil)
	defer done()
	if err := s.backend.Evict(ctx, epoch); err != nil {
		return fmt.Errorf("evict term %d: %w", epoch, err)
	}
	return nil
}

// Close ends all calls with ErrClosed, waits for them, and stops all that Open
// started. A term that was not resigned ends for others when its lease runs out.
// Closing twice is the same as once.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	close(s.closing)
	s.calls.Wait()
	if err := s.backend.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}
	return nil
}

// call returns the context of one call to the backend: it is done with ErrClosed
// as its cause when the Store closes, and with ErrDeposed when lost is closed.
// The caller must call done.
func (s *Store) call(ctx context.Context, lost <-chan struct{}) (bounded context.Context, done func()) {
	bounded, stop := context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		stop(ErrClosed)
		return bounded, func() {}
	}
	select {
	case <-lost:
		stop(ErrDeposed)
		return bounded, func() {}
	default:
	}
	s.calls.Add(1)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lost:
			stop(ErrDeposed)
		case <-s.closing:
			stop(ErrClosed)
		case <-bounded.Done():
		}
	}()
	return bounded, func() {
		stop(nil)
		<-watched
		s.calls.Done()
	}
}
