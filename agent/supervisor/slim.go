package supervisor

import (
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/aloft-run/aloft/footprint"
)

// beSmall keeps the process small: there is one for each agent, all the time,
// and it does little. With one processor no thread wakes another to look for work
// that is not there, which takes more time than the work; but all of the process
// stands still from a fork until the program is executed (therefore reach).
func beSmall() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(64 << 20) // far above what is used: a guard, not a diet
}

// rest gives memory back after some work.
func (s *server) rest() {
	if err := footprint.Shrink(); err != nil {
		s.cfg.Log.Warn("pages of the binary are kept in memory", slog.Any("error", err))
	}
}
