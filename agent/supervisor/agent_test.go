package supervisor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/logs"
	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

// TestTasksOutliveTheirAgent kills an agent with -9: its tasks run on, one ends
// meanwhile, and the next agent finds both.
func TestTasksOutliveTheirAgent(t *testing.T) {
	dir := t.TempDir()
	marker := filepath.Join(t.TempDir(), "marker")
	ensure(t, dir) // so that the agent below finds it, and the test ends it
	agent := exec.CommandContext(t.Context(), "/proc/self/exe", dir, marker)
	agent.Env = append(os.Environ(), role+"=agent")
	agent.Stderr = os.Stderr
	stdin, err := agent.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "started\n" {
		t.Fatalf("the agent said %q, %v", line, err)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.Wait() // it was killed
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	client := ensure(t, dir)

	var tasks []supervisor.Task
	waitFor(t, "the second attempt's end", func() bool {
		tasks, err = client.List(t.Context())
		return err != nil || len(tasks) == 2 && tasks[1].Exit != nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tasks[0].Exit != nil || !alive(tasks[0].PID) {
		t.Errorf("the task that sleeps: %+v", tasks[0])
	}
	if tasks[1].Exit.Code != 7 {
		t.Errorf("the task that ended: %+v", tasks[1].Exit)
	}
}

func killSupervisor(t *testing.T, client *supervisor.Client) {
	t.Helper()
	if err := unix.Kill(client.PID(), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the supervisor's end", func() bool { return !alive(client.PID()) })
}

// TestTheTasksOfAKilledSupervisor are gone, as is what they forked, and the
// next supervisor says so.
func TestTheTasksOfAKilledSupervisor(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	out := filepath.Join(t.TempDir(), "pid")
	s := shell("lost", 1, "setsid sh -c 'echo $$ >$OUT; exec sleep 1000' & exec sleep 1000")
	s.Env = append(s.Env, "OUT="+out)
	main := start(t, client, s)
	daemon := readPID(t, out)

	killSupervisor(t, client)

	waitFor(t, "the program's end", func() bool { return !alive(main) })
	if !alive(daemon) {
		t.Error("the daemon had no reason to end yet")
	}
	if _, err := client.List(t.Context()); !errors.Is(err, supervisor.ErrGone) {
		t.Errorf("List = %v, want ErrGone", err)
	}
	client = ensure(t, dir)
	if alive(daemon) {
		t.Error("the daemon lives on")
	}
	tasks, err := client.List(t.Context())
	if err != nil || len(tasks) != 1 || tasks[0].Exit == nil {
		t.Fatalf("List = %+v, %v", tasks, err)
	}
	if exit := tasks[0].Exit; exit.Signal != int(unix.SIGKILL) || !strings.Contains(exit.Error, "supervisor") {
		t.Errorf("exit = %+v", exit)
	}
	if _, err := client.Start(t.Context(), s); !errors.Is(err, supervisor.ErrAlreadyStarted) {
		t.Errorf("Start = %v, want ErrAlreadyStarted", err)
	}
}

func TestAFolderHasOneSupervisor(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)

	err := supervisor.Main(t.Context(), supervisor.Config{Dir: dir})

	if !errors.Is(err, supervisor.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(client.PID())) {
		t.Errorf("Main = %v, want ErrLocked and its process", err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
}

func TestEnsureSaysWhyItCannot(t *testing.T) {
	tests := map[string]struct {
		argv []string
		want string
	}{
		"no command":        {nil, "no command"},
		"a missing command": {[]string{"/no/such/aloft"}, "no such file"},
		"one that fails":    {[]string{"/bin/sh", "-c", "echo these words >&2; exit 1"}, "these words"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := supervisor.Ensure(t.Context(), t.TempDir(), tc.argv)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Ensure = %v, want %q in it", err, tc.want)
			}
		})
	}
	t.Run("one that hangs", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		pidFile := filepath.Join(t.TempDir(), "pid")
		_, err := supervisor.Ensure(ctx, t.TempDir(), []string{"/bin/sh", "-c", "echo $$ >" + pidFile + "; exec sleep 1000"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ensure = %v, want the deadline", err)
		}
		pid := readPID(t, pidFile)
		_ = unix.Kill(pid, unix.SIGKILL)
		_, _ = unix.Wait4(pid, nil, 0, nil)
	})
}

func TestManyMayEnsureAtOnce(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(role, "supervisor")
	clients := make([]*supervisor.Client, 8)
	var dialling sync.WaitGroup
	for i := range clients {
		dialling.Go(func() {
			var err error
			if clients[i], err = supervisor.Ensure(t.Context(), dir, []string{"/proc/self/exe", dir}); err != nil {
				t.Error(err)
			}
		})
	}
	dialling.Wait()
	pids := make(map[int]bool)
	for _, client := range clients {
		if client != nil {
			pids[client.PID()] = true
			_ = client.Close()
		}
	}
	tearDown(t, ensure(t, dir), dir)
	if len(pids) != 1 {
		t.Errorf("%d supervisors: %v", len(pids), pids)
	}
}

func TestTheNewestClientHasTheSay(t *testing.T) {
	dir := t.TempDir()
	first := ensure(t, dir)
	start(t, first, shell("shared", 1, "exec sleep 1000"))
	key := supervisor.Key{Task: "shared", Attempt: 1}

	second := ensure(t, dir)

	if tasks, err := first.List(t.Context()); err != nil || len(tasks) != 1 {
		t.Errorf("the first's List = %+v, %v", tasks, err)
	}
	if err := first.KillAll(t.Context(), key); !errors.Is(err, supervisor.ErrSuperseded) {
		t.Errorf("the first's KillAll = %v, want ErrSuperseded", err)
	}
	if err := second.KillAll(t.Context(), key); err != nil {
		t.Errorf("the second's KillAll = %v", err)
	}
	for _, client := range []*supervisor.Client{first, second} {
		if exit := nextExit(t, client); exit.Signal != int(unix.SIGKILL) {
			t.Errorf("exit = %+v", exit)
		}
	}
}

func TestShutdownWaitsForTheLastTask(t *testing.T) {
	client := ensure(t, t.TempDir())
	marker := filepath.Join(t.TempDir(), "marker")
	start(t, client, shell("last", 1, "while [ ! -e "+marker+" ]; do sleep 0.01; done"))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	err := client.Shutdown(ctx)

	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown = %v while a task runs", err)
	}
	if _, err := client.Start(t.Context(), shell("next", 1, "")); !errors.Is(err, supervisor.ErrClosing) {
		t.Errorf("Start = %v, want ErrClosing", err)
	}
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if exit := nextExit(t, client); exit.Code != 0 {
		t.Errorf("exit = %+v", exit)
	}
	if err := client.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	waitFor(t, "the process's end", func() bool { return !alive(client.PID()) })
}

func TestSIGTERMIsAShutdown(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	start(t, client, shell("last", 1, "exec sleep 1000"))

	if err := unix.Kill(client.PID(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}

	waitFor(t, "the refusal", func() bool {
		_, err := client.Start(t.Context(), supervisor.Start{Key: supervisor.Key{Task: "x", Attempt: 1}, Path: "/bin/true", Argv: []string{"true"}, Dir: "/"})
		return errors.Is(err, supervisor.ErrClosing) || errors.Is(err, supervisor.ErrAlreadyStarted)
	})
	if err := client.KillAll(t.Context(), supervisor.Key{Task: "last", Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process's end", func() bool { return !alive(client.PID()) })
}

func TestOutputGoesToLogs(t *testing.T) {
	client := ensure(t, t.TempDir())
	s := shell("wordy", 1, "seq 1 200000; echo problem >&2")
	s.Log = supervisor.Log{Dir: filepath.Join(t.TempDir(), "logs"), SizeMax: 64 << 10, FilesMax: 2}
	start(t, client, s)

	nextExit(t, client)

	out, err := logs.Tail(s.Log.Dir, "stdout", 2)
	if err != nil || strings.Join(out, " ") != "199999 200000" {
		t.Errorf("stdout ends in %q, %v", out, err)
	}
	if errs, err := logs.Tail(s.Log.Dir, "stderr", 2); err != nil || strings.Join(errs, " ") != "problem" {
		t.Errorf("stderr ends in %q, %v", errs, err)
	}
	entries, err := os.ReadDir(s.Log.Dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("log files: %v, %v; want two of stdout and one of stderr", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Size() > 64<<10 {
			t.Errorf("%s has %d bytes, %v", entry.Name(), info.Size(), err)
		}
	}
}

// TestAFullLogDoesNotStopTheTask gives the log to a device that is always full.
func TestAFullLogDoesNotStopTheTask(t *testing.T) {
	client := ensure(t, t.TempDir())
	s := shell("wordy", 1, "seq 1 50000; echo the end")
	s.Log.Dir = t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(s.Log.Dir, "stdout.0.log")); err != nil {
		t.Fatal(err)
	}
	start(t, client, s)

	exit := nextExit(t, client)

	if exit.Code != 0 || exit.LastLines[len(exit.LastLines)-1] != "the end" {
		t.Errorf("exit = %+v", exit)
	}
}

func TestAFullDiskRefusesStarts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	dir := filepath.Join(disk, "supervisor")
	client := ensure(t, dir)
	start(t, client, shell("before", 1, "exec sleep 1000"))
	ballast := filepath.Join(disk, "ballast")
	for size := 128 << 10; size > 0; size /= 2 { // until not a byte is free
		file, err := os.OpenFile(ballast, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			_, err = file.Write(make([]byte, size))
		}
		_ = file.Close()
	}
	big := shell("refused", 1, "")
	big.Cgroup.Legacy = []supervisor.LegacyCgroup{{Dir: strings.Repeat("/long", 4000)}}

	_, err := client.Start(t.Context(), big)

	if !errors.Is(err, supervisor.ErrRecord) {
		t.Errorf("Start = %v, want ErrRecord", err)
	}
	if err := client.KillAll(t.Context(), supervisor.Key{Task: "before", Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if exit := nextExit(t, client); exit.Signal != int(unix.SIGKILL) {
		t.Errorf("exit = %+v", exit)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	start(t, client, shell("refused", 1, "exit 0"))
	if exit := nextExit(t, client); exit.Key.Task != "refused" || exit.Code != 0 {
		t.Errorf("after there was room: %+v", exit)
	}
}

func TestADamagedJournalIsReadAsFarAsItGoes(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	start(t, client, shell("kept", 1, "exit 3"))
	nextExit(t, client)
	if err := client.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	journal, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = journal.WriteString("garbage\n" + `{"started":{"key":{"task":"half`)
	if err := errors.Join(err, journal.Close()); err != nil {
		t.Fatal(err)
	}

	client = ensure(t, dir)

	tasks, err := client.List(t.Context())
	if err != nil || len(tasks) != 1 || tasks[0].Exit.Code != 3 {
		t.Errorf("List = %+v, %v", tasks, err)
	}
	start(t, client, shell("half", 1, "exit 0"))
	nextExit(t, client)
}

// TestBadRequests speaks to the socket as no Client would.
func TestBadRequests(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir)
	tests := map[string]struct{ send, want string }{
		"garbage":               {"garbage\n", "request"},
		"another version":       {`{"id":1,"op":"hello","version":99}` + "\n", "version"},
		"no hello":              {`{"id":1,"op":"shutdown"}` + "\n", "newer client"},
		"an unknown request":    {`{"id":1,"op":"hello","version":1}` + "\n" + `{"id":2,"op":"dance"}` + "\n", "dance"},
		"a start of nothing":    {`{"id":1,"op":"hello","version":1}` + "\n" + `{"id":2,"op":"start"}` + "\n", "without what"},
		"a start with bad name": {`{"id":1,"op":"hello","version":1}` + "\n" + `{"id":2,"op":"start","start":{"key":{"task":"../x","attempt":1}}}` + "\n", "not a name"},
		"no end":                {strings.Repeat("x", 9<<20), "longer than"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", filepath.Join(dir, "socket"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() { _, _ = conn.Write([]byte(tc.send)) })
			answers := json.NewDecoder(conn)
			for {
				var answer struct{ Text string }
				if err := answers.Decode(&answer); err != nil {
					t.Fatalf("no answer with %q in it: %v", tc.want, err)
				}
				if strings.Contains(answer.Text, tc.want) {
					return
				}
			}
		})
	}
}

// TestManyStarts runs many short tasks as fast as they go, and then looks for
// what they left in the supervisor.
func TestManyStarts(t *testing.T) {
	client := ensure(t, t.TempDir())
	files := func() int {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", client.PID()))
		return len(entries)
	}
	start(t, client, shell("warm-up", 1, "exit 0"))
	nextExit(t, client)
	before := files()
	const n = 200
	var starting sync.WaitGroup
	defer starting.Wait()
	for i := range n {
		starting.Go(func() {
			task := id.Task(fmt.Sprintf("short-%d", i))
			_, err := client.Start(t.Context(), supervisor.Start{
				Key: supervisor.Key{Task: task, Attempt: 1}, Path: "/bin/true", Argv: []string{"true"}, Dir: "/",
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		exit := nextExit(t, client)
		if exit.Code != 0 || exit.Signal != 0 || exit.Error != "" {
			t.Errorf("exit = %+v", exit)
		}
		if err := client.Forget(t.Context(), exit.Key); err != nil {
			t.Error(err)
		}
	}
	if after := files(); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
	if children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", client.PID(), client.PID())); len(children) > 0 {
		t.Errorf("children are left: %s", children)
	}
}

// TestASupervisorAtRestIsSmall measures its memory after some work.
func TestASupervisorAtRestIsSmall(t *testing.T) {
	if raceDetected {
		t.Skip("the race detector takes memory of its own")
	}
	client := ensure(t, t.TempDir())
	for n := range 20 {
		start(t, client, shell("busy", n+1, "seq 1 10000"))
		nextExit(t, client)
	}
	const kBMax = 15_000
	var kB int
	waitFor(t, "the supervisor to be below 15 MB", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", client.PID()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			_, _ = fmt.Sscanf(line, "VmRSS: %d", &kB) // one line is it
		}
		return kB < kBMax
	})
}

// TestASupervisorAtRestDoesNotWork counts how often its threads are woken.
func TestASupervisorAtRestDoesNotWork(t *testing.T) {
	client := ensure(t, t.TempDir())
	start(t, client, shell("silent", 1, "exec sleep 1000"))
	switches := func() int {
		total := 0
		statuses, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", client.PID()))
		for _, path := range statuses {
			content, _ := os.ReadFile(path)
			for line := range strings.Lines(string(content)) {
				var n int
				if _, err := fmt.Sscanf(line, "voluntary_ctxt_switches: %d", &n); err == nil {
					total += n
				}
			}
		}
		return total
	}
	// The runtime's own threads settle within a second or two of the last work.
	waitFor(t, "a second without work", func() bool {
		before := switches()
		<-time.After(time.Second)
		return switches()-before < 5
	})
}
