package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handoverFormat is the version of what one binary hands over to the next. Only
// one that reads the same may take over: the client, which runs it, sees to that.
const handoverFormat = 1

// handoverVariable tells a new binary the number of the file with all of it.
const handoverVariable = "ALOFT_SUPERVISOR_HANDOVER"

// handover is what a supervisor tells itself when it executes another binary:
// the process stays, and so do its children and the files that are named here by
// their numbers. What has ended stands in the journal.
type handover struct {
	Format   int          `json:"format"`
	Lock     int          `json:"lock"`
	Listener int          `json:"listener"`
	Tasks    []livingTask `json:"tasks"`
	Strays   map[int]Key  `json:"strays"`
	Parents  []string     `json:"parents"`
	Closing  bool         `json:"closing"`
}

// livingTask is an attempt that is running or ending.
type livingTask struct {
	Key     Key             `json:"key"`
	Running bool            `json:"running"`
	PID     int             `json:"pid"`
	Begun   time.Time       `json:"begun"`
	Ticks   uint64          `json:"ticks"`
	Cgroup  Cgroup          `json:"cgroup"`
	Log     Log             `json:"log"`
	Lines   []string        `json:"lines"`
	Pipes   [2]int          `json:"pipes"` // 0: it has ended
	Rest    [2][]byte       `json:"rest"`
	Termed  bool            `json:"termed"`
	KillAt  time.Time       `json:"kill_at"`
	Killed  bool            `json:"killed"`
	Status  unix.WaitStatus `json:"status"`
	Failed  string          `json:"failed"`
	EndedAt time.Time       `json:"ended_at"`
	CleanAt time.Time       `json:"clean_at"`
	Lease   Lease           `json:"lease,omitzero"`
	Lapsed  bool            `json:"lapsed,omitempty"`
}

// inherit returns what this process told itself before it executed this binary,
// or nil if it has just begun.
func inherit() (*handover, error) {
	text, found := os.LookupEnv(handoverVariable)
	if !found {
		return nil, nil //nolint:nilnil // nothing is an answer here
	}
	number, err := strconv.Atoi(text)
	if err := errors.Join(err, os.Unsetenv(handoverVariable)); err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	file := adopt(number, "handover")
	defer func() { _ = file.Close() }() // read only
	given := new(handover)
	if err := json.NewDecoder(file).Decode(given); err != nil {
		return nil, fmt.Errorf("handover: %w", err)
	}
	if given.Format != handoverFormat {
		return nil, fmt.Errorf("handover: format %d; want %d", given.Format, handoverFormat)
	}
	return given, nil
}

// adopt takes over an open file by its number, and keeps it from the tasks.
func adopt(number int, name string) *os.File {
	unix.CloseOnExec(number)
	return os.NewFile(uintptr(number), name)
}

// keys returns the attempts that live on.
func (h *handover) keys() map[Key]bool {
	if h == nil {
		return nil
	}
	kept := make(map[Key]bool, len(h.Tasks))
	for _, t := range h.Tasks {
		kept[t.Key] = true
	}
	return kept
}

// takeOver goes on where the binary before stopped.
func (s *server) takeOver(given *handover) {
	if given == nil {
		return
	}
	s.closing = given.Closing
	maps.Copy(s.strays, given.Strays)
	for _, dir := range given.Parents {
		s.parents[dir] = true
	}
	for _, from := range given.Tasks {
		t := &task{
			key: from.Key, phase: ending, pid: from.PID, begun: from.Begun, ticks: from.Ticks, cgroup: from.Cgroup,
			log: from.Log, last: &lastLines{lines: from.Lines}, termed: from.Termed, killAt: from.KillAt, killed: from.Killed,
			status: from.Status, failed: from.Failed, endedAt: from.EndedAt, cleanAt: from.CleanAt,
			lease: from.Lease, lapsed: from.Lapsed,
		}
		for i, number := range from.Pipes {
			if number != 0 {
				t.streams[i] = stream{pipe: adopt(number, streamNames()[i]), rest: from.Rest[i]}
			}
		}
		s.tasks[t.key] = t
		if from.Running {
			t.phase, s.mains[t.pid] = running, t
		} else {
			s.ending[t.key] = t
		}
	}
	s.goOn()
}

// mayHandOver returns what speaks against executing a binary in this process.
func (s *server) mayHandOver(path string) error {
	switch {
	case s.closing:
		return ErrClosing
	case s.handoverFormat() == 0:
		return fmt.Errorf("%w: it was not started on its first thread", ErrHandover)
	case !filepath.IsAbs(path):
		return fmt.Errorf("%w: %q; want an absolute path", ErrHandover, path)
	}
	return nil
}

