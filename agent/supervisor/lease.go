package supervisor

import (
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// Lease is the right of an attempt to run until then. Who has it renews it; if
// nobody does, the supervisor ends the attempt so that it has ended by then, its
// grace included. So it ends in time also when the agent is stopped or killed.
type Lease struct {
	Key   Key           `json:"key"`
	Until time.Duration `json:"until"` // by SinceBoot; 0: no lease, it may run for ever
	Grace time.Duration `json:"grace"` // from SIGTERM to SIGKILL
}

// leaseLook is how often leases are looked at: timers stand still while the
// machine sleeps, and SinceBoot does not.
const leaseLook = 500 * time.Millisecond

// SinceBoot is the clock of leases. It runs on while the machine sleeps, and
// nobody can set it.
func SinceBoot() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 1<<63 - 1 // as if all time had passed: what cannot be proven is ended
	}
	return time.Duration(now.Nano())
}

// leased reports whether the attempt runs on a lease that may still be renewed.
func (t *task) leased() bool { return t.lease.Until != 0 && !t.lapsed }

// lapseIn returns how long the attempt may go on if its lease is not renewed.
func (t *task) lapseIn(now time.Duration) time.Duration { return t.lease.Until - t.lease.Grace - now }

// prolong gives leases more time. One that has run out has run out.
func (s *server) prolong(leases []Lease) {
	for _, lease := range leases {
		t := s.tasks[lease.Key]
		if t == nil || !t.leased() || t.lease.Until > lease.Until {
			continue
		}
		t.lease = lease
	}
}

// leaseAlarm returns when leases are to be looked at, zero if there are none.
func (s *server) leaseAlarm(now time.Time) time.Time {
	var at time.Time
	since := SinceBoot()
	for _, t := range s.mains {
		if t.leased() {
			at = earlier(at, now.Add(min(leaseLook, max(0, t.lapseIn(since)))))
		}
	}
	return at
}

// endLapsed begins to end what has not been given more time.
func (s *server) endLapsed(now time.Time) {
	since := SinceBoot()
	for _, t := range s.mains {
		if !t.leased() || t.lapseIn(since) > 0 {
			continue
		}
		t.lapsed = true
		s.cfg.Log.Warn("lease has run out; the task is stopped", slog.String("task", string(t.key.Task)))
		left := t.lease.Until - since
		if left <= 0 || t.lease.Grace <= 0 {
			t.killAt = time.Time{}
			t.killed = true
			t.kill()
			continue
		}
		if !t.termed {
			t.term()
		}
		t.killAt = earlier(t.killAt, now.Add(left))
	}
}
