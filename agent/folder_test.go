package agent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
)

// TestARecordThatIsNotWhole: the agent was killed in the middle of a write.
func TestARecordThatIsNotWhole(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")
		w.end()
		content, err := os.ReadFile(w.file("web-1", "task.pb"))
		if err != nil {
			w.Fatal(err)
		}
		write(w, w.file("web-1", "task.pb"), string(content[:len(content)-3]))

		w.begin()

		if _, tasks := w.lastJoin(); tasks["web-1"] != "ready 1" {
			w.Errorf("the join says %v", tasks)
		}
		w.stop("web-1", time.Second)
		w.restart()
		if _, tasks := w.lastJoin(); tasks["web-1"] != "stopped 1" {
			w.Errorf("the next join says %v", tasks)
		}
	})
}

// TestATaskFileDoesNotGrow, however often its task fails.
func TestATaskFileDoesNotGrow(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Refused: runtime.ErrNotFound}), func(w *world) {
		w.run(service(), "web-1")
		w.pass(24 * time.Hour)
		told := w.known("web-1")

		w.restart()

		if _, tasks := w.lastJoin(); tasks["web-1"] != told || w.runtime.starts() < 250 {
			w.Errorf("the join says %v after %d starts, told was %s", tasks, w.runtime.starts(), told)
		}
		if info, err := os.Stat(w.file("web-1", "task.pb")); err != nil || info.Size() > 20_000 {
			w.Errorf("the file is %v, %v", info.Size(), err)
		}
	})
}

// TestAFolderThatIsRemovedByHand while the task runs: it goes on, and its next
// attempt has all again.
func TestAFolderThatIsRemovedByHand(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Minute}), func(w *world) {
		w.run(service(fetching("artifact.txt")), "web-1")
		if err := os.RemoveAll(w.file("web-1")); err != nil {
			w.Fatal(err)
		}

		w.pass(61 * time.Second)

		w.want("web-1", "ready 2")
		if text := w.log.String(); strings.Contains(text, "ERROR") {
			w.Errorf("the agent complains: %s", text)
		}
		if n := w.fetcher.fetched(); n != 2 {
			w.Errorf("fetched %d times", n)
		}
		w.restart()
		w.want("web-1", "ready 2")
	})
}

// TestOldLogsAreTrimmed: those of so many ended tasks stay, the newest, and of
// each task those of three attempts.
func TestOldLogsAreTrimmed(t *testing.T) {
	t.Parallel()
	logging := func(launch runtime.Launch) fake.Play {
		if err := os.MkdirAll(launch.Log.Dir, 0o755); err != nil {
			return fake.Play{Refused: err}
		}
		return fake.Play{Lives: time.Second}
	}
	inWorld(t, logging, func(w *world) {
		w.end()
		w.cfg.EndedMax = 3
		w.begin()
		w.run(service(), "web-1")
		w.pass(time.Hour)
		if attempts, err := os.ReadDir(w.file("web-1", "logs")); err != nil || len(attempts) != 3 {
			w.Errorf("logs of %v, %v", attempts, err)
		}
		for i := range 6 {
			name := fmt.Sprintf("copy-%d", 9-i)
			w.run(specOf(spec.Job, fetching("artifact.txt")), name)
			w.pass(time.Second)
			w.forget(name)
			if i == 3 {
				w.restart() // which finds what is left
			}
		}

		w.pass(time.Second)

		entries, err := os.ReadDir(filepath.Join(w.dir, "tasks"))
		var left []string
		for _, entry := range entries {
			left = append(left, entry.Name())
		}
		if want := "copy-4 copy-5 copy-6 web-1"; err != nil || strings.Join(left, " ") != want {
			w.Errorf("left are %v, %v, want %s", left, err, want)
		}
		inside, err := os.ReadDir(w.file("copy-5"))
		if err != nil || len(inside) != 1 || inside[0].Name() != "logs" {
			w.Errorf("of an ended task there are %v, %v", inside, err)
		}
	})
}

// TestWhatNeverRanPushesOutNoLogs: tasks whose artifacts cannot be fetched leave nothing.
func TestWhatNeverRanPushesOutNoLogs(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Second}), func(w *world) {
		w.end()
		w.cfg.EndedMax = 2
		w.begin()
		w.run(job(), "copy-1")
		w.print("copy-1", 1, "stdout", "result\n")
		w.pass(time.Second)
		w.forget("copy-1")
		w.runAndForget("silent-1")

		for i := range 3 {
			name := fmt.Sprintf("bad-%d", i)
			w.run(specOf(spec.Job, fetching("/no/such/file")), name)
			w.pass(time.Second)
			w.want(name, "failed 1")
			w.forget(name)
			w.pass(time.Second)
		}

		entries, err := os.ReadDir(filepath.Join(w.dir, "tasks"))
		if err != nil || len(entries) != 2 || entries[0].Name() != "copy-1" || entries[1].Name() != "silent-1" {
			w.Errorf("left are %v, %v", entries, err)
		}
	})
}

// runAndForget runs a copy of a job to its end, and has the master forget it.
func (w *world) runAndForget(name string) {
	w.Helper()
	w.run(job(), name)
	w.pass(time.Second)
	w.want(name, "finished 1")
	w.forget(name)
	w.pass(time.Second)
}

// wantEmpty says so if anything is left of a task but its folder.
func (w *world) wantEmpty(name string) {
	w.Helper()
	if inside, err := os.ReadDir(w.file(name)); err != nil || len(inside) > 0 {
		w.Errorf("of %s there are %v, %v", name, inside, err)
	}
}

