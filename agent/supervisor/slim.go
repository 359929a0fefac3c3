package supervisor

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// beSmall keeps the process small: there is one for each agent, all the time,
// and it does little.
func beSmall() {
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(64 << 20) // far above what is used: a guard, not a diet
}

// rest gives memory back after some work. The binary holds the whole of aloft:
// packages that are of no use here have touched many of its pages while they
// were initialised, and each page that is used brings its neighbours with it.
// What is needed again comes back from the page cache.
func (s *server) rest() {
	debug.FreeOSMemory()
	if err := dropCleanPages(); err != nil {
		s.cfg.Log.Warn("pages of the binary are kept in memory", slog.Any("error", err))
	}
}

// dropCleanPages unmaps the pages of our own binary that are as they are on
// disk: those of mappings that cannot be written and were not.
func dropCleanPages() error {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer func() { _ = maps.Close() }() // read only
	var from, to uintptr                // of the mapping that is read, 0 when it is none of ours
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line := lines.Text()
		if start, end, ok := mapping(line); ok {
			from, to = 0, 0
			if strings.HasSuffix(line, " "+self) && strings.Contains(line, " r-") {
				from, to = start, end
			}
			continue
		}
		fields := strings.Fields(line)
		if to == 0 || len(fields) != 3 || fields[0] != "Anonymous:" || fields[1] != "0" {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return lines.Err()
}

// mapping reads the first line of a mapping: "from-to perms ...".
func mapping(line string) (from, to uintptr, ok bool) {
	n, err := fmt.Sscanf(line, "%x-%x ", &from, &to)
	return from, to, err == nil && n == 2
}
