package supervisor

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/aloft-run/aloft/core/id"
)

// rememberedMax is how many tasks are remembered after they were forgotten, so
// that none of their attempts is started again: the newest ones. For each only
// the highest attempt is kept, about 100 bytes.
const rememberedMax = 20_000

// entry is one line of the journal. Exactly one of its facts is set.
type entry struct {
	Started *started `json:"started,omitempty"`
	Exited  *Exit    `json:"exited,omitempty"`
	Forgot  *Key     `json:"forgot,omitempty"`
}

// started is what must be known of an attempt when the supervisor is killed.
type started struct {
	Key    Key       `json:"key"`
	At     time.Time `json:"at"`
	Cgroup Cgroup    `json:"cgroup,omitzero"`
}

// journal is what a supervisor knows on disk: one line per fact, appended
// before the fact is told, and rewritten when most lines are of no more use. It
// survives the death of the process. It is not synced: after a crash of the
// machine no task runs, and the agent makes no attempt again that may have run.
//
// The server's loop owns it.
type journal struct {
	path   string
	file   *os.File
	lines  int // in the file
	live   map[Key]*started
	exits  map[Key]*Exit   // of live attempts
	newest map[id.Task]int // highest attempt ever started
	past   []Key           // forgotten, oldest first; the bound is on these
}

// openJournal reads what the supervisor before left.
func openJournal(path string, log *slog.Logger) (*journal, error) {
	j := &journal{
		path:   path,
		live:   make(map[Key]*started),
		exits:  make(map[Key]*Exit),
		newest: make(map[id.Task]int),
	}
	if err := j.load(log); err != nil {
		return nil, fmt.Errorf("supervisor journal: %w", err)
	}
	if err := j.rewrite(); err != nil {
		return nil, fmt.Errorf("supervisor journal: %w", err)
	}
	return j, nil
}

func (j *journal) close() { _ = j.file.Close() } // each line was written at once

// wasStarted reports whether key, or a later attempt of its task, was started.
func (j *journal) wasStarted(key Key) bool {
	return j.live[key] != nil || j.newest[key.Task] >= key.Attempt
}

// start records that an attempt is about to be started. When that cannot be
// written, it must not be.
func (j *journal) start(begun started) error {
	if err := j.write(entry{Started: &begun}); err != nil {
		return err
	}
	j.apply(entry{Started: &begun})
	return nil
}

// exit records how an attempt ended. It is known even if it cannot be written.
func (j *journal) exit(ended Exit) error {
	j.apply(entry{Exited: &ended})
	return j.write(entry{Exited: &ended})
}

// forget drops what is known of an attempt that has ended, but that it was.
func (j *journal) forget(key Key) error {
	j.apply(entry{Forgot: &key})
	if err := j.write(entry{Forgot: &key}); err != nil {
		return err
	}
	if j.lines > 1000+4*(2*len(j.live)+len(j.newest)) {
		return j.rewrite()
	}
	return nil
}

func (j *journal) apply(e entry) {
	switch {
	case e.Started != nil:
		key := e.Started.Key
		j.live[key] = e.Started
		j.newest[key.Task] = max(j.newest[key.Task], key.Attempt)
	case e.Exited != nil:
		if j.live[e.Exited.Key] != nil {
			j.exits[e.Exited.Key] = e.Exited
		}
	case e.Forgot != nil:
		delete(j.live, *e.Forgot)
		delete(j.exits, *e.Forgot)
		j.newest[e.Forgot.Task] = max(j.newest[e.Forgot.Task], e.Forgot.Attempt)
		j.past = append(j.past, *e.Forgot)
		j.trim()
	}
}

// trim keeps the bound on what is remembered.
func (j *journal) trim() {
	for len(j.past) > rememberedMax {
		oldest := j.past[0]
		j.past = j.past[1:]
		if j.newest[oldest.Task] == oldest.Attempt && j.live[oldest] == nil {
			delete(j.newest, oldest.Task)
		}
	}
}

func (j *journal) write(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	before, err := j.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(line); err != nil {
		return errors.Join(err, j.file.Truncate(before)) // half a line would hide the next
	}
	j.lines++
	return nil
}

// load applies the file's lines. A line that cannot be read is skipped: the
// process was killed, or the disk was full, while it was written.
func (j *journal) load(log *slog.Logger) error {
	file, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // read only
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 1 {
			var e entry
			if bad := json.Unmarshal(line, &e); bad != nil {
				log.Warn("a line of the journal cannot be read; it is skipped", slog.Any("error", bad))
			} else {
				j.apply(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// rewrite puts a file with only what still matters in place of the old one.
func (j *journal) rewrite() error {
	j.past = slices.DeleteFunc(j.past, func(key Key) bool { return j.newest[key.Task] > key.Attempt })
	next, err := os.OpenFile(j.path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	lines, err := j.dump(next)
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	if err != nil {
		return errors.Join(err, next.Close())
	}
	if j.file != nil {
		_ = j.file.Close() // replaced
	}
	j.file, j.lines = next, lines
	return nil
}

func (j *journal) dump(to io.Writer) (lines int, err error) {
	buffered := bufio.NewWriterSize(to, 16<<10)
	encoder := json.NewEncoder(buffered)
	add := func(e entry) {
		lines++
		err = cmp.Or(err, encoder.Encode(e))
	}
	for _, key := range j.past {
		add(entry{Forgot: &key})
	}
	for _, key := range slices.SortedFunc(maps.Keys(j.live), compareKeys) {
		add(entry{Started: j.live[key]})
		if ended := j.exits[key]; ended != nil {
			add(entry{Exited: ended})
		}
	}
	return lines, cmp.Or(err, buffered.Flush())
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Task, b.Task), cmp.Compare(a.Attempt, b.Attempt))
}
