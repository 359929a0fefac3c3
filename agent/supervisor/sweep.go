package supervisor

import (
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sweep ends what is left of attempts whose program has ended, and finishes
// those of which nothing is left. What it killed it will find gone when it is
// called for that child's end; the alarm is for what ends without telling us.
func (s *server) sweep() {
	s.sweepAt = time.Time{}
	left := s.killStrays()
	again := left.anyOwner || left.unborn
	for _, t := range s.ending {
		if !t.cleanAt.IsZero() {
			continue
		}
		// The groups of others say first whether the kernel killed in them for lack of memory.
		empty := t.endedWell() && s.removeGroups(t) == nil || killGroups(t.cgroup)
		if !empty || left.anyOwner || left.owners[t.key] {
			again = true
			continue
		}
		t.cleanAt = time.Now()
		for _, from := range t.streams {
			if from.pipe != nil { // somebody else may hold its other end
				_ = from.pipe.SetReadDeadline(t.cleanAt.Add(outputGrace)) // closed: even better
			}
		}
	}
	if again || len(left.owners) > 0 {
		s.sweepPause = min(max(2*s.sweepPause, sweepAgainMin), sweepAgainMax)
		s.sweepAt = time.Now().Add(s.sweepPause)
	}
	s.finishEnded()
}

// finishEnded reports the attempts of which nothing is left.
func (s *server) finishEnded() {
	for _, t := range s.ending {
		if !t.cleanAt.IsZero() && t.pumping == 0 {
			s.report(t)
		}
	}
}

// remains is what a sweep had to kill.
type remains struct {
	owners   map[Key]bool // attempts that had something left
	anyOwner bool         // something was left whose attempt is not known
	unborn   bool         // a child may be one that is being started
}

// killStrays kills the children that we adopted from attempts whose program has
// ended. Each may leave children of its own: they are ours by the time that it
// has ended.
func (s *server) killStrays() remains {
	left := remains{owners: make(map[Key]bool)}
	for _, pid := range children() {
		if s.mains[pid] != nil {
			continue
		}
		if s.inFlight && isCopy(pid) {
			left.unborn = true
			continue
		}
		owner, known := s.owner(pid)
		switch {
		case known && s.mayRun(owner):
			continue
		case known:
			left.owners[owner] = true
		case !s.mustEnd(pid):
			continue
		default:
			left.anyOwner = true
		}
		s.cfg.Log.Debug("a left process is killed", slog.Int("pid", pid), slog.String("task", string(owner.Task)))
		_ = unix.Kill(pid, unix.SIGKILL) // our child, not reaped: the number is its own
	}
	return left
}

// isCopy reports whether a process is still a copy of this one: between the fork
// and the execution it has our marks, not its own.
func isCopy(pid int) bool {
	ours, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false
	}
	its, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && os.SameFile(ours, its)
}

func (s *server) mayRun(key Key) bool {
	t := s.tasks[key]
	return t != nil && (t.phase == running || t.phase == forking)
}

// owner returns whose offspring a child is: by what we knew, by the marks in
// its environment, or by its session. A process that took off its marks and
// left its session has no owner that we know.
func (s *server) owner(pid int) (Key, bool) {
	if key, known := s.strays[pid]; known {
		return key, true
	}
	key, known := readMark(pid)
	if !known {
		facts, ok := readStat(pid)
		if !ok {
			return Key{}, false
		}
		for _, t := range s.tasks {
			if t.alive() && t.pid == facts.session && t.pid != 0 {
				key, known = t.key, true
			}
		}
	}
	if known {
		s.strays[pid] = key
	}
	return key, known
}

// mustEnd reports whether a child without an owner is killed: not if it may
// belong to an attempt that still runs, one that was there when it was born.
func (s *server) mustEnd(pid int) bool {
	facts, ok := readStat(pid)
	if !ok || facts.dead {
		return false
	}
	for _, t := range s.tasks {
		if t.phase == forking || t.phase == running && t.ticks <= facts.started {
			return false
		}
	}
	return true
}

// clockTicks returns the time since boot as the kernel counts it for processes.
func clockTicks() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0 // as if the attempt had always been there
	}
	const perSecond = 100 // USER_HZ, the same on every machine
	return uint64(now.Sec)*perSecond + uint64(now.Nsec)/(1_000_000_000/perSecond)
}
