// Package master is one replica of the control plane. It waits to lead; then one
// loop owns the cluster: it takes all events that wait, steps the engine through
// them, commits the changes in one group, and only then answers and publishes.
//
// What leaves the master is durable. A commit that may have failed ends the
// term: the memory is dropped and the master stands by again.
package master

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/store"
)

// ErrNoLeader is the error for a call that reached a master which does not
// lead, or no longer. Nothing of the call was done: it may be made again.
var ErrNoLeader = errors.New("this master does not lead; try again")

// errBusy is the error for a call that came while too many were waiting. Nothing of it
// was done: it may be made again, in a moment.
var errBusy = errors.New("this master has more to do than it can take; try again in a moment")

// errInDoubt is the error for a call that was under way when the term ended. It
// may have been done or not.
var errInDoubt = errors.New("the leader changed; the outcome is not known")

// Why a term ended.
var (
	errLost       = errors.New("the term was lost")
	errHandedOver = errors.New("the term was handed over")
)

// Store is where leadership and the state come from.
type Store interface {
	Election
	Attendance
	Company
}

// Election decides which master leads.
type Election interface {
	// CampaignBehind waits until this master leads, behind others that may go first.
	CampaignBehind(ctx context.Context, identity string, behind store.Behind) (*store.Term, error)
	// Leader returns who leads, and the epoch of that term; 0 while nobody does.
	Leader(ctx context.Context) (identity string, epoch uint64, err error)
	// WatchLeader tells who leads now, and then each change, until ctx is done.
	WatchLeader(ctx context.Context, seen func(identity string, epoch uint64)) error
	// Evict ends the term of that epoch, whoever holds it, if it is not over.
	Evict(ctx context.Context, epoch uint64) error
	// Outlive has the embedded members do without one whose process is dead.
	Outlive(ctx context.Context, name string)
}

// Attendance tells which masters are there.
type Attendance interface {
	// Announce tells the others that this master is there, until ctx is done.
	Announce(ctx context.Context, name, value string) error
	// Announced returns what those that are there have announced, by name.
	Announced(ctx context.Context) (map[string]string, error)
}

// Company is the members that keep the state, where these are embedded in the
// masters, and a copy of what they keep.
type Company interface {
	// Members returns the members, with a majority or without.
	Members(ctx context.Context) ([]store.Member, error)
	// AddMember lets a new member join.
	AddMember(ctx context.Context, name, peerURL string) error
	// RemoveMember takes a member out for good.
	RemoveMember(ctx context.Context, name string) error
	// Room returns how much the embedded state has, and may have.
	Room() (store.Room, bool)
	// Snapshot writes a copy of all state while that goes on changing.
	Snapshot(ctx context.Context, w io.Writer) (revision int64, err error)
}

// Config is what a master is started with. Zero fields get their defaults.
type Config struct {
	ID           string
	Version      string        // of this binary, for people
	Advertise    string        // URL at which the other masters reach this one's API; default: they cannot
	Dial         Dial          // default: TCP
	SilentAfter  time.Duration // an agent or router not heard of for so long is out of reach; default 3s
	SuspectAfter time.Duration // an agent not heard of for so long is unreachable; default 3s
	History      int           // changes of records that a watch can resume over; default 50,000
	NotesMax     int           // lines of the cluster's story that are kept; default 10,000
	EndedMax     int           // ended tasks that are kept of a service; default 20
	EndedFor     time.Duration // for how long they are, and those of a job's last run; default: for good
	CallsMax     int           // calls of the API that may wait for the loop, or to be durable; more are asked to come back; default 1,000
	Registerer   prometheus.Registerer
	Log          *slog.Logger // default: discard
}

// Dial connects to an address, as net.Dialer does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

