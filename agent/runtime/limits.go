package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sync"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/aloft-run/aloft/agent/supervisor"
)

// Limits says how a task is held to its cpus. Memory is always a hard limit.
type Limits string

// The ways to limit. All need cgroups that the agent may write, as root.
const (
	LimitsOff  Limits = "off"
	LimitsSoft Limits = "soft" // a share of the cpus when others want them too; all of them when not
	LimitsHard Limits = "hard" // never more than its cpus
)

// cpuPeriod is the span, in microseconds, over which a hard limit is measured.
const cpuPeriod = 100_000

// limiter makes the cgroups of tasks, and removes what became of none. It is
// safe for concurrent use: it keeps no state, but whether it has complained.
type limiter struct {
	cfg      Config
	parent   string // of the agent's groups, in each hierarchy
	tree     tree
	complain sync.Once
}

// tree is one kind of cgroup hierarchy.
type tree interface {
	create(group string, limits *specs.LinuxResources) (supervisor.Cgroup, error)
	folders(group string) []string // one per hierarchy
}

// newLimiter finds out what this machine has.
func newLimiter(cfg Config) *limiter {
	l := &limiter{cfg: cfg, parent: path.Join("/aloft", string(cfg.Agent))}
	if cfg.Limits == LimitsOff {
		return l
	}
	found, err := findTree()
	if err == nil {
		err = try(found, l.parent)
	}
	if err != nil {
		l.explain(err)
		return l
	}
	l.tree = found
	return l
}

func findTree() (tree, error) {
	switch cgroups.Mode() {
	case cgroups.Unified:
		return unifiedTree{"/sys/fs/cgroup"}, nil
	case cgroups.Legacy, cgroups.Hybrid:
		return newLegacyTree()
	default:
		return nil, errors.New("this machine has no cgroups")
	}
}

