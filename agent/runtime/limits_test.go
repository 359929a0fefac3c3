package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"

	"github.com/aloft-run/aloft/agent/runtime"
	"github.com/aloft-run/aloft/core/id"
)

// needCgroups skips where this process cannot make cgroups.
func needCgroups(t *testing.T) {
	t.Helper()
	needRoot(t)
	probe := "/sys/fs/cgroup/memory/aloft-probe"
	if cgroups.Mode() == cgroups.Unified {
		probe = "/sys/fs/cgroup/aloft-probe"
	}
	if err := os.Mkdir(probe, 0o755); err != nil {
		t.Skipf("needs cgroups: %v", err)
	}
	if err := os.Remove(probe); err != nil {
		t.Fatal(err)
	}
}

// setting returns the first of an attempt's files of one of these names.
func setting(agent id.Agent, attempt string, names ...string) string {
	for _, folder := range groups(agent, attempt) {
		for _, name := range names {
			if content, err := os.ReadFile(filepath.Join(folder, name)); err == nil {
				return strings.TrimSpace(string(content))
			}
		}
	}
	return ""
}

// groupsInside has a program make a group inside each of its own, as far as it may.
const groupsInside = `sed -n 's|^[0-9]*:\([^:]*\):\(/aloft/.*\)|\1\2/inner|p' /proc/self/cgroup |
	while read -r group; do mkdir "/sys/fs/cgroup/$group"; done
	echo made
	`

func waitForGroupsInside(t *testing.T, launch runtime.Launch) {
	t.Helper()
	waitFor(t, "groups inside", func() bool {
		text, _ := os.ReadFile(filepath.Join(launch.Log.Dir, "stdout.0.log"))
		return strings.Contains(string(text), "made\n")
	})
}

// TestGroupsInsideGoToo: those that a program made inside of its own.
func TestGroupsInsideGoToo(t *testing.T) {
	needCgroups(t)
	t.Parallel()
	b := setUp(t, "inside", runtime.LimitsSoft)
	launch := b.launch("inside", groupsInside+"exec sleep 1000")
	b.start(t, launch)
	waitForGroupsInside(t, launch)
	if made := groups("inside", "inside.1/inner"); len(made) == 0 {
		t.Error("no group was made")
	}

	if err := b.Kill(t.Context(), launch.Key); err != nil {
		t.Fatal(err)
	}

	b.nextExit(t)
	if left := groups("inside", "inside.1"); len(left) > 0 {
		t.Errorf("cgroups are left: %s", left)
	}
}

func TestLimitsAreSetBeforeTheProgramRuns(t *testing.T) {
	needCgroups(t)
	t.Parallel()
	tests := map[runtime.Limits]struct{ shares, quota string }{
		runtime.LimitsSoft: {"256 35", "-1 max 100000"},
		runtime.LimitsHard: {"256 35", "25000 25000 100000"},
	}
	for limits, tc := range tests {
		t.Run(string(limits), func(t *testing.T) {
			t.Parallel()
			agent := id.Agent("limits-" + limits)
			b := setUp(t, agent, limits)
			launch := b.launch("limited", "cat /proc/self/cgroup; exec sleep 1000")
			launch.CPUMillis, launch.MemoryBytes = 250, 64<<20
			b.start(t, launch)

			memory := setting(agent, "limited.1", "memory.limit_in_bytes", "memory.max")
			shares := setting(agent, "limited.1", "cpu.shares", "cpu.weight")
			quota := setting(agent, "limited.1", "cpu.cfs_quota_us", "cpu.max")

			if memory != fmt.Sprint(64<<20) {
				t.Errorf("memory limit is %q", memory)
			}
			if shares == "" || !strings.Contains(tc.shares, shares) {
				t.Errorf("cpu shares are %q, want one of %q", shares, tc.shares)
			}
			if quota == "" || !strings.Contains(tc.quota, quota) {
				t.Errorf("cpu quota is %q, want one of %q", quota, tc.quota)
			}
			waitFor(t, "the program's first words", func() bool {
				text, _ := os.ReadFile(filepath.Join(launch.Log.Dir, "stdout.0.log"))
				return strings.Contains(string(text), "/aloft/"+string(agent)+"-") && strings.Contains(string(text), "/limited.1\n")
			})
			if err := b.Kill(t.Context(), launch.Key); err != nil {
				t.Fatal(err)
			}
			b.nextExit(t)
			if left := groups(agent, "limited.1"); len(left) > 0 {
				t.Errorf("cgroups are left: %s", left)
			}
		})
	}
}

func TestOOMIsTold(t *testing.T) {
	needCgroups(t)
	t.Parallel()
	b := setUp(t, "oom", runtime.LimitsSoft)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for task, memory := range map[id.Task]int64{"starved": 24 << 20, "fed": 512 << 20} {
		launch := b.launch(task, "")
		launch.Command = []string{self}
		launch.Env = map[string]string{role: "glutton"}
		launch.MemoryBytes = memory
		b.start(t, launch)

		exit := b.nextExit(t)

		if oom := task == "starved"; exit.OOM != oom || (exit.Signal == int(unix.SIGKILL)) != oom {
			t.Errorf("%s: exit = %+v", task, exit)
		}
	}
}

