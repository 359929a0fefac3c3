package supervisor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	lockName   = "lock"
	socketName = "socket"
)

// home is a supervisor's folder. It holds the lock while it is open.
type home struct {
	dir  string
	lock *os.File
}

// openHome makes the folder and takes its lock, unless this process has it
// already.
func openHome(dir string, given *handover) (*home, error) {
	if given != nil {
		return &home{dir: dir, lock: adopt(given.Lock, lockName)}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("supervisor folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("supervisor folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("supervisor lock: %w", err)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(lock.Fd(), unix.F_OFD_SETLK, &whole); err != nil {
		holder, _ := io.ReadAll(io.LimitReader(lock, 32)) // for the words only
		_ = lock.Close()                                  // nothing was written
		if errors.Is(err, unix.EAGAIN) {
			return nil, fmt.Errorf("%s: %w: process %s", dir, ErrLocked, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("supervisor lock: %w", err)
	}
	if err := lock.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(lock, os.Getpid()) // for the words only; the disk may be full
	}
	return &home{dir: dir, lock: lock}, nil
}

// isFree reports whether no supervisor has the folder.
func isFree(dir string) bool {
	lock, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	defer func() { _ = lock.Close() }() // read only
	whole := unix.Flock_t{Type: unix.F_RDLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(lock.Fd(), unix.F_OFD_GETLK, &whole)
	return err == nil && whole.Type == unix.F_UNLCK
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

// listen takes the place of a socket that a killed supervisor left, or goes on
// with the one that this process had.
func (h *home) listen(given *handover) (*net.UnixListener, error) {
	if given != nil {
		file := adopt(given.Listener, socketName)
		defer func() { _ = file.Close() }() // the listener has its own
		listener, err := net.FileListener(file)
		if err != nil {
			return nil, fmt.Errorf("supervisor socket: %w", err)
		}
		return listener.(*net.UnixListener), nil //nolint:forcetypeassert // this process made it so
	}
	if err := os.Remove(h.path(socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("supervisor socket: %w", err)
	}
	var listener *net.UnixListener
	err := viaShortPath(h.dir, func(dir string) error {
		var err error
		listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("supervisor socket: %w", err)
	}
	listener.SetUnlinkOnClose(false) // it knows only the short path
	return listener, nil
}

// close lets the next supervisor in.
func (h *home) close() {
	_ = os.Remove(h.path(socketName)) // the next one removes it otherwise
	_ = h.lock.Close()                // the lock goes with it
}

// viaShortPath calls use with a path of dir that fits into a socket's address,
// which holds no more than 107 bytes.
func viaShortPath(dir string, use func(dir string) error) error {
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = opened.Close() }() // opened for its number only
	return use(fmt.Sprintf("/proc/self/fd/%d", opened.Fd()))
}
