package agent_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// endedOff has a task ended when masters are out of reach.
func endedOff(s *spec.Spec) {
	s.OnPartition, s.OnLost.After, s.Deploy.Grace = spec.EndOff, 10*time.Second, 2*time.Second
}

// heard has the masters say that they have heard what the agent said then.
func (w *world) heard(said time.Duration) {
	w.Helper()
	w.send(&pb.SessionResponse{Epoch: w.epoch, Message: &pb.SessionResponse_Heartbeat{Heartbeat: &pb.Heartbeat{Stamp: int64(said)}}})
	synctest.Wait()
}

// leasing is a runtime that keeps the leases it is given.
type leasing struct {
	*recorder
	last atomic.Pointer[runtime.Lease]
}

func (l *leasing) Start(ctx context.Context, launch runtime.Launch) error {
	l.last.Store(&launch.Lease)
	return l.recorder.Start(ctx, launch)
}

func (l *leasing) Prolong(_ context.Context, leases []runtime.Lease) error {
	for _, lease := range leases {
		l.last.Store(&lease)
	}
	return nil
}

// TestLeases follow what a leader has heard of the agent: a task that is ended off
// starts only in touch with one, and has until on_lost.after since it was heard, less
// a margin.
func TestLeases(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		clock := 100 * time.Second
		began := time.Now()
		w.end()
		leases := &leasing{recorder: w.runtime}
		w.cfg.Clock = func() time.Duration { return clock + time.Since(began) }
		w.over = leases
		w.begin()
		lease := func(want time.Duration) {
			t.Helper()
			if got := leases.last.Load(); got == nil || got.Until != want || got.Grace != 2*time.Second || got.Key.Task != "sole-1" {
				t.Errorf("the lease is %+v, want until %v", got, want)
			}
		}
		w.run(service(), "free-1")
		w.want("free-1", "ready 1")
		if got := leases.last.Load(); got.Until != 0 {
			t.Errorf("a task that runs on has a lease: %+v", got)
		}

		w.run(service(endedOff), "sole-1")
		w.pass(5 * time.Second)
		w.want("sole-1", "starting 1")
		w.heard(104 * time.Second)
		w.pass(time.Second)
		w.want("sole-1", "ready 1")
		lease(113 * time.Second)

		w.heard(106 * time.Second)
		lease(115 * time.Second)
		w.heard(105 * time.Second) // a word that comes late takes nothing away
		lease(115 * time.Second)

		w.epoch = 0 // of a leader that was deposed
		w.heard(107 * time.Second)
		lease(115 * time.Second)
		w.epoch = 1

		w.restart()
		w.heard(108 * time.Second)
		lease(117 * time.Second)
	})
}

// TestNoLeaseBeforeAWordWasHeard also on a machine that was started a moment ago: the
// masters may have given up long before what is to be started there.
func TestNoLeaseBeforeAWordWasHeard(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		booted := time.Now()
		w.end()
		w.cfg.Clock = func() time.Duration { return time.Since(booted) + time.Second }
		w.begin()

		w.run(service(endedOff), "sole-1")

		w.pass(time.Minute)
		w.want("sole-1", "starting 1")
		w.heard(60 * time.Second)
		w.pass(time.Second)
		w.want("sole-1", "ready 1")
	})
}

// TestStopOfWhatWaitsForALease ends it at once.
func TestStopOfWhatWaitsForALease(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(endedOff), "sole-1")
		w.pass(5 * time.Second)
		w.want("sole-1", "starting 1")

		w.stop("sole-1", time.Second)

		w.want("sole-1", "stopped 1")
		if running := w.running(); len(running) > 0 {
			t.Errorf("running are %v", running)
		}
	})
}
