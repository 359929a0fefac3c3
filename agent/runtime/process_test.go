package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/agent/supervisor"
	"github.com/aloft-run/aloft/core/id"
)

// role tells the test binary to be another process than the tests.
const role = "ALOFT_TEST_ROLE"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(role) {
	case "":
		m.Run()
	case "supervisor":
		err = supervisor.Main(context.Background(), supervisor.Config{Dir: os.Args[1]})
	case "ordinary":
		err = beOrdinary(os.Args[1])
	case "glutton":
		var eaten [][]byte
		for range 64 { // MiB
			eaten = append(eaten, bytes.Repeat([]byte{1}, 1<<20))
		}
		fmt.Fprintln(os.Stdout, len(eaten))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // the main of a process that is no test
	}
}

// bench is a runtime under test, with its supervisor.
type bench struct {
	*runtime.Process
	dir string // for sandboxes
	log *bytes.Buffer
}

// setUp starts a runtime, and takes care that nothing of it is left when the
// test ends.
func setUp(t *testing.T, agent id.Agent, limits runtime.Limits) bench {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var written bytes.Buffer
	process, err := runtime.New(runtime.Config{
		Agent: agent, Dir: filepath.Join(dir, "supervisor"), Limits: limits,
		Supervisor: []string{"/usr/bin/env", role + "=supervisor", self, filepath.Join(dir, "supervisor")},
		Log:        slog.New(slog.NewTextHandler(&written, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = process.Run(ctx) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		tasks, err := process.List(ctx)
		if err != nil {
			t.Errorf("List at the end: %v", err)
		}
		for _, task := range tasks {
			if task.Exit == nil {
				_ = process.Kill(ctx, task.Key)
			}
		}
		stop()
		running.Wait()
		if err := process.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if left := groups(agent, ""); len(left) > 0 {
			t.Errorf("cgroups are left: %s", left)
		}
	})
	return bench{process, dir, &written}
}

// groups returns where the cgroups of an attempt may be, or of the whole agent.
func groups(agent id.Agent, attempt string) []string {
	var folders []string
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/freezer"} {
		found, _ := filepath.Glob(filepath.Join(root, "aloft", string(agent)+"-????????", attempt)) // the pattern is good
		folders = append(folders, found...)
	}
	return folders
}

func (b bench) launch(task id.Task, shell string) runtime.Launch {
	sandbox := filepath.Join(b.dir, "sandboxes", string(task))
	return runtime.Launch{
		Key: runtime.Key{Task: task, Attempt: 1}, Shell: shell,
		Sandbox: sandbox, Log: runtime.Log{Dir: sandbox + ".logs"},
	}
}

func (b bench) start(t *testing.T, launch runtime.Launch) {
	t.Helper()
	if err := b.Start(t.Context(), launch); err != nil && !errors.Is(err, runtime.ErrNeverRan) {
		t.Fatal(err)
	}
}

func (b bench) nextExit(t *testing.T) runtime.Exit {
	t.Helper()
	select {
	case exit := <-b.Exits():
		return exit
	case <-time.After(20 * time.Second):
		t.Fatal("no exit came")
	}
	return runtime.Exit{}
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

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	b := setUp(t, "commands", runtime.LimitsOff)
	write := func(sandbox, name, content string, mode os.FileMode) {
		path := filepath.Join(sandbox, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	script := "#!/bin/sh\necho here is $PWD $1 $GREETING $HOME\n"
	tests := map[id.Task]struct {
		change func(*runtime.Launch)
		is     error  // of Start
		want   string // in the last lines, or in the start error
	}{
		"in-sandbox":     {change: func(l *runtime.Launch) { l.Command = []string{"./hello", "you"} }, want: "here is SANDBOX you hi SANDBOX"},
		"in-folder":      {change: func(l *runtime.Launch) { l.Command, l.Dir = []string{"../hello"}, "sub" }, want: "here is SANDBOX/sub"},
		"absolute":       {change: func(l *runtime.Launch) { l.Command = []string{"/bin/echo", "abc"} }, want: "abc"},
		"on-path":        {change: func(l *runtime.Launch) { l.Command = []string{"echo", "abc"} }, want: "abc"},
		"on-own-path":    {change: func(l *runtime.Launch) { l.Command, l.Env["PATH"] = []string{"hello"}, "." }, want: "here is"},
		"shell":          {change: func(l *runtime.Launch) { l.Shell = "echo $ALOFT_TASK_ID $ALOFT_ATTEMPT" }, want: "shell 1"},
		"missing":        {change: func(l *runtime.Launch) { l.Command = []string{"./nothing"} }, is: runtime.ErrNotFound},
		"not-on-path":    {change: func(l *runtime.Launch) { l.Command = []string{"no-such-command"} }, is: runtime.ErrNotFound},
		"not-executable": {change: func(l *runtime.Launch) { l.Command = []string{"./data"} }, is: runtime.ErrNotExecutable},
		"a-folder":       {change: func(l *runtime.Launch) { l.Command = []string{"./sub"} }, is: runtime.ErrNotExecutable},
		"no-interpreter": {change: func(l *runtime.Launch) { l.Command = []string{"./orphan"} }, want: "no such file"},
		"no-format":      {change: func(l *runtime.Launch) { l.Command = []string{"./text"} }, want: "exec format error"},
		"no-command":     {change: func(*runtime.Launch) {}, want: "either a command or a shell line"},
		"both":           {change: func(l *runtime.Launch) { l.Command, l.Shell = []string{"echo"}, "echo" }, want: "either a command or a shell line"},
		"climbs-out":     {change: func(l *runtime.Launch) { l.Shell, l.Dir = "pwd", "../.." }, is: runtime.ErrSandbox},
		"no-folder":      {change: func(l *runtime.Launch) { l.Shell, l.Dir = "pwd", "none" }, is: runtime.ErrSandbox},
		"relative":       {change: func(l *runtime.Launch) { l.Shell, l.Sandbox = "pwd", "sandbox" }, is: runtime.ErrSandbox},
		"nobody-known":   {change: func(l *runtime.Launch) { l.Shell, l.User = "id", "no-such-user" }, is: runtime.ErrUser},
		"bad-group":      {change: func(l *runtime.Launch) { l.Shell, l.User = "id", "12:staff" }, is: runtime.ErrUser},
	}
	for task, tc := range tests {
		t.Run(string(task), func(t *testing.T) {
			launch := b.launch(task, "")
			launch.Env = map[string]string{"GREETING": "hi"}
			write(launch.Sandbox, "hello", script, 0o755)
			write(launch.Sandbox, "data", "x", 0o644)
			write(launch.Sandbox, "orphan", "#!/no/such/interpreter\n", 0o755)
			write(launch.Sandbox, "text", "just text", 0o755)
			write(launch.Sandbox, "sub/x", "x", 0o644)
			tc.change(&launch)

			err := b.Start(t.Context(), launch)

			if tc.is != nil {
				if !errors.Is(err, tc.is) {
					t.Errorf("Start = %v, want %v", err, tc.is)
				}
				return
			}
			got := fmt.Sprint(err)
			if neverRan := errors.Is(err, runtime.ErrNeverRan); err == nil || neverRan {
				exit := b.nextExit(t)
				if neverRan != (exit.StartError != "") {
					t.Errorf("Start = %v, then %+v", err, exit)
				}
				got = exit.StartError + strings.Join(exit.LastLines, "\n")
				if exit.Key != launch.Key || (exit.StartError == "") != (exit.Code == 0) {
					t.Errorf("exit = %+v", exit)
				}
			}
			if want := strings.ReplaceAll(tc.want, "SANDBOX", launch.Sandbox); !strings.Contains(got, want) {
				t.Errorf("got %q, want %q in it", got, want)
			}
		})
	}
}

func TestNothingOfTheAgentReachesATask(t *testing.T) {
	t.Setenv("ALOFT_SECRET", "of the agent")
	b := setUp(t, "env", runtime.LimitsOff)
	launch := b.launch("env", "env; ls -l /proc/self/fd")
	launch.Env = map[string]string{"ALOFT_TASK_ID": "another", "B": "2", "A": "1"}

	b.start(t, launch)

	lines := strings.Join(b.nextExit(t).LastLines, "\n")
	for _, want := range []string{"ALOFT_TASK_ID=env\n", "A=1\n", "B=2\n", "PATH=/usr", "/dev/null"} {
		if !strings.Contains(lines, want) {
			t.Errorf("%q is missing in:\n%s", want, lines)
		}
	}
	if strings.Contains(lines, "SECRET") || strings.Contains(lines, "socket:") || strings.Contains(lines, "supervisor") {
		t.Errorf("something of the agent is in:\n%s", lines)
	}
}

func TestUser(t *testing.T) {
	needRoot(t)
	t.Parallel()
	b := setUp(t, "user", runtime.LimitsOff)
	if err := os.Chmod(filepath.Dir(b.dir), 0o755); err != nil { // the test's folder is for root only
		t.Fatal(err)
	}
	for user, want := range map[string]string{
		"nobody": "uid=65534(nobody)", "1234": "uid=1234 gid=1234", "1234:1235": "uid=1234 gid=1235",
	} {
		t.Run(user, func(t *testing.T) {
			launch := b.launch(id.Task("user-"+strings.ReplaceAll(user, ":", "-")), "id; touch mine tmp/mine && ls -ln given")
			launch.User = user
			if err := errors.Join(
				os.MkdirAll(filepath.Join(launch.Sandbox, "tmp"), 0o755), os.Chmod(b.dir, 0o755),
				os.WriteFile(filepath.Join(launch.Sandbox, "given"), nil, 0o600),
				os.Symlink("/etc/passwd", filepath.Join(launch.Sandbox, "link")),
			); err != nil {
				t.Fatal(err)
			}
			b.start(t, launch)

			exit := b.nextExit(t)

			if info, err := os.Stat("/etc/passwd"); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
				t.Error("what a link leads to was given away")
			}
			if exit.Code != 0 || !strings.HasPrefix(strings.Join(exit.LastLines, " "), want) {
				t.Errorf("exit = %+v, want %s", exit, want)
			}
		})
	}
}

func TestASandboxThatCannotBeWritten(t *testing.T) {
	needRoot(t)
	t.Parallel()
	b := setUp(t, "read-only", runtime.LimitsOff)
	launch := b.launch("stuck", "true")
	if err := os.MkdirAll(launch.Sandbox, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", launch.Sandbox, "tmpfs", unix.MS_RDONLY, "size=64k"); err != nil {
		t.Skipf("mounting: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(launch.Sandbox, unix.MNT_DETACH) })

	err := b.Start(t.Context(), launch)

	if !errors.Is(err, runtime.ErrSandbox) || !errors.Is(err, unix.EROFS) {
		t.Errorf("Start = %v, want ErrSandbox and why", err)
	}
	blocked := b.launch("blocked", "true")
	if err := os.WriteFile(blocked.Sandbox, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context(), blocked); !errors.Is(err, runtime.ErrSandbox) {
		t.Errorf("Start over a file = %v, want ErrSandbox", err)
	}
}

func TestStopForgetAndStartAgain(t *testing.T) {
	t.Parallel()
	b := setUp(t, "stop", runtime.LimitsOff)
	launch := b.launch("stubborn", "trap '' TERM; echo ready; while :; do sleep 0.01; done")
	b.start(t, launch)
	waitFor(t, "the trap", func() bool {
		text, _ := os.ReadFile(filepath.Join(launch.Log.Dir, "stdout.0.log"))
		return string(text) == "ready\n"
	})
	if err := b.Forget(t.Context(), launch.Key); !errors.Is(err, supervisor.ErrRunning) {
		t.Errorf("Forget = %v, want ErrRunning", err)
	}

	err := b.Stop(t.Context(), launch.Key, 50*time.Millisecond)

	exit := b.nextExit(t)
	if err != nil || exit.Signal != int(unix.SIGKILL) || exit.Code != -1 {
		t.Errorf("Stop = %v, exit = %+v", err, exit)
	}
	tasks, err := b.List(t.Context())
	if err != nil || len(tasks) != 1 || tasks[0].Exit == nil || tasks[0].Exit.Signal != int(unix.SIGKILL) {
		t.Errorf("List = %+v, %v", tasks, err)
	}
	if err := b.Start(t.Context(), launch); !errors.Is(err, runtime.ErrAlreadyStarted) {
		t.Errorf("Start = %v, want ErrAlreadyStarted", err)
	}
	if err := b.Forget(t.Context(), launch.Key); err != nil {
		t.Fatal(err)
	}
	if tasks, err := b.List(t.Context()); err != nil || len(tasks) != 0 {
		t.Errorf("List = %+v, %v", tasks, err)
	}
	if err := b.Stop(t.Context(), launch.Key, 0); !errors.Is(err, supervisor.ErrUnknown) {
		t.Errorf("Stop of what is forgotten = %v, want ErrUnknown", err)
	}
}

// TestExitsComeAgainUntilForgotten restarts the agent's side.
func TestExitsComeAgainUntilForgotten(t *testing.T) {
	t.Parallel()
	b := setUp(t, "again", runtime.LimitsOff)
	launch := b.launch("done", "exit 3")
	b.start(t, launch)
	b.nextExit(t)
	next, err := runtime.New(runtime.Config{Agent: "again", Dir: filepath.Join(b.dir, "supervisor"), Supervisor: []string{"/bin/false"}, Limits: runtime.LimitsOff})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { _ = next.Run(ctx) })

	exit := bench{Process: next}.nextExit(t)

	if exit.Key != launch.Key || exit.Code != 3 {
		t.Errorf("exit = %+v", exit)
	}
	if err := next.Forget(t.Context(), launch.Key); err != nil {
		t.Error(err)
	}
}

// TestAKilledSupervisorIsReplaced: its tasks are lost and say so, others start.
func TestAKilledSupervisorIsReplaced(t *testing.T) {
	t.Parallel()
	b := setUp(t, "replaced", runtime.LimitsSoft)
	launch := b.launch("lost", groupsInside+"exec sleep 1000")
	b.start(t, launch)
	waitForGroupsInside(t, launch)
	client, err := supervisor.Dial(t.Context(), filepath.Join(b.dir, "supervisor"))
	if err != nil {
		t.Fatal(err)
	}
	pid := client.PID()
	_ = client.Close()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}

	exit := b.nextExit(t)

	if exit.Key != launch.Key || exit.StartError == "" || exit.Code == 0 {
		t.Errorf("exit = %+v", exit)
	}
	if left := groups("replaced", ""); len(left) > 0 {
		t.Errorf("cgroups of the killed one are left: %s", left)
	}
	b.start(t, b.launch("next", "exit 0"))
	if exit := b.nextExit(t); exit.Key.Task != "next" || exit.Code != 0 {
		t.Errorf("exit = %+v", exit)
	}
}

// TestAnotherClientDoesNotDisableTheRuntime: one that came and left took the
// say with it.
func TestAnotherClientDoesNotDisableTheRuntime(t *testing.T) {
	t.Parallel()
	b := setUp(t, "superseded", runtime.LimitsOff)
	ran := b.launch("ran", "exec sleep 1000")
	b.start(t, ran)
	supersede := func() {
		t.Helper()
		client, err := supervisor.Dial(t.Context(), filepath.Join(b.dir, "supervisor"))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
	}

	supersede()
	next := b.launch("next", "exec sleep 1000")
	b.start(t, next)

	supersede()
	if err := b.Start(t.Context(), next); !errors.Is(err, runtime.ErrAlreadyStarted) {
		t.Errorf("Start = %v, want ErrAlreadyStarted", err)
	}
	for _, key := range []runtime.Key{ran.Key, next.Key} {
		supersede()
		if err := b.Kill(t.Context(), key); err != nil {
			t.Errorf("Kill = %v", err)
		}
		if exit := b.nextExit(t); exit.Key != key || exit.Signal != int(unix.SIGKILL) {
			t.Errorf("exit = %+v", exit)
		}
		if err := b.Forget(t.Context(), key); err != nil { // else it comes again with the next connection
			t.Errorf("Forget = %v", err)
		}
	}
	supersede()
	if err := b.Forget(t.Context(), next.Key); err != nil {
		t.Errorf("Forget = %v", err)
	}
	if tasks, err := b.List(t.Context()); err != nil || len(tasks) != 0 {
		t.Errorf("List = %+v, %v", tasks, err)
	}
}

func TestNewRefusesABadConfig(t *testing.T) {
	t.Parallel()
	_, err := runtime.New(runtime.Config{Agent: "Not A Name", Limits: "some"})
	for _, want := range []string{"agent", "folder", "command", `"some"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want %q in it", err, want)
		}
	}
}

func TestCallsWithoutASupervisorEndWithTheirContext(t *testing.T) {
	t.Parallel()
	process, err := runtime.New(runtime.Config{Agent: "a", Dir: t.TempDir(), Supervisor: []string{"/bin/false"}, Limits: runtime.LimitsOff})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := process.List(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("List = %v, want the deadline", err)
	}
	if err := process.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown of nothing = %v", err)
	}
}
