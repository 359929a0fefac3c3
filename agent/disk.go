package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// The folder of a task holds the task file, the mark of a complete sandbox, the
// sandbox and the logs. The logs stay for a while when the rest is gone.
func (a *Agent) folder(name id.Task) string {
	return filepath.Join(a.cfg.DataDir, "tasks", string(name))
}
func (a *Agent) sandbox(name id.Task) string { return filepath.Join(a.folder(name), "sandbox") }
func (a *Agent) logs(name id.Task, attempt int) string {
	return filepath.Join(a.folder(name), "logs", strconv.Itoa(attempt))
}
func (a *Agent) file(name id.Task) string { return filepath.Join(a.folder(name), "task.pb") }
func (a *Agent) epochFile() string        { return filepath.Join(a.cfg.DataDir, "epoch") }

// keep writes what a new agent must know of a task. It is not synced to the
// disk: when the machine fails its programs are gone too.
func (a *Agent) keep(in *instance) error {
	kept, err := proto.Marshal(&pb.KeptTask{
		Order: in.order, Spec: in.rev.wire, Status: wire.FromStatus(in.status), Stray: in.stray,
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.folder(in.task), 0o755); err != nil {
		return err
	}
	return replaceFile(a.file(in.task), kept)
}

func (a *Agent) keepEpoch() error {
	return replaceFile(a.epochFile(), []byte(strconv.FormatUint(a.epoch, 10)))
}

// replaceFile writes a file so that a reader finds the old content or the new.
func replaceFile(name string, content []byte) error {
	fresh := name + ".new"
	if err := os.WriteFile(fresh, content, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, name)
}

// restore takes up the tasks that an earlier agent left.
func (a *Agent) restore(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(a.cfg.DataDir, "tasks"), 0o755); err != nil {
		return err
	}
	if err := a.restoreEpoch(); err != nil {
		return err
	}
	known, err := a.runtime.List(ctx)
	if err != nil {
		return err
	}
	alive := make(map[runtime.Key]bool, len(known))
	for _, status := range known {
		alive[status.Key] = true // an end that was not forgotten comes as an exit
	}
	folders, err := os.ReadDir(filepath.Join(a.cfg.DataDir, "tasks"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := a.restoreTask(ctx, id.Task(folder.Name()), alive); err != nil {
			a.cfg.Log.ErrorContext(ctx, "task not taken up again", slog.String("task", folder.Name()), slog.Any("error", err))
		}
	}
	return nil
}

func (a *Agent) restoreEpoch() error {
	text, err := os.ReadFile(a.epochFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	a.epoch, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return err
}

// restoreTask goes on with one task from where its file says it was.
func (a *Agent) restoreTask(ctx context.Context, name id.Task, alive map[runtime.Key]bool) error {
	content, err := os.ReadFile(a.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // only its logs are left
	}
	if err != nil {
		return err
	}
	var kept pb.KeptTask
	if err := proto.Unmarshal(content, &kept); err != nil {
		return err
	}
	s, err := wire.ToSpec(kept.GetSpec())
	if err != nil {
		return err
	}
	status, err := wire.ToStatus(kept.GetStatus())
	if err != nil {
		return err
	}
	in := newInstance(kept.GetOrder(), &revision{spec: s, wire: kept.GetSpec()}, time.Now())
	in.status, in.stray, in.grace = status, kept.GetStray(), s.Deploy.Grace
	a.tasks[name] = in
	a.goOn(ctx, in, alive[in.key()])
	return nil
}

// goOn takes up a restored task. One that was ready stays ready: its program
// served all the while.
func (a *Agent) goOn(ctx context.Context, in *instance, alive bool) {
	switch in.status.State {
	case task.Starting:
		if alive {
			a.launched(ctx, in.key(), nil)
		} else {
			a.end(ctx, in, &task.Exit{Error: "the agent ended while it started the program", At: time.Now()})
		}
	case task.Running, task.Ready:
		if alive {
			a.watchHealth(ctx, in)
		} else {
			a.end(ctx, in, &task.Exit{Error: "its supervisor ended, or the machine restarted", At: time.Now()})
		}
	case task.Stopping:
		if alive {
			a.stopProgram(ctx, in, in.grace)
		} else {
			a.end(ctx, in, nil)
		}
	default: // Assigned and Backoff wait for their time; an end waits to be forgotten
	}
}

// forget drops a task whose end is committed. Its logs stay until newer ones
// need the room.
func (a *Agent) forget(ctx context.Context, name id.Task) {
	in, ok := a.tasks[name]
	if !ok || !in.status.State.Ended() {
		return
	}
	delete(a.tasks, name)
	delete(a.unsent, name)
	for _, gone := range []string{a.file(name), filepath.Join(a.folder(name), "fetched"), a.sandbox(name)} {
		if err := os.RemoveAll(gone); err != nil {
			a.cfg.Log.WarnContext(ctx, "task not cleared away", slog.String("task", string(name)), slog.Any("error", err))
		}
	}
	if err := a.trimLogs(); err != nil {
		a.cfg.Log.WarnContext(ctx, "old logs not cleared away", slog.Any("error", err))
	}
}

// trimLogs removes the oldest folders of which only the logs are left.
func (a *Agent) trimLogs() error {
	folders, err := os.ReadDir(filepath.Join(a.cfg.DataDir, "tasks"))
	if err != nil || len(folders) <= a.cfg.EndedMax+len(a.tasks) {
		return err
	}
	ended := slices.DeleteFunc(folders, func(folder os.DirEntry) bool {
		_, here := a.tasks[id.Task(folder.Name())]
		return here
	})
	changed := make(map[string]time.Time, len(ended))
	for _, folder := range ended {
		if info, err := folder.Info(); err == nil {
			changed[folder.Name()] = info.ModTime()
		}
	}
	slices.SortFunc(ended, func(x, y os.DirEntry) int {
		return cmp.Or(changed[x.Name()].Compare(changed[y.Name()]), strings.Compare(x.Name(), y.Name()))
	})
	var problems []error
	for _, folder := range ended[:max(0, len(ended)-a.cfg.EndedMax)] {
		problems = append(problems, os.RemoveAll(a.folder(id.Task(folder.Name()))))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("trim logs: %w", err)
	}
	return nil
}
