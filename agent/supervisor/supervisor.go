// Package supervisor is the small process that parents the tasks of one agent
// and outlives it, so that an agent may crash or be upgraded while its tasks
// run on. It pumps their output into logs and keeps their exit statuses until
// they are forgotten.
//
// Laws: an attempt of a task is started at most once, ever; when the program
// of an attempt has ended, or was stopped, nothing that it started lives on;
// and no exit status is lost before it is forgotten.
//
// The process belongs to Main: it reaps every child, so nothing else in it may
// start one. The agent's side is a Client.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// Errors that callers tell apart. They cross the wire.
var (
	ErrAlreadyStarted = errors.New("this attempt, or a later one, was started before")
	ErrUnknown        = errors.New("no such attempt")
	ErrRunning        = errors.New("the attempt has not ended")
	ErrSuperseded     = errors.New("a newer client has taken over")
	ErrClosing        = errors.New("the supervisor is shutting down")
	ErrVersion        = errors.New("the supervisor speaks another version")
	ErrRecord         = errors.New("the start could not be recorded")
	ErrHandover       = errors.New("the supervisor cannot be handed over to that binary")
)

// ErrLocked is the error of Main when another supervisor has the folder.
var ErrLocked = errors.New("another supervisor has the folder")

// ErrGone is the error of a Client whose connection has ended.
var ErrGone = errors.New("the supervisor is gone")

// ErrUnsent is an ErrGone of which it is known that nothing was asked of the supervisor.
var ErrUnsent = fmt.Errorf("%w before it was asked", ErrGone)

// Key names one start of a task's program.
type Key struct {
	Task    id.Task `json:"task"`
	Attempt int     `json:"attempt"` // from 1
}

func (k Key) String() string { return fmt.Sprintf("%s.%d", k.Task, k.Attempt) }

func (k Key) validate() error {
	if err := id.Check(k.Task); err != nil {
		return fmt.Errorf("task: %w", err)
	}
	if k.Attempt < 1 {
		return fmt.Errorf("attempt %d of task %s: the first is 1", k.Attempt, k.Task)
	}
	return nil
}

// Start is all that is needed to start a program. Standard input is empty; the
// environment is Env and nothing else, but for two variables that the
// supervisor sets to find the program's offspring: ALOFT_TASK_ID and
// ALOFT_ATTEMPT.
type Start struct {
	Key    Key      `json:"key"`
	Path   string   `json:"path"` // of the program; absolute
	Argv   []string `json:"argv"` // with the program's name for itself
	Env    []string `json:"env,omitempty"`
	Dir    string   `json:"dir"`            // working directory; absolute
	User   *User    `json:"user,omitempty"` // nil: the supervisor's own
	Log    Log      `json:"log"`
	Cgroup Cgroup   `json:"cgroup,omitzero"`
	Lease  Lease    `json:"lease,omitzero"` // its key is that of the start
}

// User is who a program runs as.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// Log says where stdout and stderr are kept, as package logs does, and how much
// of each. Without a Dir only the last lines are kept, for the exit.
type Log struct {
	Dir      string `json:"dir,omitempty"`
	SizeMax  int64  `json:"size_max,omitempty"`  // bytes in one file; 0 is the default of logs
	FilesMax int    `json:"files_max,omitempty"` // of one stream; 0 is the default of logs
}

// Cgroup names the control groups that a program is born into. They exist
// already; the supervisor removes them when the program has ended, and those
// above them, if they are empty, when it ends itself.
type Cgroup struct {
	Unified string         `json:"unified,omitempty"` // folder in a cgroup v2 mount
	Legacy  []LegacyCgroup `json:"legacy,omitempty"`  // folders in cgroup v1 mounts, one per controller
	// Then is written in order as soon as the program has been executed. Limits
	// of cpu go here: the thread that forks waits for the execution, which they
	// would slow down.
	Then []Setting `json:"then,omitempty"`
}

// Setting is a value for a file of a control group.
type Setting struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// LegacyCgroup is a group of one cgroup v1 controller.
type LegacyCgroup struct {
	Dir string `json:"dir"`
}

// dirs returns the folder of every group.
func (c Cgroup) dirs() []string {
	var dirs []string
	if c.Unified != "" {
		dirs = append(dirs, c.Unified)
	}
	for _, group := range c.Legacy {
		dirs = append(dirs, group.Dir)
	}
	return dirs
}

// Exit is how an attempt ended.
type Exit struct {
	Key       Key       `json:"key"`
	Code      int       `json:"code"`             // -1 when a signal ended it or it never ran
	Signal    int       `json:"signal,omitempty"` // that ended it, or 0
	OOM       bool      `json:"oom,omitempty"`    // the kernel killed in its cgroup for lack of memory
	Error     string    `json:"error,omitempty"`  // why it never ran, or how we lost it
	At        time.Time `json:"at"`
	LastLines []string  `json:"last_lines,omitempty"` // of stdout and stderr as they came, at most 20, clipped
}

// Task is one attempt that the supervisor knows.
type Task struct {
	Key     Key       `json:"key"`
	PID     int       `json:"pid,omitempty"` // of the program; 0 when it never ran
	Started time.Time `json:"started"`
	Exit    *Exit     `json:"exit,omitempty"` // nil while it runs
}

// Config is what a supervisor is started with.
type Config struct {
	Dir string       // its folder, for one supervisor only; made when missing
	Log *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Main is the whole life of a supervisor process. It returns nil when it was
// told to shut down, by a client or by ctx, and the last task has ended: until
// then it runs on. It returns an error wrapping ErrLocked when another one has
// the folder.
//
// A newer binary can take the process over only if Main is called on its first
// thread: the caller locks itself to it before anything else happens.
func Main(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if cfg.Dir == "" {
		return errors.New("supervisor config: it needs a folder")
	}
	runtime.LockOSThread() // and never unlocked: the tasks are this thread's children
	beSmall()
	given, err := inherit()
	if err != nil {
		return err
	}
	home, err := openHome(cfg.Dir, given)
	if err != nil {
		return err
	}
	defer home.close()
	if err := becomeReaper(); err != nil {
		return err
	}
	book, err := openJournal(home.path("journal"), cfg.Log)
	if err != nil {
		return err
	}
	defer book.close()
	if err := book.settleLost(ctx, cfg.Log, given.keys()); err != nil {
		return err
	}
	listener, err := home.listen(given)
	if err != nil {
		return err
	}
	s := newServer(cfg, home, listener, book)
	s.takeOver(given)
	s.run(ctx)
	return nil
}
