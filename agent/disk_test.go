package agent_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aloft-run/aloft/agent"
	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/runtime/fake"
	"github.com/aloft-run/aloft/core/spec"
	"github.com/aloft-run/aloft/core/task"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/wire"
)

// TestTheDiskIsFirst: what is started or told is on disk by then.
func TestTheDiskIsFirst(t *testing.T) {
	t.Parallel()
	var tasks string // their folder
	starting := func(launch runtime.Launch) fake.Play {
		found, err := kept(filepath.Join(tasks, string(launch.Key.Task), "task.pb"))
		if err != nil || stateOf(found.GetStatus()) != fmt.Sprintf("starting %d", launch.Key.Attempt) {
			return fake.Play{Refused: fmt.Errorf("on disk is %v, %v", found.GetStatus(), err)}
		}
		lives := []time.Duration{-1, time.Minute}[len(launch.Key.Task)%2] // some end while their start is written
		return fake.Play{Lives: lives, Exit: runtime.Exit{Code: 7}}
	}
	inWorld(t, starting, func(w *world) {
		tasks = filepath.Join(w.dir, "tasks")
		w.watch = func(report *pb.TaskReport) {
			found, err := kept(w.file(report.GetTask(), "task.pb"))
			if err != nil {
				w.Error(err)
			}
			told, errTold := wire.ToStatus(report.GetStatus())
			onDisk, errDisk := wire.ToStatus(found.GetStatus())
			if _, news := task.Observe(onDisk, told); news || errors.Join(errTold, errDisk) != nil {
				w.Errorf("told %v; on disk is %v; %v, %v", told, onDisk, errTold, errDisk)
			}
		}
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprintf("web-%d", i))
		}

		w.run(service(), names...)
		w.pass(time.Hour)

		for _, name := range names {
			if code := w.status(name).GetLast().GetCode(); code != 7 {
				w.Errorf("%s: %v", name, w.status(name).GetLast())
			}
		}
	})
}

// TestAFullDisk: the agent says so and goes on, and what it could not write is
// written when there is room again.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Minute}), func(w *world) {
		freed := []func(){w.fill("web-1"), w.fill("copy-1")}

		w.run(service(), "web-1")
		w.run(job(), "copy-1")
		w.want("web-1", "ready 1")
		w.pass(90 * time.Second)

		w.want("web-1", "ready 2")
		w.want("copy-1", "finished 1")
		contains(w, w.log.String(), "tasks not kept on disk")
		contains(w, w.log.String(), "no space left on device")
		if n := strings.Count(w.log.String(), "tasks not kept on disk"); n != 1 {
			w.Errorf("said %d times", n)
		}
		if list := w.programs(); len(list) != 3 {
			w.Errorf("the runtime has %v; it must keep the ends that the disk does not have", list)
		}
		w.run(job(), "copy-2")
		freed = append(freed, w.fill("copy-2"))
		w.pass(time.Minute)
		w.forget("copy-2")
		if list := w.programs(); len(list) != 4 {
			w.Errorf("the runtime has %v; it need not keep the end of what is forgotten", list)
		}
		for _, makeRoom := range freed[:2] {
			makeRoom()
		}
		w.pass(time.Second)
		contains(w, w.log.String(), "kept on disk again")
		if list := w.programs(); len(list) != 1 {
			w.Errorf("the runtime still has %v", list)
		}
		w.restart()
		if _, tasks := w.lastJoin(); tasks["web-1"] != "ready 3" || tasks["copy-1"] != "finished 1" {
			w.Errorf("the join says %v", tasks)
		}
	})
}

// TestAFullDiskAndAnotherAgent: what ran is not started again, and no end is
// lost.
func TestAFullDiskAndAnotherAgent(t *testing.T) {
	t.Parallel()
	inWorld(t, byTask(map[string]fake.Play{"copy-1": {Lives: time.Minute}}), func(w *world) {
		w.run(job(), "copy-1")
		makeRoom := w.fill("copy-1")
		w.pass(time.Hour)
		w.want("copy-1", "finished 1")
		w.runtime.again(runtime.Exit{Key: runtime.Key{Task: "copy-1", Attempt: 1}, At: time.Now()})
		if list := w.programs(); len(list) != 1 {
			w.Errorf("the runtime has %v; it must keep the end that the disk does not have", list)
		}

		w.end()
		makeRoom()
		w.begin()

		if _, tasks := w.lastJoin(); tasks["copy-1"] != "finished 1" {
			w.Errorf("the join says %v", tasks)
		}
	})
}

