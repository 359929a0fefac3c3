package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/supervisor"
)

// pathDefault is where commands are looked for when a task has no PATH.
const pathDefault = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// prepare makes the sandbox, and turns a launch into a start.
func prepare(launch Launch) (supervisor.Start, error) {
	if err := launch.validate(); err != nil {
		return supervisor.Start{}, err
	}
	as, err := lookUp(launch.User)
	if err != nil {
		return supervisor.Start{}, err
	}
	dir, err := prepareSandbox(launch, as)
	if err != nil {
		return supervisor.Start{}, err
	}
	env := environment(launch)
	argv := launch.Command
	if launch.Shell != "" {
		argv = []string{"/bin/sh", "-c", launch.Shell}
	}
	path, err := resolve(argv[0], dir, env["PATH"])
	if err != nil {
		return supervisor.Start{}, err
	}
	start := supervisor.Start{Key: launch.Key, Path: path, Argv: argv, Dir: dir, User: as, Log: launch.Log, Lease: launch.Lease}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		start.Env = append(start.Env, name+"="+env[name])
	}
	return start, nil
}

// environment returns the task's environment with what every program expects.
func environment(launch Launch) map[string]string {
	env := map[string]string{"PATH": pathDefault, "HOME": launch.Sandbox}
	maps.Copy(env, launch.Env)
	return env
}

// prepareSandbox makes the sandbox, gives it to the user with all that was put
// into it, and returns the working directory.
func prepareSandbox(launch Launch, as *supervisor.User) (dir string, err error) {
	if !filepath.IsAbs(launch.Sandbox) {
		return "", fmt.Errorf("%w: %q is not an absolute path", ErrSandbox, launch.Sandbox)
	}
	if launch.Dir != "" && !filepath.IsLocal(launch.Dir) {
		return "", fmt.Errorf("%w: working directory %q leads out of it", ErrSandbox, launch.Dir)
	}
	if err := os.MkdirAll(launch.Sandbox, 0o755); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSandbox, err)
	}
	if err := give(launch.Sandbox, as); err != nil {
		return "", fmt.Errorf("%w: %w", ErrSandbox, err)
	}
	if err := unix.Access(launch.Sandbox, unix.W_OK); err != nil { // not even root may, where a disk can only be read
		return "", fmt.Errorf("%w: write to %s: %w", ErrSandbox, launch.Sandbox, err)
	}
	dir = filepath.Join(launch.Sandbox, launch.Dir)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%w: working directory %q is no folder in it", ErrSandbox, launch.Dir)
	}
	return dir, nil
}

// give makes a user the owner of a sandbox, once: before its first program. The
// sandbox itself comes last, as the sign that it is done.
func give(sandbox string, as *supervisor.User) error {
	if as == nil {
		return nil
	}
	info, err := os.Stat(sandbox)
	if err != nil {
		return err
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && owner.Uid == as.UID {
		return nil
	}
	err = filepath.WalkDir(sandbox, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == sandbox {
			return err
		}
		return os.Lchown(path, int(as.UID), int(as.GID))
	})
	if err != nil {
		return err
	}
	return os.Lchown(sandbox, int(as.UID), int(as.GID))
}

// resolve returns the absolute path of a program as a shell in dir would find
// it.
func resolve(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	var found error
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		candidate := filepath.Join(folder, name)
		err := executable(candidate)
		if err == nil {
			return candidate, nil
		}
		if errors.Is(err, ErrNotExecutable) && found == nil {
			found = err
		}
	}
	if found != nil {
		return "", found
	}
	return "", fmt.Errorf("%w: %q is in no folder of the task's PATH", ErrNotFound, name)
}

// executable returns nil if the file can be run by somebody: whether by the
// task's user, the kernel decides.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %s", ErrNotFound, path)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case info.IsDir():
		return fmt.Errorf("%w: %s is a folder", ErrNotExecutable, path)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%w: %s has mode %v", ErrNotExecutable, path, info.Mode())
	}
	return nil
}

// lookUp returns the user's numbers; nil for the agent's own user.
func lookUp(name string) (*supervisor.User, error) {
	if name == "" {
		return nil, nil
	}
	as, err := numbers(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUser, err)
	}
	if os.Getuid() == 0 {
		return as, nil
	}
	if int(as.UID) != os.Getuid() {
		return nil, fmt.Errorf("%w: %s: only an agent that runs as root can change the user", ErrUser, name)
	}
	return nil, nil
}

func numbers(name string) (*supervisor.User, error) {
	uid, gid, given := strings.Cut(name, ":")
	if number, err := strconv.ParseUint(uid, 10, 32); err == nil {
		as := &supervisor.User{UID: uint32(number), GID: uint32(number)}
		if given {
			group, err := strconv.ParseUint(gid, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("group %q is not a number", gid)
			}
			as.GID = uint32(group)
		}
		return as, nil
	}
	found, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	as, err := numbers(found.Uid + ":" + found.Gid)
	if err != nil {
		return nil, err
	}
	groups, err := found.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		if number, err := strconv.ParseUint(group, 10, 32); err == nil {
			as.Groups = append(as.Groups, uint32(number))
		}
	}
	return as, nil
}
