package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/aloft-run/aloft/footprint"
)

// restAfter is when a role has done all that only its start needs.
const restAfter = 5 * time.Second

// rest gives back the memory that only the start of a role needed.
func rest(ctx context.Context, log *slog.Logger) error {
	timer := time.NewTimer(restAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil
	}
	if err := footprint.Shrink(); err != nil {
		log.WarnContext(ctx, "pages of the binary are kept in memory", slog.Any("error", err))
	}
	return nil
}
