package runtime

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

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
	settings(groups supervisor.Cgroup, shares, quota int64) []supervisor.Setting
	folders(group string) []string // one per hierarchy
}

// newLimiter finds out what this machine has. The groups' names hold the
// supervisor's folder, as another agent here may have the same name.
func newLimiter(cfg Config) *limiter {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		dir = cfg.Dir // it is only for telling folders apart
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(dir)) // cannot fail
	l := &limiter{cfg: cfg, parent: fmt.Sprintf("/aloft/%s-%08x", cfg.Agent, hash.Sum32())}
	if cfg.Limits == LimitsOff {
		return l
	}
	found, err := findTree()
	if err == nil {
		err = writable(found)
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

// writable tells whether groups can be made.
func writable(found tree) error {
	for _, root := range found.folders("/") {
		if err := unix.Access(root, unix.W_OK); err != nil {
			return fmt.Errorf("cgroups in %s: %w", root, err)
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
	group := path.Join(l.parent, launch.Key.String())
	groups, err := l.tree.create(group, resources(launch))
	if errors.Is(err, fs.ErrNotExist) { // another agent's supervisor has just removed the empty groups above
		groups, err = l.tree.create(group, resources(launch))
	}
	if err != nil {
		l.explain(err)
		return supervisor.Cgroup{}
	}
	shares, quota := l.cpu(launch)
	groups.Then = l.tree.settings(groups, shares, quota)
	return groups
}

// resources returns the limits that hold from the first instruction on.
func resources(launch Launch) *specs.LinuxResources {
	limits := &specs.LinuxResources{CPU: &specs.LinuxCPU{}, Memory: &specs.LinuxMemory{}}
	if launch.MemoryBytes > 0 {
		limits.Memory.Limit = new(launch.MemoryBytes)
	}
	return limits
}

// cpu returns a launch's share of the cpus, with 1024 for one, and its quota in
// microseconds per cpuPeriod. Zero is none.
func (l *limiter) cpu(launch Launch) (shares, quota int64) {
	if launch.CPUMillis == 0 {
		return 0, 0
	}
	shares = min(max(launch.CPUMillis*1024/1000, 2), 262_144)
	if l.cfg.Limits == LimitsHard {
		quota = max(launch.CPUMillis*cpuPeriod/1000, 1000)
	}
	return shares, quota
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

// removeOthers removes the groups of attempts that the supervisor does not run, and
// the agent's own if there is none that it runs: they are left by one that was killed.
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
				_ = supervisor.RemoveGroup(filepath.Join(folder, entry.Name())) // not while a process is in it
			}
		}
		supervisor.RemoveEmpty(folder)
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

func (unifiedTree) settings(groups supervisor.Cgroup, shares, quota int64) []supervisor.Setting {
	var then []supervisor.Setting
	if shares > 0 {
		weight := cgroup2.ConvertCPUSharesToCgroupV2Value(uint64(shares))
		then = append(then, supervisor.Setting{
			Path: filepath.Join(groups.Unified, "cpu.weight"), Value: strconv.FormatUint(weight, 10),
		})
	}
	if quota > 0 {
		then = append(then, supervisor.Setting{
			Path: filepath.Join(groups.Unified, "cpu.max"), Value: fmt.Sprintf("%d %d", quota, cpuPeriod),
		})
	}
	return then
}

func (t unifiedTree) folders(group string) []string {
	return []string{filepath.Join(t.mount, group)}
}

// legacyTree is cgroup v1: one hierarchy per controller. The freezer is there
// for the supervisor, so that a task that is killed cannot fork meanwhile.
type legacyTree struct{ controllers []controller }

// controller is one hierarchy of cgroup v1.
type controller struct{ cgroup1.Subsystem }

func (c controller) folder(group string) string {
	return c.Subsystem.(interface{ Path(string) string }).Path(group)
}

func newLegacyTree() (legacyTree, error) {
	all, err := cgroup1.Default()
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
		t.controllers = append(t.controllers, controller{subsystem})
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
		made.Legacy = append(made.Legacy, supervisor.LegacyCgroup{Dir: c.folder(group)})
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

func (t legacyTree) settings(groups supervisor.Cgroup, shares, quota int64) []supervisor.Setting {
	var then []supervisor.Setting
	for i, c := range t.controllers {
		if c.Name() != cgroup1.Cpu {
			continue
		}
		add := func(file string, value int64) {
			then = append(then, supervisor.Setting{
				Path: filepath.Join(groups.Legacy[i].Dir, file), Value: strconv.FormatInt(value, 10),
			})
		}
		if shares > 0 {
			add("cpu.shares", shares)
		}
		if quota > 0 {
			add("cpu.cfs_period_us", cpuPeriod)
			add("cpu.cfs_quota_us", quota)
		}
	}
	return then
}

func (t legacyTree) folders(group string) []string {
	var folders []string
	for _, c := range t.controllers {
		folders = append(folders, c.folder(group))
	}
	return folders
}
