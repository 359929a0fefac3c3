package master

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aloft-run/aloft/core/engine"
	"github.com/aloft-run/aloft/core/resource"
	"github.com/aloft-run/aloft/store"
)

// errFull is the error for a change for which the store has no room. Nothing of it
// was done.
var errFull = errors.New("the store is full")

// standing is how much room there is in the store.
type standing int

const (
	ample standing = iota
	scarce
	full
)

// Room is scarce from scarceAt percent of the quota on: then it is time to do
// something. From fullAt on, what operators ask for is refused, so that what agents
// report, and what gives room, is still written.
const (
	scarceAt  = 60
	fullAt    = 90
	lookEvery = 5 * time.Second
	sayEvery  = 10 * time.Minute
)

func (s standing) String() string { return [...]string{"ample", "scarce", "full"}[s] }

func standingOf(room store.Room) standing {
	switch {
	case room.Full || room.Used >= room.Quota/100*fullAt:
		return full
	case room.Used >= room.Quota/100*scarceAt:
		return scarce
	default:
		return ample
	}
}

// admit refuses a change while the store is full, unless it gives room or undoes
// something.
func (m *Master) admit(event engine.Event) error {
	room, kept := m.store.Room()
	if !kept || standingOf(room) < full {
		return nil
	}
	switch event.(type) {
	case engine.StopService, engine.DeletePool, engine.RemoveAgent, engine.AbortMoves, engine.AbortDeployment, engine.PauseDeployment:
		return nil
	}
	format := func(bytes int64) string { return resource.Format(resource.Mem, resource.Scalar(bytes)) }
	return fmt.Errorf("%w: %s of %s are used; remove services or agents that are not needed, or start the masters with a higher --quota",
		errFull, format(room.Used), format(room.Quota))
}

// watchRoom says how much room there is when that changes, and now and then while it
// is not enough, until ctx is done.
func (m *Master) watchRoom(ctx context.Context) {
	before, said := ample, time.Now()
	for wait(ctx, lookEvery) {
		room, kept := m.store.Room()
		if !kept {
			return
		}
		m.lookAtDisk(ctx, room)
		now := standingOf(room)
		if now == before && (now == ample || time.Since(said) < sayEvery) {
			continue
		}
		level := [...]slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError}[now]
		m.cfg.Log.Log(ctx, level, "room in the store", slog.String("is", now.String()),
			slog.Int64("used_bytes", room.Used), slog.Int64("file_bytes", room.File), slog.Int64("quota_bytes", room.Quota))
		before, said = now, time.Now()
	}
}
