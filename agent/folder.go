package agent

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/aloft-run/aloft/core/id"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/removal"
)

// ErrLocked is the error for a data folder that another agent uses.
var ErrLocked = errors.New("another agent has the folder")

// ErrFormat is the error for a data folder that a newer version has written.
var ErrFormat = errors.New("written by a newer version")

// format is the version of what the data folder holds.
const format = 1

// folder is an agent's data folder, by its absolute path. The folder of a task
// in it holds the task file, the mark of a complete sandbox, the sandbox and
// the logs. The logs stay for a while when the rest is gone.
type folder string

func (f folder) tasks() string                { return filepath.Join(string(f), "tasks") }
func (f folder) task(name id.Task) string     { return filepath.Join(f.tasks(), string(name)) }
func (f folder) file(name id.Task) string     { return filepath.Join(f.task(name), "task.pb") }
func (f folder) damaged(name id.Task) string  { return filepath.Join(f.task(name), "task.pb.damaged") }
func (f folder) complete(name id.Task) string { return filepath.Join(f.task(name), "fetched") }
func (f folder) sandbox(name id.Task) string  { return filepath.Join(f.task(name), "sandbox") }
func (f folder) logs(name id.Task) string     { return filepath.Join(f.task(name), "logs") }
func (f folder) epoch() string                { return filepath.Join(string(f), "epoch") }
func (f folder) boot() string                 { return filepath.Join(string(f), "boot") }

func (f folder) attemptLogs(name id.Task, attempt int) string {
	return filepath.Join(f.logs(name), strconv.Itoa(attempt))
}

// open makes the folder and takes it for this process, until the lock is closed
// or the process ends, however that comes.
func (f folder) open() (lock io.Closer, err error) {
	if err := os.MkdirAll(f.tasks(), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(string(f), "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.lock(file), f.checkFormat()); err != nil {
		_ = file.Close() // the folder is not for us
		return nil, err
	}
	return file, nil
}

// lock takes a lock that belongs to the process: unlike one of the open file,
// it is not shared with a child between its fork and its exec.
func (f folder) lock(file *os.File) error {
	whole := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	err := syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &whole)
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		_ = syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &whole) // for the words only
		return fmt.Errorf("%s: %w: process %d", string(f), ErrLocked, whole.Pid)
	}
	return err
}

// checkFormat refuses a folder of a newer version, and marks a new one.
func (f folder) checkFormat() error {
	path := filepath.Join(string(f), "format")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return replaceFile(path, strconv.AppendInt(nil, format, 10))
	}
	if err != nil {
		return err
	}
	if found, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && found > format {
		return fmt.Errorf("%s: %w: format %d; this agent knows up to %d", string(f), ErrFormat, found, format)
	}
	return nil
}

// identity returns what tells this folder from every other: text drawn by chance
// when the folder is first used.
func (f folder) identity() (string, error) {
	path := filepath.Join(string(f), "identity")
	text, err := os.ReadFile(path)
	if identity := strings.TrimSpace(string(text)); identity != "" || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return identity, err
	}
	identity := rand.Text()
	return identity, replaceFile(path, []byte(identity+"\n"))
}

// keepTask writes the task file: whole, or when it has records already, only a
// further one with the newest status. It is not synced to the disk: when the
// machine fails its programs are gone too.
func (f folder) keepTask(name id.Task, kept *pb.KeptTask, records int) error {
	if records > 0 {
		err := f.addStatus(name, kept.GetStatus())
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.MkdirAll(f.task(name), 0o755); err != nil {
		return err
	}
	var content bytes.Buffer
	if _, err := protodelim.MarshalTo(&content, kept); err != nil {
		return err
	}
	return replaceFile(f.file(name), content.Bytes())
}

// addStatus appends a record to the task file, in one write.
func (f folder) addStatus(name id.Task, status *pb.TaskStatus) error {
	var record bytes.Buffer
	if _, err := protodelim.MarshalTo(&record, &pb.KeptTask{Status: status}); err != nil {
		return err
	}
	file, err := os.OpenFile(f.file(name), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(record.Bytes())
	return errors.Join(err, file.Close())
}

// readTask returns what the task file says, and how many records it has, or 0
// when it must be written anew: the last record is not whole. Its writer was
// killed, and nothing was done or told yet. The error wraps fs.ErrNotExist when
// there is no file.
func (f folder) readTask(name id.Task) (kept *pb.KeptTask, records int, err error) {
	content, err := os.ReadFile(f.file(name))
	if err != nil {
		return nil, 0, err
	}
	kept = &pb.KeptTask{}
	for from := bytes.NewReader(content); ; records++ {
		var next pb.KeptTask
		err := protodelim.UnmarshalFrom(from, &next)
		switch {
		case errors.Is(err, io.EOF):
			return kept, records, nil
		case errors.Is(err, io.ErrUnexpectedEOF) && records > 0:
			return kept, 0, nil
		case err != nil:
			return nil, 0, fmt.Errorf("record %d: %w", records+1, err)
		case records == 0:
			kept = &next
		default:
			kept.Status = next.GetStatus()
		}
	}
}

// dropTask removes the task file.
func (f folder) dropTask(name id.Task) error { return removeFiles(f.file(name)) }

// attempts returns the numbers of the attempts that have logs, oldest first; none when
// there is no such task. The first is among them though it printed nothing: its folder
// is made with its first line, those of others when they start.
func (f folder) attempts(name id.Task) []int {
	if !exists(f.task(name)) {
		return nil
	}
	numbers := []int{1}
	folders, _ := os.ReadDir(f.logs(name)) // not there yet: none
	for _, folder := range folders {
		if number, err := strconv.Atoi(folder.Name()); err == nil && number > 1 {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// trimAttempts removes the logs of all attempts but the newest few.
func (f folder) trimAttempts(name id.Task, keep int) error {
	attempts := f.attempts(name)
	var problems []error
	for _, attempt := range attempts[:max(0, len(attempts)-keep)] {
		problems = append(problems, removal.All(f.attemptLogs(name, attempt)))
	}
	return errors.Join(problems...)
}

// replaceFile writes a file so that a reader finds the old content or the new.
func replaceFile(name string, content []byte) error {
	fresh := name + ".new"
	if err := os.WriteFile(fresh, content, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}
