package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killGroups kills every process in the groups, and reports whether all are
// empty. cgroup v2 does it in one write; in v1 the freezer, when it is among
// the groups, keeps them from forking meanwhile.
func killGroups(groups Cgroup) (empty bool) {
	empty = true
	for _, dir := range withInner(groups.dirs()) {
		members := groupMembers(dir)
		if len(members) == 0 {
			continue
		}
		empty = false
		if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
			continue
		}
		freezer := filepath.Join(dir, "freezer.state")
		_ = writeExisting(freezer, "FROZEN") // only one of the groups has it
		for _, pid := range groupMembers(dir) {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
		}
		_ = writeExisting(freezer, "THAWED")
	}
	return empty
}

func writeExisting(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

func groupMembers(dir string) []int {
	content, _ := readKernel(filepath.Join(dir, "cgroup.procs")) // removed: empty
	var found []int
	for line := range strings.Lines(string(content)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	return found
}

// oomKilled reports whether the kernel killed in the groups for lack of memory.
func oomKilled(groups Cgroup) bool {
	for _, dir := range groups.dirs() {
		for _, name := range []string{"memory.oom_control", "memory.events"} {
			content, _ := readKernel(filepath.Join(dir, name)) // only one of them has it
			for line := range strings.Lines(string(content)) {
				if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && count != "0" {
					return true
				}
			}
		}
	}
	return false
}

// withInner returns the groups with those that a program made inside of them, each
// after the one that it is in.
func withInner(dirs []string) []string {
	for i := 0; i < len(dirs); i++ {
		const linksAlone = 2 // of a folder that no other is in
		var info unix.Stat_t
		if unix.Stat(dirs[i], &info) != nil || info.Nlink <= linksAlone {
			continue
		}
		entries, _ := os.ReadDir(dirs[i]) // removed meanwhile: none
		for _, entry := range entries {
			if entry.IsDir() {
				dirs = append(dirs, filepath.Join(dirs[i], entry.Name()))
			}
		}
	}
	return dirs
}

// removeGroups removes empty groups. One that cannot be removed is left.
func removeGroups(groups Cgroup) error {
	var problems []error
	for _, dir := range groups.dirs() {
		problems = append(problems, RemoveGroup(dir))
	}
	return errors.Join(problems...)
}

// RemoveGroup removes a control group, and those that a program made inside of it,
// as far as no process is in them. That there is none is no error.
func RemoveGroup(dir string) error {
	err := unix.Rmdir(dir)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) { // something is in it
		all := withInner([]string{dir})
		for _, inner := range slices.Backward(all[1:]) {
			_ = unix.Rmdir(inner) // the last one tells
		}
		err = unix.Rmdir(dir)
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}

// removeParents removes the groups that are above those of tasks, as far as
// they are empty.
func removeParents(parents map[string]bool) {
	for dir := range parents {
		RemoveEmpty(dir)
	}
}

// RemoveEmpty removes a control group, and those that it is in, as far as nothing is
// in them.
func RemoveEmpty(dir string) {
	for unix.Rmdir(dir) == nil {
		dir = filepath.Dir(dir)
	}
}
