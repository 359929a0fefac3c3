package supervisor

import (
	"time"

	"golang.org/x/sys/unix"
)

// phase is where an attempt is in its life.
type phase uint8

const (
	forking phase = iota // handed to the thread that forks
	running              // its program runs
	ending               // its program has ended; its offspring and output may not
	done                 // nothing of it is left; its exit is kept
)

// task is one attempt. The server's loop owns it.
type task struct {
	key     Key
	phase   phase
	pid     int
	begun   time.Time
	ticks   uint64 // clock ticks since boot when it was begun, rounded down
	cgroup  Cgroup // none from when its groups are removed on
	log     Log
	last    *lastLines
	streams [2]stream
	pumping int // streams that have not ended

	termed bool      // SIGTERM was sent, or is owed while forking
	killAt time.Time // when a stop becomes a kill; zero: never
	killed bool      // its program was killed; repeated only for what forks on
	lease  Lease     // zero: none
	lapsed bool      // the lease has run out

	status   unix.WaitStatus // from ending on
	failed   string          // why it never ran
	endedAt  time.Time       // from ending on
	cleanAt  time.Time       // when its offspring was found gone; then the output must end soon
	exit     *Exit           // when done
	callback func(reply)     // answers the start while forking
}

// alive reports whether the attempt may still have processes.
func (t *task) alive() bool { return t.phase != done }

// signal sends to the program, which is not reaped while it is running, so that
// its number is its own, or to its whole group.
func (t *task) signal(signal unix.Signal, group bool) error {
	to := t.pid
	if group {
		to = -t.pid
	}
	return unix.Kill(to, signal)
}

// term asks the program's group to end.
func (t *task) term() {
	t.termed = true
	if t.phase == running {
		_ = t.signal(unix.SIGTERM, true) // it may have ended
	}
}

// kill ends the program's group and all in its cgroups. What is elsewhere
// becomes our child when the program is dead, and the sweep finds it.
func (t *task) kill() {
	if t.phase != running {
		return
	}
	t.killed = true
	_ = t.signal(unix.SIGKILL, true) // it may have ended
	killGroups(t.cgroup)
}

// endedWell reports whether the program ran and said that all went well.
func (t *task) endedWell() bool {
	return t.failed == "" && t.status.Exited() && t.status.ExitStatus() == 0
}

// describe returns what is told of the attempt.
func (t *task) describe() Task {
	return Task{Key: t.key, PID: t.pid, Started: t.begun, Exit: t.exit}
}

// outcome returns the exit of an attempt that has ended.
func (t *task) outcome() *Exit {
	exit := &Exit{Key: t.key, Code: -1, Error: t.failed, At: t.endedAt, LastLines: t.last.newest()}
	switch {
	case t.failed != "":
	case t.status.Signaled():
		exit.Signal = int(t.status.Signal())
	default:
		exit.Code = t.status.ExitStatus()
	}
	if t.lapsed && t.failed == "" {
		exit.Error = "its agent was out of touch with the masters for too long"
	}
	exit.OOM = t.failed == "" && exit.Code != 0 && oomKilled(t.cgroup)
	return exit
}