// try makes the parent's groups, to see whether it can.
func try(found tree, parent string) error {
	for _, folder := range found.folders(parent) {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// explain says once why tasks run without limits.
func (l *limiter) explain(err error) {
	l.complain.Do(func() {
		l.cfg.Log.Warn("tasks run without cpu and memory limits", slog.Any("error", err))
	})
}

// create makes the groups of a launch. Where that cannot be done the task runs
// without limits.
func (l *limiter) create(launch Launch) supervisor.Cgroup {
	if l.tree == nil {
		return supervisor.Cgroup{}
	}
	groups, err := l.tree.create(path.Join(l.parent, launch.Key.String()), l.resources(launch))
	if err != nil {
		l.explain(err)
		return supervisor.Cgroup{}
	}
	return groups
}

// resources returns a launch's limits in the words of the kernel's interface.
func (l *limiter) resources(launch Launch) *specs.LinuxResources {
	limits := &specs.LinuxResources{CPU: &specs.LinuxCPU{}, Memory: &specs.LinuxMemory{}}
	if launch.CPUMillis > 0 {
		limits.CPU.Shares = new(uint64(min(max(launch.CPUMillis*1024/1000, 2), 262_144)))
		if l.cfg.Limits == LimitsHard {
			limits.CPU.Period = new(uint64(cpuPeriod))
			limits.CPU.Quota = new(max(launch.CPUMillis*cpuPeriod/1000, 1000))
		}
	}
	if launch.MemoryBytes > 0 {
		limits.Memory.Limit = new(launch.MemoryBytes)
	}
	return limits
}

// remove removes the groups of a launch that was not started.
func (*limiter) remove(groups supervisor.Cgroup) {
	if groups.Unified != "" {
		_ = os.Remove(groups.Unified) // removeOthers tries again
	}
	for _, group := range groups.Legacy {
		_ = os.Remove(group.Dir) // removeOthers tries again
	}
}

// removeOthers removes the groups of attempts that the supervisor does not run:
// they are left by one that was killed.
func (l *limiter) removeOthers(known []supervisor.Task) {
	if l.tree == nil {
		return
	}
	running := make(map[string]bool)
	for _, task := range known {
		running[task.Key.String()] = task.Exit == nil
	}
	for _, folder := range l.tree.folders(l.parent) {
		entries, _ := os.ReadDir(folder) // removed: empty
		for _, entry := range entries {
			if entry.IsDir() && !running[entry.Name()] {
				_ = os.Remove(filepath.Join(folder, entry.Name())) // not while a process is in it
			}
		}
	}
}

// removeAll removes the agent's own groups, and ours when no other agent is left.
func (l *limiter) removeAll() {
	if l.tree == nil {
		return
	}
	l.removeOthers(nil)
	for _, group := range []string{l.parent, path.Dir(l.parent)} {
		for _, folder := range l.tree.folders(group) {
			_ = os.Remove(folder) // not while another group is in it
		}
	}
}

// unifiedTree is cgroup v2, mounted at mount.
type unifiedTree struct{ mount string }

func (t unifiedTree) create(group string, limits *specs.LinuxResources) (supervisor.Cgroup, error) {
	if _, err := cgroup2.NewManager(t.mount, group, cgroup2.ToResources(limits)); err != nil {
		return supervisor.Cgroup{}, fmt.Errorf("cgroup %s: %w", group, err)
	}
	return supervisor.Cgroup{Unified: filepath.Join(t.mount, group)}, nil
}

func (t unifiedTree) folders(group string) []string {
	return []string{filepath.Join(t.mount, group)}
}

// legacyTree is cgroup v1: one hierarchy per controller. The freezer is there
// for the supervisor, so that a task that is killed cannot fork meanwhile.
type legacyTree struct{ controllers []controller }

// controller is one hierarchy of cgroup v1.
type controller struct {
	cgroup1.Subsystem
	home string // the folder of the group that this process is in
}

func (c controller) folder(group string) string {
	return c.Subsystem.(interface{ Path(string) string }).Path(group)
}

func newLegacyTree() (legacyTree, error) {
	all, err := cgroup1.Default()
	if err != nil {
		return legacyTree{}, fmt.Errorf("cgroups: %w", err)
	}
	ours, _, err := cgroups.ParseCgroupFileUnified("/proc/self/cgroup")
	if err != nil {
		return legacyTree{}, fmt.Errorf("cgroups: %w", err)
	}
	var t legacyTree
	for _, subsystem := range all {
		switch subsystem.Name() {
		case cgroup1.Cpu, cgroup1.Memory, cgroup1.Freezer:
		default:
			continue
		}
		c := controller{Subsystem: subsystem}
		c.home = c.folder(ours[string(subsystem.Name())])
		if _, err := os.Stat(c.home); err != nil {
			c.home = c.folder("/") // the path is one outside of our container
		}
		t.controllers = append(t.controllers, c)
	}
	if len(t.controllers) < 3 {
		return legacyTree{}, errors.New("cgroups: the cpu, memory and freezer controllers are needed")
	}
	return t, nil
}

func (t legacyTree) create(group string, limits *specs.LinuxResources) (supervisor.Cgroup, error) {
	var subsystems []cgroup1.Subsystem
	var made supervisor.Cgroup
	for _, c := range t.controllers {
		subsystems = append(subsystems, c.Subsystem)
		made.Legacy = append(made.Legacy, supervisor.LegacyCgroup{Dir: c.folder(group), Home: c.home})
	}
	_, err := cgroup1.New(cgroup1.StaticPath(group), limits, cgroup1.WithHierarchy(
		func() ([]cgroup1.Subsystem, error) { return subsystems, nil }))
	if err != nil {
		for _, folder := range t.folders(group) {
			_ = os.Remove(folder) // some were made
		}
		return supervisor.Cgroup{}, fmt.Errorf("cgroup %s: %w", group, err)
	}
	return made, nil
}

func (t legacyTree) folders(group string) []string {
	var folders []string
	for _, c := range t.controllers {
		folders = append(folders, c.folder(group))
	}
	return folders
}