// handoverFormat returns the format of what this supervisor hands over, 0 if it
// cannot: an execution ends all threads but the first, and with any other one
// the tasks that it has forked.
func (s *server) handoverFormat() int {
	if !s.first {
		return 0
	}
	return handoverFormat
}

// handOver executes the heir's binary. It returns only if that fails: then all
// is as before.
func (s *server) handOver() {
	s.pause()
	err := s.become(s.heir.request.Path)
	s.goOn()
	s.refuseHeir(err)
}

// refuseHeir tells who asked for a handover why there is none.
func (s *server) refuseHeir(err error) {
	s.heir.session.send(refuse(s.heir.request.ID, fmt.Errorf("%w: %v", ErrHandover, err)))
	s.heir = nil
}

// become executes a binary in this process, with all that is alive.
func (s *server) become(path string) error {
	var files inheritance
	defer files.close()
	will, err := s.will(&files)
	if err != nil {
		return err
	}
	file, err := unix.MemfdCreate("handover", 0)
	if err != nil {
		return fmt.Errorf("memory for it: %w", err)
	}
	written := os.NewFile(uintptr(file), "handover")
	defer func() { _ = written.Close() }() // it must stay open until the execution
	if err := json.NewEncoder(written).Encode(will); err != nil {
		return err
	}
	if _, err := written.Seek(0, 0); err != nil {
		return err
	}
	environment := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, handoverVariable+"=") })
	environment = append(environment, handoverVariable+"="+strconv.Itoa(file))
	outcome := make(chan error, 1)
	s.jobs <- func() { outcome <- syscall.Exec(path, os.Args, environment) }
	return fmt.Errorf("%s: %w", path, <-outcome)
}

// will collects what is handed over, with files that stay open.
func (s *server) will(files *inheritance) (*handover, error) {
	lock, err := files.keep(s.home.lock)
	if err != nil {
		return nil, err
	}
	listener, err := files.keep(s.listener)
	if err != nil {
		return nil, err
	}
	will := &handover{
		Format: handoverFormat, Lock: lock, Listener: listener, Strays: s.strays, Closing: s.closing,
		Parents: slices.Sorted(maps.Keys(s.parents)),
	}
	for _, t := range s.tasks {
		if !t.alive() {
			continue
		}
		left := livingTask{
			Key: t.key, Running: t.phase == running, PID: t.pid, Begun: t.begun, Ticks: t.ticks, Cgroup: t.cgroup,
			Log: t.log, Lines: t.last.newest(), Termed: t.termed, KillAt: t.killAt, Killed: t.killed,
			Status: t.status, Failed: t.failed, EndedAt: t.endedAt, CleanAt: t.cleanAt,
			Lease: t.lease, Lapsed: t.lapsed,
		}
		for i, from := range t.streams {
			if from.pipe == nil {
				continue
			}
			if left.Pipes[i], err = files.keep(from.pipe); err != nil {
				return nil, err
			}
			left.Rest[i] = from.rest
		}
		will.Tasks = append(will.Tasks, left)
	}
	return will, nil
}

// pause has nobody read the tasks' output any more. It waits in their pipes.
func (s *server) pause() {
	s.paused.Store(true)
	for _, t := range s.tasks {
		for _, from := range t.streams {
			if from.pipe != nil {
				_ = from.pipe.SetReadDeadline(time.Unix(1, 0)) // closed: even better
			}
		}
	}
	for _, t := range s.tasks {
		for t.pumping > 0 {
			s.hush(<-s.quiet)
		}
	}
}

// goOn has the tasks' output read again.
func (s *server) goOn() {
	s.paused.Store(false)
	for _, t := range s.tasks {
		for i := range t.streams {
			from := &t.streams[i]
			if from.pipe == nil {
				continue
			}
			var err error
			if from.log, err = openLog(t.log, streamNames()[i]); err != nil {
				from.log = discard{} // the last lines are still kept
			}
			until := time.Time{}
			if !t.cleanAt.IsZero() {
				until = t.cleanAt.Add(outputGrace)
			}
			_ = from.pipe.SetReadDeadline(until) // closed: even better
		}
		s.listenTo(t)
	}
}

// inheritance is the numbers of files that stay open when a binary is executed.
type inheritance []int

// keep opens a file once more.
func (f *inheritance) keep(file syscall.Conn) (int, error) {
	raw, err := file.SyscallConn()
	if err != nil {
		return 0, err
	}
	number, failed := 0, error(nil)
	err = raw.Control(func(fd uintptr) { number, failed = unix.FcntlInt(fd, unix.F_DUPFD, 3) })
	if err := errors.Join(err, failed); err != nil {
		return 0, fmt.Errorf("keep a file open: %w", err)
	}
	*f = append(*f, number)
	return number, nil
}

func (f *inheritance) close() {
	for _, number := range *f {
		_ = unix.Close(number) // another number of it is open
	}
}