// fill has every write of a task's file fail as on a full disk, until what it
// returns is called.
func (w *world) fill(name string) (makeRoom func()) {
	w.Helper()
	file, aside := w.file(name, "task.pb"), w.file(name, "aside")
	there := os.Rename(file, aside) == nil
	err := os.MkdirAll(w.file(name), 0o755)
	for _, path := range []string{file, file + ".new"} {
		err = errors.Join(err, os.Symlink("/dev/full", path))
	}
	if err != nil {
		w.Fatal(err)
	}
	return func() {
		remove(w, file)
		remove(w, file+".new")
		if !there {
			return
		}
		if err := os.Rename(aside, file); err != nil {
			w.Fatal(err)
		}
	}
}

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

func TestASandboxThatCannotBeMade(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		touch(w, w.file("web-1", "sandbox")) // a file where the folder should be

		w.run(service(), "web-1")

		w.want("web-1", "backoff 1")
		contains(w, w.status("web-1").GetReason(), "make the sandbox: ")
		remove(w, w.file("web-1", "sandbox"))
		w.pass(time.Second)
		w.want("web-1", "ready 2")
	})
}

func TestArtifactsAreFetchedOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, always(fake.Play{Lives: time.Minute}), func(w *world) {
		w.run(service(fetching("artifact.txt"), fetching("artifact.txt")), "web-1")
		w.want("web-1", "ready 1")
		if text, err := os.ReadFile(w.file("web-1", "sandbox", "in", "artifact.txt")); err != nil || string(text) != "hello\n" {
			w.Errorf("the artifact is %q, %v", text, err)
		}
		write(w, w.file("web-1", "sandbox", "state"), "kept")

		w.pass(time.Hour)
		w.restart()
		w.pass(time.Hour)

		if n := w.fetcher.fetched(); n != 2 {
			w.Errorf("fetched %d times", n)
		}
		if text, err := os.ReadFile(w.file("web-1", "sandbox", "state")); err != nil || string(text) != "kept" {
			w.Errorf("the sandbox holds %q, %v", text, err)
		}
	})
}

func TestArtifactsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	wrong := strings.Repeat("ab", 32)
	unpacked := func(a *spec.Artifact) { a.Unpack = true }
	tests := map[string]struct {
		fetch func(*spec.Spec)
		want  string
	}{
		"a wrong sha256":           {fetching("artifact.txt", func(a *spec.Artifact) { a.SHA256 = wrong }), "want " + wrong},
		"a tar that climbs out":    {fetching(climbingTar(t), unpacked), "leads out of the sandbox"},
		"a file that is not there": {fetching("nothing"), "no such file"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, nil, func(w *world) {
				w.run(service(tc.fetch), "web-1")
				w.want("web-1", "backoff 1")
				contains(w, w.status("web-1").GetLast().GetError(), tc.want)
				w.pass(time.Second)

				w.want("web-1", "backoff 2")
				if w.fetcher.fetched() != 2 || w.runtime.starts() != 0 {
					w.Errorf("fetched %d times, started %d times", w.fetcher.fetched(), w.runtime.starts())
				}
				w.run(service(), "web-2")
				w.want("web-2", "ready 1")
			})
		})
	}
}

// climbingTar returns the path of an archive with a file that would land
// outside.
func climbingTar(t *testing.T) string {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	header := &tar.Header{Name: "../climbed", Mode: 0o644, Size: 3}
	if err := archive.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	_, err := archive.Write([]byte("out"))
	if err := errors.Join(err, archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "climbs.tar.gz")
	write(t, path, packed.String())
	return path
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
