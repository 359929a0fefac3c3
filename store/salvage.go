package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
)

// salvageFolder is where a data folder holds a copy of its member's own folder
// while that is salvaged.
const salvageFolder = "salvaging"

// Salvage writes a snapshot of what one member holds that has stopped, and returns
// a revision as Snapshot does. It is for a cluster whose majority is lost for good:
// what the others had committed and this one had not heard of is not there, and
// what it had heard of is, committed or not. The folder is left as it is.
//
// It refuses a folder that a process works in (ErrLocked), or without a member.
func Salvage(ctx context.Context, cfg Config, w io.Writer) (revision int64, err error) {
	cfg = cfg.withDefaults()
	cfg.Cluster, cfg.ListenPeer, cfg.ListenClient = nil, "", "" // nobody speaks to the copy
	if err := cfg.validate(); err != nil {
		return 0, fmt.Errorf("store config: %w", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, memberFolder)); err != nil {
		return 0, fmt.Errorf("salvage: data folder %s holds no member: %w", cfg.DataDir, err)
	}
	home, err := openFolder(cfg.DataDir)
	if err != nil {
		return 0, fmt.Errorf("salvage: %w", err)
	}
	revision, err = home.salvage(ctx, cfg, w)
	if err != nil {
		err = fmt.Errorf("salvage data folder %s: %w", cfg.DataDir, err)
	}
	return revision, errors.Join(err, os.RemoveAll(home.copied()), home.close())
}

func (f *folder) copied() string { return filepath.Join(f.path, salvageFolder) }

// salvage starts the copy of a member as a cluster of its own, and saves that.
func (f *folder) salvage(ctx context.Context, cfg Config, w io.Writer) (revision int64, err error) {
	if err := os.RemoveAll(f.copied()); err != nil { // of one that was killed
		return 0, err
	}
	if err := os.CopyFS(f.copied(), os.DirFS(f.member())); err != nil {
		return 0, err
	}
	for _, dir := range []string{"", "member"} { // CopyFS makes folders for everybody
		if err := os.Chmod(filepath.Join(f.copied(), dir), folderMode); err != nil {
			return 0, err
		}
	}
	settings, err := memberSettings(cfg, f.copied())
	if err != nil {
		return 0, err
	}
	settings.ForceNewCluster = true
	copied := &embedded{folder: f}
	if copied.server, err = embed.StartEtcd(settings); err != nil {
		return 0, err
	}
	defer copied.server.Close()
	if err := copied.led(ctx); err != nil {
		return 0, err
	}
	e := &etcd{client: v3client.New(copied.server.Server), embedded: copied, prefix: cfg.Prefix}
	defer func() { _ = e.client.Close() }()
	return e.snapshotOf(ctx, e.client, w)
}
