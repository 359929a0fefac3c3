package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/removal"
)

// tidying clears away what forgotten tasks leave. Their logs stay until newer
// ones need the room.
type tidying struct {
	ran  map[id.Task]bool // of those that are forgotten, but not on disk
	gone []leaving        // to be cleared away
	left []id.Task        // of which only the logs are left, oldest first; a worker's while busy
	busy bool
}

// leaving is a task to be cleared away.
type leaving struct {
	task id.Task
	ran  bool // it may have printed something
}

// tidy begins to clear away, unless that is under way.
func (a *Agent) tidy(ctx context.Context) {
	t := &a.tidying
	if t.busy || len(t.gone) == 0 {
		return
	}
	gone, left := t.gone, t.left
	t.gone, t.left, t.busy = nil, nil, true
	a.workers.Go(func() {
		left, err := a.folder.tidy(ctx, gone, left, a.cfg.EndedMax)
		if err != nil {
			a.cfg.Log.WarnContext(ctx, "ended tasks not cleared away", slog.Any("error", err))
		}
		a.do(ctx, func() { t.left, t.busy = left, false })
	})
}

// tidy removes what is left of tasks but their logs, and the oldest logs beyond
// those of so many tasks. It returns the tasks whose logs are left; a folder without
// any tells of a task that printed nothing. When ctx is done the next agent finds the
// rest.
func (f folder) tidy(ctx context.Context, gone []leaving, left []id.Task, leftMax int) ([]id.Task, error) {
	var problems []error
	var sweep removal.Sweep
	for ; len(gone) > 0 && ctx.Err() == nil; gone = gone[1:] {
		name := gone[0].task
		err := errors.Join(removeFiles(f.complete(name), f.damaged(name)), f.removeSandbox(&sweep, name))
		switch {
		case err != nil:
			problems = append(problems, err) // the next agent tries again
		case !gone[0].ran && !exists(f.logs(name)):
			problems = append(problems, sweep.All(f.task(name)))
		case exists(f.task(name)):
			left = append(left, name)
		}
	}
	for ; len(left) > leftMax; left = left[1:] {
		if _, err := os.Lstat(f.file(left[0])); errors.Is(err, fs.ErrNotExist) { // no task of that name has come since
			problems = append(problems, sweep.All(f.task(left[0])))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return left, fmt.Errorf("clear away: %w", err)
	}
	return left, nil
}

// removeFiles removes those that are there.
func removeFiles(paths ...string) error {
	var problems []error
	for _, path := range paths {
		if err := syscall.Unlink(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, &fs.PathError{Op: "unlink", Path: path, Err: err})
		}
	}
	return errors.Join(problems...)
}

// removeSandbox removes a task's sandbox, in which many a program leaves nothing, and
// nothing that a link leads to in its place.
func (f folder) removeSandbox(sweep *removal.Sweep, name id.Task) error {
	sandbox := f.sandbox(name)
	info, err := os.Lstat(sandbox)
	if err == nil && info.IsDir() && syscall.Rmdir(filepath.Join(sandbox, temporaryName)) == nil && syscall.Rmdir(sandbox) == nil {
		return nil
	}
	return sweep.All(sandbox)
}

// exists reports whether there is something at a path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
