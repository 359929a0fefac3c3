package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

// role tells the test binary to be another process than the tests.
const role = "ALOFT_TEST_ROLE"

func init() { //nolint:gochecknoinits // the first goroutine is on the first thread now, and may leave it later
	if os.Getenv(role) == "supervisor" {
		runtime.LockOSThread()
	}
}

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "":
		m.Run()
	case "supervisor":
		err = beSupervisor(os.Args[1])
	case "agent":
		err = beAgent(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // the main of a process that is no test
	}
}

func beSupervisor(dir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	return supervisor.Main(ctx, supervisor.Config{Dir: dir, Log: log})
}

// beAgent starts a task that says hello and then ends by itself, and hangs
// until it is killed.
func beAgent(dir, marker string) error {
	ctx := context.Background()
	client, err := supervisor.Ensure(ctx, dir, []string{"/proc/self/exe", dir})
	if err != nil {
		return err
	}
	for attempt, script := range []string{"exec sleep 1000", "while [ ! -e " + marker + " ]; do sleep 0.02; done; exit 7"} {
		if _, err := client.Start(ctx, shell("lone", attempt+1, script)); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stdout, "started")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// ensure starts a supervisor, the test binary itself, and takes care that
// nothing of it is left when the test ends.
func ensure(t *testing.T, dir string) *supervisor.Client {
	t.Helper()
	t.Setenv(role, "supervisor")
	client, err := supervisor.Ensure(t.Context(), dir, []string{"/proc/self/exe", dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Unsetenv(role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tearDown(t, client, dir) })
	return client
}

func tearDown(t *testing.T, client *supervisor.Client, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = client.Close()
	client, err := supervisor.Dial(ctx, dir)
	if err != nil {
		return // the test ended it
	}
	defer func() { _ = client.Close() }()
	tasks, err := client.List(ctx)
	if err != nil {
		t.Errorf("List at the end: %v", err)
	}
	for _, task := range tasks {
		if task.Exit == nil {
			_ = client.KillAll(ctx, task.Key)
		}
	}
	if err := client.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown at the end: %v", err)
		_ = unix.Kill(client.PID(), unix.SIGKILL)
	}
	if t.Failed() {
		words, _ := os.ReadFile(filepath.Join(dir, "supervisor.log"))
		t.Logf("the supervisor said:\n%s", words)
	}
}

func shell(task id.Task, attempt int, script string) supervisor.Start {
	return supervisor.Start{
		Key:  supervisor.Key{Task: task, Attempt: attempt},
		Path: "/bin/sh", Argv: []string{"sh", "-c", script},
		Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/",
	}
}

func start(t *testing.T, client *supervisor.Client, s supervisor.Start) int {
	t.Helper()
	pid, err := client.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func nextExit(t *testing.T, client *supervisor.Client) supervisor.Exit {
	t.Helper()
	select {
	case exit, ok := <-client.Exits():
		if !ok {
			t.Fatal("the connection ended")
		}
		return exit
	case <-time.After(20 * time.Second):
		t.Fatal("no exit came")
	}
	return supervisor.Exit{}
}

func waitFor(t *testing.T, what string, met func() bool) {
	t.Helper()
	due := time.NewTicker(2 * time.Millisecond)
	defer due.Stop()
	for end := time.Now().Add(20 * time.Second); !met(); <-due.C {
		if time.Now().After(end) {
			t.Fatalf("waited for too long: %s", what)
		}
	}
}

// marked returns the processes that carry a task's mark.
func marked(task id.Task) []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		environ, _ := os.ReadFile(path)
		if strings.Contains("\x00"+string(environ), "\x00ALOFT_TASK_ID="+string(task)+"\x00") {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// readPID waits for a file that holds a process number.
func readPID(t *testing.T, path string) int {
	t.Helper()
	var pid int
	waitFor(t, path, func() bool {
		content, _ := os.ReadFile(path)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(content)))
		return pid != 0 && strings.HasSuffix(string(content), "\n")
	})
	return pid
}

func TestAnExitIsTold(t *testing.T) {
	client := ensure(t, t.TempDir())
	tests := map[id.Task]struct {
		script       string
		code, signal int
		lines        string
	}{
		"good":      {script: "echo fine", code: 0, lines: "fine"},
		"bad":       {script: "echo out; sleep 0.1; echo err >&2; exit 3", code: 3, lines: "out|err"},
		"signalled": {script: "kill -SEGV $$", code: -1, signal: int(unix.SIGSEGV)},
		"unended":   {script: "printf 'no line end'", lines: "no line end"},
		"wordy":     {script: "seq 1 100000", lines: "99981|99982|99983|99984|99985|99986|99987|99988|99989|99990|99991|99992|99993|99994|99995|99996|99997|99998|99999|100000"},
	}
	for task, tc := range tests {
		t.Run(string(task), func(t *testing.T) {
			key := supervisor.Key{Task: task, Attempt: 1}
			start(t, client, shell(task, 1, tc.script))

			exit := nextExit(t, client)

			if exit.Key != key || exit.Code != tc.code || exit.Signal != tc.signal || exit.OOM || exit.Error != "" {
				t.Errorf("exit = %+v", exit)
			}
			if got := exit.LastLines; tc.lines != "" && !slices.Equal(got, strings.Split(tc.lines, "|")) {
				t.Errorf("last lines = %q, want %q", got, tc.lines)
			}
			if exit.At.IsZero() || time.Since(exit.At) > time.Minute {
				t.Errorf("at %v", exit.At)
			}
		})
	}
}

func TestAProgramThatCannotBeExecuted(t *testing.T) {
	client := ensure(t, t.TempDir())
	bad := shell("absent", 1, "")
	bad.Path = "/no/such/program"

	pid, err := client.Start(t.Context(), bad)

	if pid != 0 || err != nil {
		t.Errorf("Start = %d, %v; the exit is the answer", pid, err)
	}
	exit := nextExit(t, client)
	if exit.Code != -1 || !strings.Contains(exit.Error, "no such file") {
		t.Errorf("exit = %+v", exit)
	}
}

func TestAnAttemptIsStartedOnce(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	start(t, client, shell("once", 2, "exit 0"))
	nextExit(t, client)
	refused := func(when string) {
		t.Helper()
		for _, attempt := range []int{1, 2} {
			if _, err := client.Start(t.Context(), shell("once", attempt, "")); !errors.Is(err, supervisor.ErrAlreadyStarted) {
				t.Errorf("%s: Start of attempt %d = %v, want ErrAlreadyStarted", when, attempt, err)
			}
		}
	}

	refused("after its end")
	if err := client.Forget(t.Context(), supervisor.Key{Task: "once", Attempt: 2}); err != nil {
		t.Fatal(err)
	}
	refused("after it was forgotten")
	if err := client.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	client = ensure(t, dir)
	refused("by the next supervisor")
	start(t, client, shell("once", 3, "exit 0"))
	if exit := nextExit(t, client); exit.Key.Attempt != 3 || exit.Code != 0 {
		t.Errorf("the next attempt: %+v", exit)
	}
}

func TestExitsAreKeptUntilTheyAreForgotten(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	key := supervisor.Key{Task: "kept", Attempt: 1}
	start(t, client, shell("kept", 1, "echo last words; exit 5"))
	nextExit(t, client)
	check := func(when string) {
		t.Helper()
		tasks, err := client.List(t.Context())
		if err != nil || len(tasks) != 1 || tasks[0].Key != key || tasks[0].Exit == nil || tasks[0].Exit.Code != 5 ||
			strings.Join(tasks[0].Exit.LastLines, "") != "last words" {
			t.Errorf("%s: List = %+v, %v", when, tasks, err)
		}
	}

	check("at once")
	_ = client.Close()
	client = ensure(t, dir)
	check("on a new connection")
	if err := client.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	client = ensure(t, dir)
	check("by the next supervisor")
	for range 2 {
		if err := client.Forget(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if tasks, err := client.List(t.Context()); err != nil || len(tasks) != 0 {
		t.Errorf("after Forget: List = %+v, %v", tasks, err)
	}
}

// TestLongLog is put aside when a supervisor starts, and a short one goes on.
func TestLongLog(t *testing.T) {
	dir := t.TempDir()
	said := filepath.Join(dir, "supervisor.log")
	if err := os.WriteFile(said, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}

	ensure(t, dir)

	old, err := os.Stat(said + ".old")
	fresh, freshErr := os.Stat(said)
	if err != nil || freshErr != nil || old.Size() != 1<<20+1 || fresh.Size() > 1<<20 {
		t.Errorf("found %v, %v and %v, %v", old, err, fresh, freshErr)
	}
}

func TestStop(t *testing.T) {
	client := ensure(t, t.TempDir())
	ready := filepath.Join(t.TempDir(), "ready")
	touch := "echo $$ >" + ready + "; "
	tests := map[id.Task]struct {
		script       string
		grace        time.Duration
		code, signal int
	}{
		"polite":   {script: "trap 'exit 4' TERM; " + touch + "while :; do sleep 0.01; done", grace: time.Minute, code: 4},
		"plain":    {script: touch + "exec sleep 1000", grace: time.Minute, code: -1, signal: int(unix.SIGTERM)},
		"deaf":     {script: "trap '' TERM; " + touch + "while :; do sleep 0.01; done", grace: 50 * time.Millisecond, code: -1, signal: int(unix.SIGKILL)},
		"no-grace": {script: touch + "exec sleep 1000", code: -1, signal: int(unix.SIGKILL)},
	}
	for task, tc := range tests {
		t.Run(string(task), func(t *testing.T) {
			_ = os.Remove(ready)
			start(t, client, shell(task, 1, tc.script))
			readPID(t, ready)

			err := client.Stop(t.Context(), supervisor.Key{Task: task, Attempt: 1}, tc.grace)
			if err != nil {
				t.Fatal(err)
			}
			if exit := nextExit(t, client); exit.Code != tc.code || exit.Signal != tc.signal {
				t.Errorf("exit = %+v", exit)
			}
			if left := marked(task); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestSignalReachesTheProgram(t *testing.T) {
	client := ensure(t, t.TempDir())
	ready := filepath.Join(t.TempDir(), "ready")
	start(t, client, shell("listener", 1, "trap 'exit 9' USR1; echo $$ >"+ready+"; while :; do sleep 0.01; done"))
	readPID(t, ready)
	key := supervisor.Key{Task: "listener", Attempt: 1}

	if err := client.Forget(t.Context(), key); !errors.Is(err, supervisor.ErrRunning) {
		t.Errorf("Forget = %v, want ErrRunning", err)
	}
	if err := client.Signal(t.Context(), key, unix.SIGUSR1, false); err != nil {
		t.Fatal(err)
	}

	if exit := nextExit(t, client); exit.Code != 9 {
		t.Errorf("exit = %+v", exit)
	}
	if err := client.Signal(t.Context(), key, unix.SIGUSR1, false); err != nil {
		t.Errorf("Signal after the end = %v", err)
	}
	if err := client.Stop(t.Context(), supervisor.Key{Task: "nobody", Attempt: 1}, 0); !errors.Is(err, supervisor.ErrUnknown) {
		t.Errorf("Stop of nobody = %v, want ErrUnknown", err)
	}
}

// daemons are ways to leave a task. Each writes the number of the process that
// should be gone into $OUT and lives long.
var daemons = map[id.Task]string{
	"child":      "sh -c 'echo $$ >$OUT; exec sleep 1000' & wait_for_it; exit 0",
	"session":    "setsid sh -c 'echo $$ >$OUT; exec sleep 1000' & wait_for_it; exit 0",
	"daemon":     "setsid sh -c '(setsid sh -c \"echo \\$\\$ >$OUT; exec sleep 1000\" &) &' </dev/null >/dev/null 2>&1 & wait_for_it; exit 0",
	"deaf":       "setsid sh -c 'trap \"\" TERM HUP INT; echo $$ >$OUT; while :; do sleep 0.05; done' & wait_for_it; exit 0",
	"nested":     "setsid sh -c 'setsid sh -c \"setsid sh -c \\\"echo \\\\\\$\\\\\\$ >$OUT; sleep 1000; :\\\"; :\"; :' & wait_for_it; exit 0",
	"no-marks":   "env -i OUT=$OUT PATH=$PATH setsid sh -c '(setsid sh -c \"echo \\$\\$ >$OUT; exec sleep 1000\" &) &' & wait_for_it; exit 0",
	"keeps-pipe": "setsid sh -c 'echo $$ >$OUT; while :; do echo noise; sleep 0.01; done' & wait_for_it; exit 0",
}

func TestOffspringIsGoneWhenTheProgramEnds(t *testing.T) {
	client := ensure(t, t.TempDir())
	for task, script := range daemons {
		t.Run(string(task), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "pid")
			s := shell(task, 1, strings.Replace(script, "wait_for_it", "until [ -s $OUT ]; do sleep 0.01; done", 1))
			s.Env = append(s.Env, "OUT="+out)
			start(t, client, s)

			exit := nextExit(t, client)

			pid := readPID(t, out)
			if exit.Code != 0 || exit.Signal != 0 {
				t.Errorf("exit = %+v", exit)
			}
			if alive(pid) {
				t.Errorf("process %d lives on", pid)
			}
			if left := marked(task); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func TestOffspringIsGoneAfterAStop(t *testing.T) {
	client := ensure(t, t.TempDir())
	for task, script := range daemons {
		t.Run(string(task), func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "pid")
			s := shell(task, 1, strings.Replace(script, "wait_for_it; exit 0", "sleep 1000", 1))
			s.Env = append(s.Env, "OUT="+out)
			start(t, client, s)
			pid := readPID(t, out)
			if !alive(pid) {
				t.Fatal("the daemon ended early")
			}

			if err := client.Stop(t.Context(), s.Key, 30*time.Millisecond); err != nil {
				t.Fatal(err)
			}

			nextExit(t, client)
			if alive(pid) {
				t.Errorf("process %d lives on", pid)
			}
			if left := marked(task); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// TestADaemonOfARunningTaskIsLeftAlone has one task end while another's daemon,
// which took off its marks, runs: it must not be taken for a left-over.
func TestADaemonOfARunningTaskIsLeftAlone(t *testing.T) {
	client := ensure(t, t.TempDir())
	out := filepath.Join(t.TempDir(), "pid")
	s := shell("owner", 1, "env -i OUT=$OUT PATH=$PATH setsid sh -c '(setsid sh -c \"echo \\$\\$ >$OUT; exec sleep 1000\" &) &'; exec sleep 1000")
	s.Env = append(s.Env, "OUT="+out)
	start(t, client, s)
	pid := readPID(t, out)

	for n := range 5 {
		start(t, client, shell("other", n+1, "exit 0"))
		nextExit(t, client)
	}

	if !alive(pid) {
		t.Error("the daemon was killed with another task")
	}
	if err := client.KillAll(t.Context(), s.Key); err != nil {
		t.Fatal(err)
	}
	nextExit(t, client)
	if alive(pid) {
		t.Error("the daemon lives on")
	}
}
