package supervisor_test

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aloft-run/aloft/agent/logs"
	"github.com/aloft-run/aloft/agent/supervisor"
)

// unifiedMount returns a folder under which cgroups of version 2 can be made,
// also where version 1 has the controllers.
func unifiedMount(t *testing.T) string {
	t.Helper()
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mounts.Close() }()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 3 && fields[2] == "cgroup2" && strings.HasPrefix(fields[3], "rw") && os.Getuid() == 0 {
			return fields[1]
		}
	}
	t.Skip("needs a cgroup v2 that can be written")
	return ""
}

// group makes a cgroup, one level below another.
func group(t *testing.T, mount, name string) string {
	t.Helper()
	dir := filepath.Join(mount, "aloft-test", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Skipf("needs a cgroup: %v", err)
	}
	t.Cleanup(func() { _ = errors.Join(os.Remove(dir), os.Remove(filepath.Dir(dir))) })
	return dir
}

// wantNothingLeft wants a daemon that took off its marks to have ended, and the group of its
// task to be gone.
func wantNothingLeft(t *testing.T, daemon int, group string) {
	t.Helper()
	if alive(daemon) {
		t.Error("the daemon, which took off its marks, lives on")
	}
	if _, err := os.Stat(group); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its group is left: %v", err)
	}
}

// TestAUnifiedCgroup has a program born in a group of cgroup v2, with a daemon
// that only the group can find while other tasks run.
func TestAUnifiedCgroup(t *testing.T) {
	client := ensure(t, t.TempDir())
	start(t, client, shell("neighbour", 1, "exec sleep 1000"))
	out := filepath.Join(t.TempDir(), "pid")
	s := shell("grouped", 1, "cat /proc/self/cgroup; env -i setsid sh -c 'echo $$ >"+out+"; exec sleep 1000' & until [ -s "+out+" ]; do sleep 0.01; done; exit 0")
	s.Cgroup.Unified = group(t, unifiedMount(t), "grouped.1")
	s.Log.Dir = t.TempDir()
	start(t, client, s)

	exit := nextExit(t, client)

	if exit.Key != s.Key || exit.Code != 0 || exit.OOM {
		t.Errorf("exit = %+v", exit)
	}
	lines, err := logs.Tail(s.Log.Dir, "stdout", 100)
	if err != nil || !strings.Contains(strings.Join(lines, "\n"), "/aloft-test/grouped.1") {
		t.Errorf("it was born in %q, %v", lines, err)
	}
	wantNothingLeft(t, readPID(t, out), s.Cgroup.Unified)
}

// TestACgroupInsideACgroup has a daemon in a group that the program made inside of
// its own; nothing else tells whose it is, while another task runs.
func TestACgroupInsideACgroup(t *testing.T) {
	client := ensure(t, t.TempDir())
	start(t, client, shell("neighbour", 1, "exec sleep 1000"))
	out := filepath.Join(t.TempDir(), "pid")
	s := shell("outer", 1, "env -i setsid sh -c 'echo $$ >$0/inner/cgroup.procs; echo $$ >"+out+"; exec sleep 1000' $GROUP & until [ -s "+out+" ]; do sleep 0.01; done")
	s.Cgroup.Unified = group(t, unifiedMount(t), "outer.1")
	s.Env = append(s.Env, "GROUP="+s.Cgroup.Unified)
	s.Argv[2] = "mkdir $GROUP/inner; " + s.Argv[2]
	start(t, client, s)

	exit := nextExit(t, client)

	if exit.Key != s.Key || exit.Code != 0 {
		t.Errorf("exit = %+v", exit)
	}
	wantNothingLeft(t, readPID(t, out), s.Cgroup.Unified)
}

// TestTheCgroupOfAKilledSupervisor is emptied and removed by the next one.
func TestTheCgroupOfAKilledSupervisor(t *testing.T) {
	dir := t.TempDir()
	client := ensure(t, dir)
	out := filepath.Join(t.TempDir(), "pid")
	s := shell("grouped", 1, "env -i setsid sh -c 'echo $$ >"+out+"; exec sleep 1000' & exec sleep 1000")
	s.Cgroup.Unified = group(t, unifiedMount(t), "lost.1")
	start(t, client, s)
	daemon := readPID(t, out)
	killSupervisor(t, client)

	client = ensure(t, dir)

	wantNothingLeft(t, daemon, s.Cgroup.Unified)
	if tasks, err := client.List(t.Context()); err != nil || len(tasks) != 1 || tasks[0].Exit == nil {
		t.Errorf("List = %+v, %v", tasks, err)
	}
}

func TestAGroupThatIsMissingIsAStartError(t *testing.T) {
	client := ensure(t, t.TempDir())
	tests := map[string]supervisor.Cgroup{
		"unified": {Unified: "/sys/fs/cgroup/none"},
		"legacy":  {Legacy: []supervisor.LegacyCgroup{{Dir: "/sys/fs/cgroup/none"}}},
		"setting": {Then: []supervisor.Setting{{Path: "/sys/fs/cgroup/none", Value: "1"}}},
	}
	attempt := 0
	for name, cgroup := range tests {
		t.Run(name, func(t *testing.T) {
			attempt++
			s := shell("astray", attempt, "exec sleep 1000")
			s.Cgroup = cgroup
			start(t, client, s)
			if exit := nextExit(t, client); exit.Code != -1 || !strings.Contains(exit.Error, "cgroup") {
				t.Errorf("exit = %+v", exit)
			}
			if left := marked("astray"); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}
