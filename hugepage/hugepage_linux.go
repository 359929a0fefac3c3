package hugepage

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// affordable returns how much memory the machine has, or 0 where it is not to be had for the asking:
// the kernel counts what is reserved, or the process may have so much address space only.
func affordable() int64 {
	counted, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	var space unix.Rlimit
	var machine unix.Sysinfo_t
	if err != nil || bytes.HasPrefix(counted, []byte("2")) ||
		unix.Getrlimit(unix.RLIMIT_AS, &space) != nil || space.Cur != unix.RLIM_INFINITY ||
		unix.Sysinfo(&machine) != nil {
		return 0
	}
	return int64(machine.Totalram) * int64(machine.Unit) //nolint:gosec // of no machine it is more
}

// wantHuge asks for huge pages, and reports whether there may be some.
func wantHuge(memory []byte) bool { return unix.Madvise(memory, unix.MADV_HUGEPAGE) == nil }
