package agent_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		w.run(service(), "web-1")
		w.run(job(), "copy-1")
		freed := []func(){w.fill("web-1"), w.fill("copy-1")}
		w.pass(59 * time.Second)
		w.want("web-1", "ready 1")
		w.pass(31 * time.Second)

		w.want("web-1", "starting 2")
		contains(w, w.status("web-1").GetReason(), "the data folder cannot be written: ")
		w.want("copy-1", "finished 1")
		contains(w, w.log.String(), "tasks not kept on disk")
		contains(w, w.log.String(), "no space left on device")
		if n := strings.Count(w.log.String(), "tasks not kept on disk"); n != 1 {
			w.Errorf("said %d times", n)
		}
		if list := w.programs(); len(list) != 2 {
			w.Errorf("the runtime has %v; it must keep the ends that the disk does not have", list)
		}
		w.run(job(), "copy-2")
		freed = append(freed, w.fill("copy-2"))
		w.pass(time.Minute)
		w.forget("copy-2")
		if list := w.programs(); len(list) != 2 {
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
		if _, tasks := w.lastJoin(); tasks["web-1"] != "ready 2" || tasks["copy-1"] != "finished 1" {
			w.Errorf("the join says %v", tasks)
		}
	})
}

// TestWhatTheDiskDoesNotTakeIsNotStarted: another agent would find a program of
// which it has no task file, and stop it.
func TestWhatTheDiskDoesNotTakeIsNotStarted(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		makeRoom := w.fill("web-1")
		w.run(service(), "web-1")
		w.run(service(), "web-2")
		w.pass(time.Minute)

		w.want("web-1", "starting 1")
		w.want("web-2", "ready 1")
		contains(w, w.status("web-1").GetReason(), "no space left on device")
		if running := w.running(); len(running) != 1 {
			w.Errorf("%v run", running)
		}
		makeRoom()
		w.pass(time.Second)
		w.want("web-1", "ready 1")
		if n := w.runtime.starts(); n != 2 {
			w.Errorf("%d starts", n)
		}
		w.restart()
		w.want("web-1", "ready 1")
	})
}

func TestAStopOfWhatTheDiskDoesNotTake(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		makeRoom := w.fill("web-1")
		w.run(service(), "web-1")
		w.stop("web-1", time.Second)
		makeRoom()
		w.pass(time.Minute)

		w.want("web-1", "stopped 1")
		if n := w.runtime.starts(); n != 0 {
			w.Errorf("%d starts", n)
		}
	})
}

// TestAFetchThatHangsIsNamed, without its password, until the program runs.
func TestAFetchThatHangsIsNamed(t *testing.T) {
	t.Parallel()
	inWorld(t, nil, func(w *world) {
		hold := make(chan struct{})
		w.fetcher.hold = hold
		w.run(service(fetching("artifact.txt", func(a *spec.Artifact) {
			a.URL = strings.Replace(a.URL, "file://", "file://me:secret@localhost", 1)
		})), "web-1")
		w.pass(900 * time.Millisecond)
		if reason := w.status("web-1").GetReason(); reason != "" {
			w.Errorf("said too early: %s", reason)
		}

		w.pass(200 * time.Millisecond)

		w.want("web-1", "starting 1")
		contains(w, w.status("web-1").GetReason(), "fetching file://me:xxxxx@localhost/")
		close(hold)
		w.pass(time.Second)
		if status := w.status("web-1"); status.GetReason() != "" || w.known("web-1") != "ready 1" {
			w.Errorf("then: %v", status)
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
