package supervisor_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/logs"
	"github.com/aloft-run/aloft/agent/supervisor"
)

// binary returns another copy of the test binary.
func binary(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "aloft")
	if err := os.WriteFile(path, content, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// succeed has the supervisor of a folder go on with another binary, and connects
// to what it has become.
func succeed(t *testing.T, client *supervisor.Client, dir string) *supervisor.Client {
	t.Helper()
	pid, path := client.PID(), binary(t)
	if err := client.HandOver(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	_ = client.Close() // it has ended
	next := ensure(t, dir)
	now, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if next.PID() != pid || err != nil || now != path {
		t.Fatalf("process %d runs %s, %v, and process %d answers; want %s in the same one", pid, now, err, next.PID(), path)
	}
	return next
}

// talker counts aloud until its folder holds a file named end, and then ends
// with code 5.
func talker(attempt int, dir, logDir string) supervisor.Start {
	s := shell("talker", attempt, "n=0; until [ -e "+dir+"/end ]; do n=$((n+1)); printf 'li'; sleep 0.01; echo ne $n; done; echo last; exit 5")
	s.Log.Dir = logDir
	return s
}

func told(t *testing.T, dir string) []string {
	t.Helper()
	lines, err := logs.Tail(dir, "stdout", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestTasksOutliveTheBinary of their supervisor, twice: those that each binary
// started run on, none of what they print is lost or doubled, and how they end is
// told as ever.
func TestTasksOutliveTheBinary(t *testing.T) {
	dir, marks := t.TempDir(), t.TempDir()
	logDirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	client := ensure(t, dir)
	var pids []int
	for i, logDir := range logDirs {
		if i > 0 {
			client = succeed(t, client, dir)
		}
		pids = append(pids, start(t, client, talker(i+1, marks, logDir)))
		waitFor(t, "a few lines", func() bool { return len(told(t, logDir)) > 3 })
	}
	_, err := client.Start(t.Context(), talker(1, marks, logDirs[0]))
	if !errors.Is(err, supervisor.ErrAlreadyStarted) {
		t.Errorf("a second start of the first: %v", err)
	}
	running, err := client.List(t.Context())
	if err != nil || len(running) != len(logDirs) {
		t.Fatalf("List = %+v, %v", running, err)
	}
	for i, task := range running {
		if task.PID != pids[i] || task.Exit != nil || !alive(task.PID) {
			t.Errorf("attempt %d is %+v, was process %d", i+1, task, pids[i])
		}
	}
	if err := os.WriteFile(filepath.Join(marks, "end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for range logDirs {
		exit := nextExit(t, client)

		if lines := exit.LastLines; exit.Code != 5 || exit.Error != "" || len(lines) < 2 || lines[len(lines)-1] != "last" {
			t.Errorf("exit = %+v", exit)
		}
	}
	for _, logDir := range logDirs {
		for i, line := range told(t, logDir) {
			if want := fmt.Sprintf("line %d", i+1); line != want && line != "last" {
				t.Fatalf("line %d is %q", i+1, line)
			}
		}
	}
}

// TestWhatIsUnderWayGoesOnUnderTheNextBinary: a stop keeps its time, offspring is
// found, and exits that nobody has forgotten are still known.
func TestWhatIsUnderWayGoesOnUnderTheNextBinary(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	ended := shell("ended", 1, "exit 9")
	start(t, client, ended)
	nextExit(t, client)
	daemon := filepath.Join(t.TempDir(), "daemon")
	parent := shell("parent", 1, "env -i setsid sh -c 'echo $$ >"+daemon+"; exec sleep 1000' & exec sleep 1000")
	start(t, client, parent)
	offspring := readPID(t, daemon)
	stubborn := shell("stubborn", 1, "trap '' TERM; echo trapped; while :; do sleep 1000; done")
	stubborn.Log.Dir = t.TempDir()
	start(t, client, stubborn)
	waitFor(t, "its trap", func() bool { return slices.Contains(told(t, stubborn.Log.Dir), "trapped") })
	if err := client.Stop(t.Context(), stubborn.Key, 300*time.Millisecond); err != nil {
		t.Fatal(err)
	}

	client = succeed(t, client, dir)

	if exit := nextExit(t, client); exit.Key != stubborn.Key || exit.Signal != int(unix.SIGKILL) {
		t.Errorf("the stop came to %+v", exit)
	}
	if err := client.Stop(t.Context(), parent.Key, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	if exit := nextExit(t, client); exit.Key != parent.Key || exit.Signal != int(unix.SIGTERM) {
		t.Errorf("the parent's exit is %+v", exit)
	}
	if alive(offspring) {
		t.Error("what the parent had started lives on")
	}
	tasks, err := client.List(t.Context())
	if err != nil || len(tasks) != 3 || tasks[0].Key != ended.Key || tasks[0].Exit == nil || tasks[0].Exit.Code != 9 {
		t.Errorf("List = %+v, %v", tasks, err)
	}
}

// TestWhatEndsIsToldByTheNextBinary: a program has ended, and its output is still held open
// when another binary goes on.
func TestWhatEndsIsToldByTheNextBinary(t *testing.T) {
	dir, mark := t.TempDir(), filepath.Join(t.TempDir(), "end")
	client := ensure(t, dir)
	program := shell("held", 1, "until [ -e "+mark+" ]; do sleep 0.01; done; exit 3")
	pid := start(t, client, program)
	output, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/1", pid), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = output.Close() }() // nothing was written
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "its end", func() bool { return !alive(pid) })

	client = succeed(t, client, dir)

	waitFor(t, "its exit", func() bool {
		tasks, err := client.List(t.Context())
		return err == nil && len(tasks) == 1 && tasks[0].Exit != nil && tasks[0].Exit.Code == 3
	})
}

// TestABinaryThatCannotBeExecuted changes nothing.
func TestABinaryThatCannotBeExecuted(t *testing.T) {
	dir, marks, logDir := t.TempDir(), t.TempDir(), t.TempDir()
	client := ensure(t, dir)
	start(t, client, talker(1, marks, logDir))
	waitFor(t, "a few lines", func() bool { return len(told(t, logDir)) > 3 })
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("\x7fELF nonsense"), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":              "want an absolute path",
		"aloft":         "want an absolute path",
		"/no/such/file": "no such file",
		broken:          "exec format error",
	} {
		err := client.HandOver(t.Context(), path)
		if !errors.Is(err, supervisor.ErrHandover) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("HandOver to %q: %v; want %q", path, err, want)
		}
	}
	before := len(told(t, logDir))
	waitFor(t, "more lines", func() bool { return len(told(t, logDir)) > before+3 })
	if err := os.WriteFile(filepath.Join(marks, "end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if exit := nextExit(t, client); exit.Code != 5 {
		t.Errorf("exit = %+v", exit)
	}
	for i, line := range told(t, logDir) {
		if want := fmt.Sprintf("line %d", i+1); line != want && line != "last" {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
}

// TestRenewIsForAnotherBinaryOnly: a supervisor that runs this one's stays as it
// is, and one that runs another gets it.
func TestRenewIsForAnotherBinaryOnly(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	if renewed, err := client.Renew(t.Context()); renewed || err != nil {
		t.Errorf("Renew = %t, %v", renewed, err)
	}
	client = succeed(t, client, dir)

	renewed, err := client.Renew(t.Context())

	if !renewed || err != nil {
		t.Fatalf("Renew of another binary = %t, %v", renewed, err)
	}
	_ = client.Close() // it has ended
	if renewed, err := ensure(t, dir).Renew(t.Context()); renewed || err != nil {
		t.Errorf("Renew after that = %t, %v", renewed, err)
	}
}
