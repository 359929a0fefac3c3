package router

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/aloft-run/aloft/core/route"
)

// stateFormat is the newest form of the state file that this router reads, and
// the one that it writes.
const stateFormat = 1

// asideSuffix is added to the name of a state file that cannot be used.
const asideSuffix = ".unusable"

// state is what the file holds.
type state struct {
	Format int         `json:"format"`
	Table  route.Table `json:"table"`
}

// restore applies the table of the last run. A file that cannot be used is no
// reason not to serve: it is put aside, for a newer router or for a person to
// look at, and the masters will send a table.
func (r *Router) restore() error {
	if r.cfg.StateFile == "" {
		return nil
	}
	text, err := os.ReadFile(r.cfg.StateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("router state: %w", err)
	}
	table, err := decodeState(text)
	if err == nil {
		err = r.apply(table)
	}
	if err == nil {
		r.restored = true
		return nil
	}
	r.cfg.Log.Error("state file put aside; serving nothing until the masters send a table",
		slog.String("file", r.cfg.StateFile+asideSuffix), slog.Any("error", err))
	if err := os.Rename(r.cfg.StateFile, r.cfg.StateFile+asideSuffix); err != nil {
		return fmt.Errorf("router state: %w", err)
	}
	return nil
}

func decodeState(text []byte) (route.Table, error) {
	var found state
	if err := json.Unmarshal(text, &found); err != nil {
		return route.Table{}, err
	}
	if found.Format != stateFormat {
		return route.Table{}, fmt.Errorf("it has format %d; this router reads format %d", found.Format, stateFormat)
	}
	return found.Table, nil
}

// keepTables writes the newest table to the state file, apart from the loop,
// which must not wait for the disk. It writes the last one before it returns.
func (r *Router) keepTables(ctx context.Context) {
	for {
		select {
		case table := <-r.keep:
			r.save(ctx, table)
		case <-ctx.Done():
			select {
			case table := <-r.keep:
				r.save(ctx, table)
			default:
			}
			return
		}
	}
}

func (r *Router) save(ctx context.Context, table route.Table) {
	if r.cfg.StateFile == "" || r.replaced.Load() {
		return
	}
	if err := writeState(r.cfg.StateFile, table); err != nil {
		r.cfg.Log.ErrorContext(ctx, "table not kept on disk; a restart without masters would serve an older one",
			slog.String("file", r.cfg.StateFile), slog.Any("error", err))
	}
}

// writeState replaces the file whole: after a crash there is the old one or the
// new one.
func writeState(path string, table route.Table) error {
	text, err := json.Marshal(state{Format: stateFormat, Table: table})
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) //nolint:errcheck // it is gone unless something went wrong before
	_, err = next.Write(text)
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
