package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds of the search for what a killed supervisor left.
const (
	settleEvery = 5 * time.Millisecond
	settleMax   = 10 * time.Second
)

// settleLost ends what is left of attempts that a killed supervisor ran, and
// records that they are over. Their programs died with it; what those had
// started is found by cgroup and by the marks in its environment. Those in kept
// are not lost: this process had them under another binary.
func (j *journal) settleLost(ctx context.Context, log *slog.Logger, kept map[Key]bool) error {
	lost := make(map[Key]*started)
	for key, begun := range j.live {
		if j.exits[key] == nil && !kept[key] {
			lost[key] = begun
		}
	}
	if len(lost) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleMax)
	defer cancel()
	due := time.NewTicker(settleEvery)
	defer due.Stop()
	for killLost(lost) > 0 {
		select {
		case <-due.C:
		case <-ctx.Done():
			return fmt.Errorf("end what a killed supervisor left: %w", context.Cause(ctx))
		}
	}
	for key, begun := range lost {
		log.WarnContext(ctx, "task lost: its supervisor was killed",
			slog.String("task", string(key.Task)), slog.Int("attempt", key.Attempt))
		_ = removeGroups(begun.Cgroup) // the runtime clears what is left in its own tree
		ended := Exit{
			Key: key, Code: -1, Signal: int(unix.SIGKILL), At: time.Now(),
			Error: "the supervisor of the task was killed, and the task with it",
		}
		if err := j.exit(ended); err != nil {
			return fmt.Errorf("supervisor journal: %w", err)
		}
	}
	return nil
}

// killLost kills what it finds, and returns how much that was.
func killLost(lost map[Key]*started) (found int) {
	for _, begun := range lost {
		if !killGroups(begun.Cgroup) {
			found++
		}
	}
	for pid := range processes() {
		if key, marked := readMark(pid); marked && lost[key] != nil {
			_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
			found++
		}
	}
	return found
}
