// Package process looks at the processes of this machine through /proc, and
// sees to it that none of a bench's own is left behind.
//
// After Adopt every process that descends from this one stays its descendant,
// also when the one between them is killed; so Descendants knows them all.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the unit of CPU times in /proc, fixed on Linux.
const ticksPerSecond = 100

// ErrUnreadable is the error for a process whose files in /proc have another
// form than expected.
var ErrUnreadable = errors.New("cannot be read")

// Process is one process as it was when it was looked at.
type Process struct {
	PID     int
	Parent  int
	State   byte          // Z is one that has ended and waits for its parent
	CPU     time.Duration // of all its threads, user and system
	RSS     int64         // bytes in memory
	Command string        // with its arguments
}

// Adopt makes this process the new parent of descendants that lose theirs.
func Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("becoming the parent of orphans: %w", err)
	}
	return nil
}

// All returns every process that can be read, by ascending PID.
func All() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		p, err := Find(pid)
		switch {
		case isGone(err):
		case err != nil:
			return nil, err
		default:
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Process) int { return a.PID - b.PID })
	return found, nil
}

// Find returns the process of that PID.
func Find(pid int) (Process, error) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return Process{}, err
	}
	p, err := parseStat(string(stat))
	if err != nil {
		return Process{}, fmt.Errorf("process %d: %w", pid, err)
	}
	line, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	if err != nil {
		return Process{}, err
	}
	if arguments := bytes.TrimRight(line, "\x00"); len(arguments) > 0 {
		p.Command = string(bytes.ReplaceAll(arguments, []byte{0}, []byte{' '}))
	}
	return p, nil
}

// parseStat reads a line of /proc/PID/stat. The name in its parentheses may hold
// spaces and parentheses itself.
func parseStat(line string) (Process, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return Process{}, fmt.Errorf("%w: %q", ErrUnreadable, line)
	}
	const state, parent, user, system, resident, fieldsMin = 0, 1, 11, 12, 21, 22
	fields := strings.Fields(line[end+1:])
	if len(fields) < fieldsMin {
		return Process{}, fmt.Errorf("%w: %q", ErrUnreadable, line)
	}
	var problems []error
	number := func(text string) int64 {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		problems = append(problems, err)
		return n
	}
	p := Process{
		PID:     int(number(line[:open])),
		Parent:  int(number(fields[parent])),
		State:   fields[state][0],
		CPU:     time.Duration(number(fields[user])+number(fields[system])) * (time.Second / ticksPerSecond),
		RSS:     number(fields[resident]) * int64(os.Getpagesize()),
		Command: line[open+1 : end],
	}
	return p, errors.Join(problems...)
}

// isGone reports whether err says that a process ended before it was read.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// Descendants returns the processes that descend from the one of that PID and
// have not ended, parents before their children.
func Descendants(pid int) ([]Process, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	var found []Process
	wanted := []int{pid}
	for len(wanted) > 0 {
		parent := wanted[0]
		wanted = wanted[1:]
		for _, p := range all {
			if p.Parent != parent {
				continue
			}
			wanted = append(wanted, p.PID)
			if p.State != 'Z' {
				found = append(found, p)
			}
		}
	}
	return found, nil
}

// Tree returns the CPU time and memory of the process of that PID and of all
// that descend from it.
func Tree(pid int) (Process, error) {
	top, err := Find(pid)
	if err != nil {
		return Process{}, err
	}
	below, err := Descendants(pid)
	for _, p := range below {
		top.CPU += p.CPU
		top.RSS += p.RSS
	}
	return top, err
}

// WithVariable returns the descendants of this process that have the variable
// in their environment, as in NAME=value.
func WithVariable(variable string) ([]Process, error) {
	ours, err := Descendants(os.Getpid())
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, p := range ours {
		environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "environ"))
		if err != nil && !isGone(err) {
			return nil, err
		}
		if slices.Contains(strings.Split(string(environment), "\x00"), variable) {
			found = append(found, p)
		}
	}
	return found, nil
}

// KillDescendants ends every descendant of this process and returns those that
// it found alive. Orphans that have ended are taken off the process table.
func KillDescendants() ([]Process, error) {
	var killed []Process
	for {
		alive, err := Descendants(os.Getpid())
		if err != nil || len(alive) == 0 {
			return killed, errors.Join(err, reap())
		}
		for _, p := range alive {
			if !slices.ContainsFunc(killed, func(k Process) bool { return k.PID == p.PID }) {
				killed = append(killed, p)
			}
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return killed, fmt.Errorf("killing process %d (%s): %w", p.PID, p.Command, err)
			}
		}
		time.Sleep(time.Millisecond) // the kernel is at work on them
	}
}

// reap waits for all children that have ended. No command of package os/exec may
// be under way.
func reap() error {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.ECHILD) || err == nil && pid == 0:
			return nil
		case err != nil:
			return fmt.Errorf("waiting for orphans: %w", err)
		}
	}
}
