package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/core/spec"
)

// attemptsKept is how many of a task's attempts keep their logs.
const attemptsKept = 3

// errPortTaken says that another program of the machine holds a port that the
// books call free. The task is not tried again: its successor gets other ports.
var errPortTaken = errors.New("port is taken by another program on this machine")

// sandbox is what must be in place before a program starts.
type sandbox struct {
	folder    folder
	task      id.Task
	attempt   int
	artifacts []spec.Artifact
	address   string
	ports     []int
}

// prepare makes the sandbox and fetches what belongs into it. The first attempt
// that succeeds leaves a mark, so that a restart does not wait for the network.
func (s sandbox) prepare(ctx context.Context, fetcher Fetcher) error {
	if err := checkPorts(ctx, s.address, s.ports); err != nil {
		return err
	}
	if err := s.makeFolders(); err != nil {
		return fmt.Errorf("make the sandbox: %w", err)
	}
	if s.attempt > 1 {
		if err := s.folder.trimAttempts(s.task, attemptsKept-1); err != nil {
			return fmt.Errorf("clear away old logs: %w", err)
		}
	}
	return s.fetch(ctx, fetcher)
}

// fetch gets what belongs into the sandbox, unless it is there.
func (s sandbox) fetch(ctx context.Context, fetcher Fetcher) error {
	if len(s.artifacts) == 0 {
		return nil
	}
	if _, err := os.Stat(s.folder.complete(s.task)); err == nil {
		return nil
	}
	for _, artifact := range s.artifacts {
		if err := fetcher.Fetch(ctx, artifact, s.folder.sandbox(s.task)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.folder.complete(s.task), nil, 0o600); err != nil {
		return fmt.Errorf("mark the sandbox as complete: %w", err)
	}
	return nil
}

// makeFolders makes the sandbox, and in it the folder for temporary files,
// which is for every user: who the program runs as is the runtime's business.
func (s sandbox) makeFolders() error {
	temporary := filepath.Join(s.folder.sandbox(s.task), temporaryName)
	if err := os.MkdirAll(temporary, 0o755); err != nil {
		return err
	}
	fd, err := syscall.Open(temporary, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EACCES):
		return nil // an earlier attempt has put a link there, or closed it: it is the task's, and what a link leads to is not
	case err != nil:
		return os.NewSyscallError("open "+temporaryName, err)
	}
	defer func() { _ = syscall.Close(fd) }() // read only
	return os.NewSyscallError("fchmod", syscall.Fchmod(fd, 0o777|syscall.S_ISVTX))
}

// checkPorts refuses ports on which another program of this machine listens.
func checkPorts(ctx context.Context, address string, ports []int) error {
	for _, port := range ports {
		if port < 1 || port > resource.PortMax {
			return fmt.Errorf("port %d is not within 1-%d", port, resource.PortMax)
		}
		err := tryPort(ctx, address, port)
		if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
			err = tryPort(ctx, "", port) // the address is one that others know the machine by
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port %d: %w", port, errPortTaken)
		}
	}
	return nil
}

// tryPort listens on a port for a moment.
func tryPort(ctx context.Context, address string, port int) error {
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return listener.Close()
}