// TestAForkBombIsStopped has a program that forks faster than anyone can kill
// one by one.
func TestAForkBombIsStopped(t *testing.T) {
	needCgroups(t)
	t.Parallel()
	b := setUp(t, "bomb", runtime.LimitsSoft)
	launch := b.launch("bomb", `
		echo 'echo >>alive; (setsid sh "$0" </dev/null >/dev/null 2>&1 &)' >again.sh
		for n in 1 2 3 4; do (env -i PATH=$PATH setsid sh again.sh &); done
		exec sleep 1000`)
	launch.MemoryBytes = 256 << 20
	b.start(t, launch)
	size := func() int64 {
		info, err := os.Stat(filepath.Join(launch.Sandbox, "alive"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	waitFor(t, "generations", func() bool { return size() > 20 })

	if err := b.Kill(t.Context(), launch.Key); err != nil {
		t.Fatal(err)
	}

	b.nextExit(t)
	before := size()
	b.start(t, b.launch("after", "exit 0")) // time passes
	b.nextExit(t)
	if after := size(); after != before {
		t.Errorf("it goes on: %d generations after the exit was told", after-before)
	}
}

// TestWithoutRootTasksRunWithoutLimits is an agent of an ordinary user.
func TestWithoutRootTasksRunWithoutLimits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	agent := exec.CommandContext(t.Context(), "/proc/self/exe", dir)
	agent.Env = append(os.Environ(), role+"=ordinary", "TMPDIR="+dir)
	agent.Dir = "/"
	if os.Getuid() == 0 {
		agent.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
		if err := errors.Join(os.Chown(dir, 12345, 12345), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
	}

	said, err := agent.CombinedOutput()
	if err != nil {
		t.Errorf("the agent: %v", err)
	}
	if n := strings.Count(string(said), "tasks run without cpu and memory limits"); n != 1 {
		t.Errorf("said %d times that there are no limits", n)
	}
	for _, want := range []string{"one.1 0 ", "two.1 0 ", "cannot run as this user"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if t.Failed() {
		t.Logf("the agent said:\n%s", said)
	}
}

// beOrdinary runs two tasks, and tries to run one as root.
func beOrdinary(dir string) error {
	process, err := runtime.New(runtime.Config{
		Agent: "ordinary", Dir: filepath.Join(dir, "supervisor"),
		Supervisor: []string{"/proc/self/exe", filepath.Join(dir, "supervisor")},
		Log:        slog.New(slog.NewTextHandler(os.Stdout, nil)),
	})
	if err != nil {
		return err
	}
	if err := os.Setenv(role, "supervisor"); err != nil { // for the process that Run starts
		return err
	}
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { _ = process.Run(ctx) })
	b := bench{Process: process, dir: dir}
	var problems []error
	for _, task := range []id.Task{"one", "two"} {
		launch := b.launch(task, "exit 0")
		launch.CPUMillis, launch.MemoryBytes = 100, 32<<20
		problems = append(problems, process.Start(ctx, launch))
		exit := <-process.Exits()
		fmt.Fprintln(os.Stdout, exit.Key, exit.Code, exit.StartError)
	}
	root := b.launch("root", "exit 0")
	root.User = "root"
	fmt.Fprintln(os.Stdout, process.Start(ctx, root))
	stop()
	running.Wait()
	ending, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(append(problems, process.Shutdown(ending))...)
}

// TestATinyLimitHarmsOnlyItsTask gives a task less memory than it needs to be
// executed; the supervisor, whose thread is in its group meanwhile, works on.
func TestATinyLimitHarmsOnlyItsTask(t *testing.T) {
	needCgroups(t)
	t.Parallel()
	b := setUp(t, "tiny", runtime.LimitsHard)
	for n := range 3 {
		tiny := b.launch(id.Task(fmt.Sprint("tiny-", n)), "exit 0")
		tiny.MemoryBytes, tiny.CPUMillis = 4096, 1
		b.start(t, tiny)
		if exit := b.nextExit(t); exit.Code == 0 {
			t.Errorf("it ran: %+v", exit)
		}
		b.start(t, b.launch(id.Task(fmt.Sprint("next-", n)), "exit 0"))
		if exit := b.nextExit(t); exit.Code != 0 {
			t.Errorf("the next one: %+v", exit)
		}
	}
}

func TestManyShortTasks(t *testing.T) {
	t.Parallel()
	b := setUp(t, "many", runtime.LimitsSoft)
	const n = 200
	var starting sync.WaitGroup
	defer starting.Wait()
	slots := make(chan struct{}, 8) // as many at a time as an agent might start
	for i := range n {
		starting.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			launch := b.launch(id.Task(fmt.Sprintf("short-%d", i)), "")
			launch.Command, launch.CPUMillis, launch.MemoryBytes = []string{"/bin/true"}, 100, 32<<20
			if err := b.Start(t.Context(), launch); err != nil {
				t.Error(err)
			}
		})
	}
	for range n {
		exit := b.nextExit(t)
		if exit.Code != 0 || exit.Signal != 0 || exit.StartError != "" {
			t.Errorf("exit = %+v", exit)
		}
		if err := b.Forget(t.Context(), exit.Key); err != nil {
			t.Error(err)
		}
	}
	if strings.Contains(b.log.String(), "WARN") && os.Getuid() == 0 {
		t.Logf("log:\n%s", b.log)
	}
}
