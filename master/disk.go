package master

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aloft-run/aloft/store"
)

// disk is what a master knows of the disk that keeps its part of the state.
type disk struct {
	mu      sync.Mutex // guards all below
	low     bool
	changed chan struct{} // closed and made anew when low changes
	said    time.Time
}

func newDisk() *disk { return &disk{changed: make(chan struct{})} }

// isLow returns whether it is nearly full, and what is closed when that changes.
func (d *disk) isLow() (low bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.low, d.changed
}

// set takes note, and reports whether it is to be said.
func (d *disk) set(low bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if low != d.low {
		d.low, d.said = low, time.Now()
		close(d.changed)
		d.changed = make(chan struct{})
		return true
	}
	if !low || time.Since(d.said) < sayEvery {
		return false
	}
	d.said = time.Now()
	return true
}

// lookAtDisk says when the disk is nearly full, now and then again, and when it has room.
func (m *Master) lookAtDisk(ctx context.Context, room store.Room) {
	if !m.disk.set(room.DiskLow) {
		return
	}
	if room.DiskLow {
		m.cfg.Log.ErrorContext(ctx, "the disk of this master is nearly full; when it is full, this master ends", slog.Int64("free_bytes", room.DiskFree))
	} else {
		m.cfg.Log.InfoContext(ctx, "the disk of this master has room again", slog.Int64("free_bytes", room.DiskFree))
	}
}
