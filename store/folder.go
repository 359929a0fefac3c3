package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What a data folder holds: the lock, the number of the data's format, and the
// member's own folder. All can be read by their owner alone.
const (
	lockFile     = "LOCK"
	versionFile  = "VERSION"
	memberFolder = "etcd"

	folderMode os.FileMode = 0o700
	fileMode   os.FileMode = 0o600
)

// folder is a data folder that this process alone works in.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes the folder if it is not there, and locks it at once or says
// why it cannot be used. Nothing in it is touched before it is known to be ours
// and of a format that we know.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, folderMode); err != nil {
		return nil, fmt.Errorf("data folder %s cannot be made: %w", path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("data folder %s is not writable: %w", path, err)
	}
	f := &folder{path: path, lock: lock}
	if err := f.claim(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) claim() error {
	err := syscall.Flock(int(f.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("data folder %s: %w%s", f.path, ErrLocked, f.holder())
	}
	if err != nil {
		return fmt.Errorf("data folder %s cannot be locked: %w", f.path, err)
	}
	if err := f.checkVersion(); err != nil {
		return fmt.Errorf("data folder %s: %w", f.path, err)
	}
	if err := f.sign(); err != nil {
		return fmt.Errorf("data folder %s is not writable: %w", f.path, err)
	}
	return nil
}

// holder names the process that wrote the lock file, if it did.
func (f *folder) holder() string {
	pid, err := io.ReadAll(io.LimitReader(f.lock, 32))
	if err != nil || len(pid) == 0 {
		return ""
	}
	return " (pid " + strings.TrimSpace(string(pid)) + ")"
}

// sign leaves our pid in the lock file, for the words of the next that tries.
func (f *folder) sign() error {
	if err := f.lock.Truncate(0); err != nil {
		return err
	}
	_, err := f.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func (f *folder) checkVersion() error {
	path := filepath.Join(f.path, versionFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return replaceFile(path, formatText()+"\n")
	}
	if err != nil {
		return err
	}
	return checkFormat(strings.TrimSpace(string(text)))
}

// replaceFile writes a file whole or not at all.
func replaceFile(path, text string) error {
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(text), fileMode); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

func (f *folder) member() string { return filepath.Join(f.path, memberFolder) }

// empty takes out of the folder what Restore has put there.
func (f *folder) empty() error {
	var problems []error
	for _, name := range []string{receivedFile, restoreFolder, memberFolder, versionFile, lockFile} {
		problems = append(problems, os.RemoveAll(filepath.Join(f.path, name)))
	}
	return errors.Join(problems...)
}

// close gives the folder back. The lock goes with the file.
func (f *folder) close() error { return f.lock.Close() }