func (c Config) withDefaults() Config {
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.SilentAfter == 0 {
		c.SilentAfter = 3 * time.Second
	}
	if c.SuspectAfter == 0 {
		c.SuspectAfter = 3 * time.Second
	}
	if c.History == 0 {
		c.History = 50_000
	}
	if c.NotesMax == 0 {
		c.NotesMax = 10_000
	}
	if c.CallsMax == 0 {
		c.CallsMax = 1_000
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if c.ID == "" || strings.ContainsAny(c.ID, " \t\r\n") {
		problems = append(problems, fmt.Errorf("a master needs an ID of one word, found %q", c.ID))
	}
	if at, err := url.Parse(c.Advertise); err != nil || c.Advertise != "" && (at.Scheme != "http" || at.Port() == "") {
		problems = append(problems, fmt.Errorf("masters reach this one at %q; want http://HOST:PORT", c.Advertise))
	}
	if c.SilentAfter < 0 {
		problems = append(problems, fmt.Errorf("silence is after %v; want more than 0", c.SilentAfter))
	}
	if c.SuspectAfter < 0 {
		problems = append(problems, fmt.Errorf("an agent is unreachable after %v; want more than 0", c.SuspectAfter))
	}
	if c.History < 0 || c.NotesMax < 0 || c.EndedMax < 0 || c.EndedFor < 0 {
		problems = append(problems, fmt.Errorf("a history of %d changes, %d notes and %d ended tasks for %v; want more than 0", c.History, c.NotesMax, c.EndedMax, c.EndedFor))
	}
	if c.CallsMax < 0 {
		problems = append(problems, fmt.Errorf("%d calls may wait; want more than 0", c.CallsMax))
	}
	return errors.Join(problems...)
}

// beatEvery is how often a session says that the master is there: several times
// within what the other side takes for silence.
func (c Config) beatEvery() time.Duration { return c.SilentAfter / 3 }

// Master is one replica of the control plane. Make it with New and start it
// with Run; its handlers serve from the beginning.
type Master struct {
	cfg     Config
	store   Store
	metrics *metrics
	sight   *sight
	disk    *disk
	vigils  vigils
	away    *http.Transport          // to the other masters
	around  atomic.Pointer[[]string] // addresses of the masters that are there, its own among them; nil before they are known
	closing chan struct{}            // closed when Run is told to end
	reign   atomic.Pointer[reign]    // nil while another master leads
}

// New returns a master that has not started.
func New(cfg Config, state Store) (*Master, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("master config: %w", err)
	}
	m := &Master{cfg: cfg, store: state, sight: newSight(), disk: newDisk(), vigils: newVigils(cfg.SilentAfter), closing: make(chan struct{})}
	m.away = m.newAway()
	m.metrics = newMetrics(cfg.Registerer, m)
	return m, nil
}

// Run stands by, leads, and stands by again until ctx is done. Then it hands a
// term of its own over to the next leader, for which it waits a moment. It also
// returns when its member of the embedded state was removed, or has stopped. All
// that it started has ended when it returns.
func (m *Master) Run(ctx context.Context) error {
	aside, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer close(m.closing)
	defer m.away.CloseIdleConnections()
	defer beside.Wait()
	defer stop()
	beside.Go(func() { m.watchLeader(aside) })
	beside.Go(func() { m.announce(aside) })
	beside.Go(func() { m.lookAround(aside) })
	beside.Go(func() { m.vigils.Run(aside) })
	m.endFormer(ctx)
	beside.Go(func() { m.guardLeader(aside) })
	beside.Go(func() { m.watchRoom(aside) })
	for {
		err := m.serveTerm(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, store.ErrRemoved) || errors.Is(err, store.ErrStopped) {
			return err
		}
		level := slog.LevelError
		if errors.Is(err, errLost) || errors.Is(err, errHandedOver) || errors.Is(err, store.ErrDeposed) {
			level = slog.LevelWarn // another master leads, or this one again
		}
		m.cfg.Log.Log(ctx, level, "not leading; campaigns again", slog.Any("error", err))
		if !wait(ctx, m.cfg.SilentAfter/10) { // what broke a term may break the next one at once
			return context.Cause(ctx)
		}
	}
}

// serveTerm waits to lead, leads, and returns why that ended.
func (m *Master) serveTerm(ctx context.Context) error {
	term, err := m.store.CampaignBehind(ctx, m.cfg.identity(), m.behind)
	if err != nil {
		return err
	}
	err = m.lead(ctx, term)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	resigned := term.Resign(ending)
	if resigned == nil && (ctx.Err() != nil || errors.Is(err, errHandedOver)) {
		m.awaitSuccessor(ending, term.Epoch())
	}
	return errors.Join(fmt.Errorf("term %d: %w", term.Epoch(), err), resigned)
}

// lead owns the cluster for one term.
func (m *Master) lead(ctx context.Context, term *store.Term) error {
	done := Calm()
	r, err := load(ctx, m.cfg, m.metrics, term)
	if err != nil {
		done()
		return err
	}
	r.vigils = m.vigils
	m.cfg.Log.InfoContext(ctx, "leading", slog.Uint64("epoch", term.Epoch()), slog.Int64("revision", r.view.at()))
	asking, stop := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	beside.Go(func() {
		defer done()
		r.awaitCalm(asking)
	})
	beside.Go(func() { r.asker.run(asking) })
	beside.Go(func() { r.recall(asking) })
	m.reign.Store(r)
	m.sight.wake()
	defer m.reign.Store(nil)
	return r.run(ctx)
}

// Ready returns nil when this master can answer, by itself or by the leader, and
// else why not.
func (m *Master) Ready() error {
	_, err := m.current()
	if now, _ := m.sight.get(); err != nil && m.isAway(now) {
		return nil
	}
	return err
}

// current returns the term that this master leads in.
func (m *Master) current() (*reign, error) {
	if r := m.reign.Load(); r != nil {
		return r, nil
	}
	return nil, ErrNoLeader
}

// submit has the leading loop fold in an event, and returns its answer when
// what it changed is durable.
func (m *Master) submit(ctx context.Context, event engine.Event) (engine.Answer, error) {
	r, err := m.current()
	if err != nil {
		return engine.Answer{}, err
	}
	if err := m.admit(event); err != nil {
		return engine.Answer{}, err
	}
	return r.submit(ctx, event)
}

// wait returns false when ctx is done before d has passed.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
