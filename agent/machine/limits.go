package machine

import (
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// Limits are what the kernel gives to all of this container. Outside of a
// container there are none.
type Limits struct {
	CPUMillis   int64 // thousandths of a cpu; math.MaxInt64: no limit
	MemoryBytes int64 // math.MaxInt64: no limit
}

// ReadLimits returns the limits of the topmost control groups that can be seen,
// of either version. The file system is that of the machine, from its root.
func ReadLimits(root fs.FS) Limits {
	read := func(path string) []string {
		text, _ := fs.ReadFile(root, path) // not there: no limit
		return strings.Fields(string(text))
	}
	memory := append(read("sys/fs/cgroup/memory.max"), read("sys/fs/cgroup/memory/memory.limit_in_bytes")...)
	unified := read("sys/fs/cgroup/cpu.max") // quota and period
	legacy := append(read("sys/fs/cgroup/cpu/cpu.cfs_quota_us"), read("sys/fs/cgroup/cpu/cpu.cfs_period_us")...)
	limits := Limits{CPUMillis: min(cpuMillis(unified), cpuMillis(legacy)), MemoryBytes: math.MaxInt64}
	for _, text := range memory {
		if bytes, ok := positive(text); ok {
			limits.MemoryBytes = min(limits.MemoryBytes, bytes)
		}
	}
	return limits
}

// cpuMillis returns what a quota of so many microseconds in each period is.
func cpuMillis(quotaAndPeriod []string) int64 {
	if len(quotaAndPeriod) != 2 {
		return math.MaxInt64
	}
	quota, limited := positive(quotaAndPeriod[0])
	period, known := positive(quotaAndPeriod[1])
	if !limited || !known || quota > math.MaxInt64/1000 {
		return math.MaxInt64
	}
	return max(1, quota*1000/period)
}

// positive reads a number above 0. The words for no limit, max and -1, are none.
func positive(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0
}