// TestWhatATaskLeavesInItsSandbox: all of it is removed, and nothing that a link leads to.
func TestWhatATaskLeavesInItsSandbox(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(sandbox, elsewhere string) error{
		"nothing": func(_, _ string) error { return nil },
		"files": func(sandbox, _ string) error {
			return errors.Join(os.WriteFile(filepath.Join(sandbox, "tmp", "a"), nil, 0o600), os.Mkdir(filepath.Join(sandbox, "b"), 0o755))
		},
		"a link in its place": func(sandbox, elsewhere string) error {
			return errors.Join(os.RemoveAll(sandbox), os.Symlink(elsewhere, sandbox))
		},
		"a link in the place of its folder for temporary files": func(sandbox, elsewhere string) error {
			temporary := filepath.Join(sandbox, "tmp")
			return errors.Join(os.Remove(temporary), os.Symlink(filepath.Join(elsewhere, "tmp"), temporary))
		},
		"a file in its place": func(sandbox, _ string) error {
			return errors.Join(os.RemoveAll(sandbox), os.WriteFile(sandbox, nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			elsewhere := t.TempDir()
			kept := filepath.Join(elsewhere, "tmp")
			if err := os.Mkdir(kept, 0o755); err != nil {
				t.Fatal(err)
			}
			leaving := func(launch runtime.Launch) fake.Play {
				return fake.Play{Lives: time.Second, Refused: leave(launch.Sandbox, elsewhere)}
			}
			inWorld(t, leaving, func(w *world) {
				w.runAndForget("copy-1")

				w.wantEmpty("copy-1")
				if _, err := os.Stat(kept); err != nil {
					w.Errorf("what the link leads to is gone: %v", err)
				}
			})
		})
	}
}

// TestWhatATaskMountedStays: it is not the agent's to remove, and the agent says so. The next one
// removes the rest when it has been unmounted.
func TestWhatATaskMountedStays(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	elsewhere := t.TempDir()
	kept := filepath.Join(elsewhere, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var mounted string
	t.Cleanup(func() { _ = unix.Unmount(mounted, unix.MNT_DETACH) }) // where the test has come to nothing
	mounting := func(launch runtime.Launch) fake.Play {
		mounted = filepath.Join(launch.Sandbox, "tmp")
		return fake.Play{Lives: time.Second, Refused: unix.Mount(elsewhere, mounted, "", unix.MS_BIND, "")}
	}
	inWorld(t, mounting, func(w *world) {
		w.runAndForget("copy-1")

		contains(w, w.log.String(), "ended tasks not cleared away")
		contains(w, w.log.String(), mounted+": something is mounted there; unmount it")
		if _, err := os.Stat(kept); err != nil {
			w.Errorf("what is mounted is gone: %v", err)
		}
		if err := unix.Unmount(mounted, 0); err != nil {
			w.Fatal(err)
		}
		w.restart()
		w.pass(time.Second)
		w.wantEmpty("copy-1")
	})
}

// TestAFolderHasAName that no other has, and that an agent tells on joining.
func TestAFolderHasAName(t *testing.T) {
	t.Parallel()
	var names []string
	for range 2 {
		inWorld(t, nil, func(w *world) {
			w.restart()
			joins := w.joins
			name := joins[0].GetFolder()
			if len(joins) != 2 || name == "" || joins[1].GetFolder() != name {
				w.Errorf("joins = %v", joins)
			}
			names = append(names, name)
		})
	}
	if names[0] == names[1] {
		t.Errorf("two folders have the name %s", names[0])
	}
}

func TestADataFolderOfANewerVersion(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.end()
		write(w, filepath.Join(w.dir, "format"), "2")
		a, err := agent.New(w.cfg, w.masters, w.runtime, w.fetcher)
		if err != nil {
			w.Fatal(err)
		}

		err = a.Run(context.Background())

		if !errors.Is(err, agent.ErrFormat) || !strings.Contains(err.Error(), "format 2") {
			w.Errorf("Run = %v", err)
		}
	})
}

func TestADataFolderThatIsAFile(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.end()
		w.cfg.DataDir = filepath.Join(w.dir, "file")
		touch(w, w.cfg.DataDir)
		a, err := agent.New(w.cfg, w.masters, w.runtime, w.fetcher)
		if err != nil {
			w.Fatal(err)
		}

		err = a.Run(context.Background())

		if err == nil || errors.Is(err, context.Canceled) {
			w.Errorf("Run = %v", err)
		}
	})
}

// TestARefusedSupervisor: an agent that cannot learn what runs does not begin.
func TestAnAgentWithoutASupervisor(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		w.run(service(), "web-1")
		w.end()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		a, err := agent.New(w.cfg, w.masters, w.runtime, w.fetcher)
		if err != nil {
			w.Fatal(err)
		}

		err = a.Run(ctx)

		if !errors.Is(err, context.Canceled) {
			w.Errorf("Run = %v", err)
		}
		if joins, _, _ := w.counts(); joins != 1 {
			w.Errorf("%d joins", joins)
		}
	})
}

// TestForeignFilesAmongTheTasks are left alone.
func TestForeignFilesAmongTheTasks(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		touch(w, w.file("lost+found", "x"))
		touch(w, w.file("README"))

		w.restart()
		w.order(&pb.Orders{Complete: true})

		for _, path := range []string{w.file("lost+found", "x"), w.file("README")} {
			if _, err := os.Stat(path); err != nil {
				w.Error(err)
			}
		}
	})
}
