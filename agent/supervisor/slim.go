package supervisor

import (
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/aloft-run/aloft/footprint"
)

// beSmall keeps the process small: there is one for each agent, all the time,
// and it does little.
func beSmall() {
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(64 << 20) // far above what is used: a guard, not a diet
}

// rest gives memory back after some work.
func (s *server) rest() {
	if err := footprint.Shrink(); err != nil {
		s.cfg.Log.Warn("pages of the binary are kept in memory", slog.Any("error", err))
	}
}
