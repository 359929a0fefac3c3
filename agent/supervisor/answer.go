package supervisor

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// answer carries out one request. A start is answered when it has happened.
func (s *server) answer(c call) {
	r := c.request
	if r.Op == opHello {
		s.greet(c)
		return
	}
	if c.session != s.newest && r.Op != opList {
		c.session.send(refuse(r.ID, ErrSuperseded))
		return
	}
	var answer reply
	var err error
	switch r.Op {
	case opStart, opLeased:
		if err = s.start(c); err == nil {
			return
		}
	case opStop:
		err = s.stop(r.Key, r.Grace)
	case opSignal:
		err = s.signal(r)
	case opKill:
		err = s.kill(r.Key)
	case opProlong:
		s.prolong(r.Leases)
	case opList:
		answer.Tasks = s.list()
	case opForget:
		err = s.forget(r.Key)
	case opShutdown:
		s.closing = true
	case opHandOver:
		if err = s.mayHandOver(r.Path); err == nil {
			s.heir, s.heirBy = &c, time.Now().Add(heirPatience)
			return
		}
	default:
		err = fmt.Errorf("unknown request %q", r.Op)
	}
	if err != nil {
		c.session.send(refuse(r.ID, err))
		return
	}
	answer.ID = r.ID
	c.session.send(answer)
}

// greet makes a client the newest: from now on only it may change anything.
func (s *server) greet(c call) {
	if c.request.Version != version {
		c.session.send(refuse(c.request.ID, fmt.Errorf("%w: %d, not %d", ErrVersion, version, c.request.Version)))
		return
	}
	s.newest = c.session
	c.session.send(reply{ID: c.request.ID, Version: version, Format: s.handoverFormat(), PID: os.Getpid()})
}

func (s *server) start(c call) error {
	start := c.request.Start
	if err := start.validate(); err != nil {
		return err
	}
	if s.closing {
		return ErrClosing
	}
	if s.journal.wasStarted(start.Key) {
		return fmt.Errorf("start of %s: %w", start.Key, ErrAlreadyStarted)
	}
	now := time.Now()
	if err := s.journal.start(started{Key: start.Key, At: now, Cgroup: start.Cgroup}); err != nil {
		return fmt.Errorf("start of %s: %w: %v", start.Key, ErrRecord, err)
	}
	s.tasks[start.Key] = &task{
		key: start.Key, begun: now, ticks: clockTicks(), cgroup: start.Cgroup, lease: start.Lease, log: start.Log, last: &lastLines{},
		callback: func(r reply) {
			r.ID = c.request.ID
			c.session.send(r)
		},
	}
	s.approach(*start)
	return nil
}

// stop asks the attempt to end and kills it after grace. Asking again may only
// bring the end forward.
func (s *server) stop(key Key, grace time.Duration) error {
	t, err := s.alive(key)
	if t == nil {
		return err
	}
	if grace <= 0 {
		return s.kill(key)
	}
	if !t.termed {
		t.term()
	}
	if at := time.Now().Add(grace); t.killAt.IsZero() || at.Before(t.killAt) {
		t.killAt = at
	}
	return nil
}

func (s *server) kill(key Key) error {
	t, err := s.alive(key)
	if t == nil {
		return err
	}
	t.killed = true
	t.kill()
	return nil
}

// alive returns the attempt, or nil when it has ended, or nil and an error when
// there is none.
func (s *server) alive(key Key) (*task, error) {
	t := s.tasks[key]
	switch {
	case t == nil:
		return nil, fmt.Errorf("%s: %w", key, ErrUnknown)
	case t.phase == ending || t.phase == done:
		return nil, nil
	}
	return t, nil
}

func (s *server) signal(r request) error {
	t, err := s.alive(r.Key)
	if t == nil {
		return err
	}
	if t.phase == forking {
		return fmt.Errorf("%s: it is being started", r.Key)
	}
	if err := t.signal(unix.Signal(r.Signal), r.Group); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signal %d to %s: %w", r.Signal, r.Key, err)
	}
	return nil
}

func (s *server) list() []Task {
	list := []Task{}
	for _, t := range s.tasks {
		list = append(list, t.describe())
	}
	slices.SortFunc(list, func(a, b Task) int { return compareKeys(a.Key, b.Key) })
	return list
}

// forget drops the exit of an attempt. Forgetting twice is the same as once.
func (s *server) forget(key Key) error {
	t := s.tasks[key]
	if t == nil {
		return nil
	}
	if t.alive() {
		return fmt.Errorf("forget %s: %w", key, ErrRunning)
	}
	delete(s.tasks, key)
	if err := s.journal.forget(key); err != nil {
		s.cfg.Log.Warn("exit forgotten, but not on disk; it comes back if the supervisor is killed",
			slog.String("task", string(key.Task)), slog.Any("error", err))
	}
	return nil
}
