// Package runtime starts, stops and watches the programs of tasks, each in its
// sandbox and within its limits.
//
// Law: a Start that returns nil is followed by at least one Exit of the same
// key, whatever happens in between, until that key is forgotten. A Start that
// returns an error has used up nothing and is followed by none, but for ErrNeverRan.
//
// Process is the runtime for programs on this machine, over the supervisor.
// Package fake beside it runs nothing and obeys a script.
package runtime

import (
	"errors"
	"fmt"
	"time"

	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

// Errors of Start that callers tell apart. Those of the supervisor are
// ErrAlreadyStarted and ErrClosing.
var (
	ErrNotFound       = errors.New("command not found")
	ErrNotExecutable  = errors.New("command is not executable")
	ErrUser           = errors.New("cannot run as this user")
	ErrSandbox        = errors.New("sandbox cannot be used")
	ErrNeverRan       = errors.New("the program could not be executed") // the Exit of the attempt says why
	ErrAlreadyStarted = supervisor.ErrAlreadyStarted
	ErrClosing        = supervisor.ErrClosing
)

// Key names one start of a task's program: its attempts are numbered from 1.
type Key = supervisor.Key

// Launch is a program to start.
type Launch struct {
	Key     Key
	Command []string          // program and arguments: a path in the working directory (./hello), an absolute one, or a name on PATH
	Shell   string            // a line for /bin/sh -c, instead of Command
	Env     map[string]string // with PATH and HOME when they are missing; nothing of the agent's own
	User    string            // name, or number, or number:group; "" is the agent's own
	Sandbox string            // the task's folder; absolute, made when missing
	Dir     string            // working directory inside the sandbox; "" is its top

	CPUMillis   int64 // thousandths of a cpu; 0: no limit
	MemoryBytes int64 // 0: no limit

	Lease Lease // Until 0: none
	Log   Log
}

// Lease is the right of an attempt to run until then; see Process.Prolong.
type Lease = supervisor.Lease

// SinceBoot is the clock of leases.
func SinceBoot() time.Duration { return supervisor.SinceBoot() }

// Log is where stdout and stderr go, as package logs keeps them.
type Log = supervisor.Log

// Task is an attempt that the runtime knows.
type Task struct {
	Key     Key
	PID     int // of the program; 0 when it never ran
	Started time.Time
	Exit    *Exit // nil while it runs
}

// Exit is how an attempt ended. Nothing that it started is left.
type Exit struct {
	Key        Key
	Code       int    // -1 when a signal ended it or it never ran
	Signal     int    // that ended it, or 0
	OOM        bool   // for lack of memory within its limit
	StartError string // why it never ran, or why we lost it
	At         time.Time
	LastLines  []string // of stdout and stderr as they came, at most 20
}

func exitFrom(e supervisor.Exit) Exit {
	return Exit{
		Key: e.Key, Code: e.Code, Signal: e.Signal, OOM: e.OOM,
		StartError: e.Error, At: e.At, LastLines: e.LastLines,
	}
}

func (l Launch) validate() error {
	var problems []error
	if err := id.Check(l.Key.Task); err != nil {
		problems = append(problems, fmt.Errorf("task: %w", err))
	}
	if l.Key.Attempt < 1 {
		problems = append(problems, fmt.Errorf("attempt is %d; the first is 1", l.Key.Attempt))
	}
	if (len(l.Command) == 0) == (l.Shell == "") {
		problems = append(problems, errors.New("either a command or a shell line is needed"))
	}
	if l.CPUMillis < 0 || l.MemoryBytes < 0 {
		problems = append(problems, errors.New("limits must not be negative"))
	}
	return errors.Join(problems...)
}
