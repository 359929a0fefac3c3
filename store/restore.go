package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"
)

// revisionLeap is added to the revision of a snapshot that is restored. Epochs
// are revisions, and agents and routers refuse an older one than they have seen;
// so it must be larger than what the old cluster wrote since: with a thousand
// commits a second, in thirty years. It leaves room for a million restores.
const revisionLeap = 1_000_000_000_000

// Restores returns how often a cluster had been restored when it had that epoch.
func Restores(epoch uint64) int64 { return int64(epoch / revisionLeap) }

// What a folder holds besides while it is restored.
const (
	receivedFile  = "received"
	restoreFolder = "restoring"
)

// Restore makes the data folder of one member from a snapshot, and returns the
// snapshot's revision. The member is opened afterwards with the same Config. For
// several, each is restored from the same snapshot, with the same Cluster, before
// any of them is opened. They are a cluster of their own: no member of the old
// one can speak with them, and all processes of that must have ended.
//
// Every epoch and revision from then on is larger than any before.
//
// It refuses a folder that is not empty, a snapshot that is damaged (ErrDamaged),
// of a newer program (ErrNewerData), or not of a store with this Prefix, and an
// outside cluster (ErrOutside). After an error nothing is left in the folder.
func Restore(ctx context.Context, cfg Config, r io.Reader) (revision int64, err error) {
	cfg = cfg.withDefaults()
	switch err := cfg.validate(); {
	case err != nil:
		return 0, fmt.Errorf("store config: %w", err)
	case cfg.outside():
		return 0, fmt.Errorf("restore: %w", ErrOutside)
	case cfg.Join:
		return 0, errors.New("restore: a member that joins gets its data from the others")
	}
	if err := checkEmpty(cfg.DataDir); err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	home, err := openFolder(cfg.DataDir)
	if err != nil {
		return 0, fmt.Errorf("restore: %w", err)
	}
	revision, err = home.restore(ctx, cfg, r)
	if err != nil {
		err = errors.Join(fmt.Errorf("restore data folder %s: %w", cfg.DataDir, err), home.empty())
	}
	return revision, errors.Join(err, home.close())
}

// checkEmpty wants a folder that is not there or has nothing in it.
func checkEmpty(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("data folder %s is not empty: it holds %s", path, entries[0].Name())
	}
	return nil
}

// restore makes the member's own folder beside its place, and puts it there when
// it is whole.
func (f *folder) restore(ctx context.Context, cfg Config, r io.Reader) (revision int64, err error) {
	received, making := filepath.Join(f.path, receivedFile), filepath.Join(f.path, restoreFolder)
	sum, err := receive(ctx, received, r)
	if err != nil {
		return 0, err
	}
	revision, err = inspect(received, cfg.Prefix)
	if err != nil {
		return 0, err
	}
	own, members := clusterOf(cfg)
	err = snapshot.NewV3(newZap(cfg.Log)).Restore(snapshot.RestoreConfig{
		SnapshotPath:        received,
		Name:                cfg.Name,
		OutputDataDir:       making,
		PeerURLs:            []string{own},
		InitialCluster:      members,
		InitialClusterToken: fmt.Sprintf("aloft-%x", sum), // so that their numbers are not those of the old ones
		RevisionBump:        revisionLeap,
		MarkCompacted:       true,
	})
	if err != nil {
		return 0, err
	}
	return revision, errors.Join(os.Rename(making, f.member()), os.Remove(received))
}

// receive writes a snapshot to a file, and returns the sum that it ends in.
func receive(ctx context.Context, path string, r io.Reader) (sum []byte, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	sum, err = copySummed(ctx, file, r)
	if err := cmp.Or(err, file.Close()); err != nil {
		return nil, fmt.Errorf("receive the snapshot: %w", err)
	}
	return sum, nil
}

// copySummed copies a snapshot, and returns the sum that it ends in, if it is
// right.
func copySummed(ctx context.Context, w io.Writer, r io.Reader) (sum []byte, err error) {
	checked := newChecksum()
	_, err = io.Copy(io.MultiWriter(w, checked), readerUntil{ctx.Done(), r})
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	return checked.sum(), checked.check()
}

// readerUntil ends when done is closed.
type readerUntil struct {
	done <-chan struct{}
	r    io.Reader
}

func (r readerUntil) Read(p []byte) (n int, err error) {
	select {
	case <-r.done:
		return 0, io.ErrUnexpectedEOF
	default:
		return r.r.Read(p)
	}
}

// inspect returns the revision of a snapshot, if it is of a store with that
// prefix and of a format that we know.
func inspect(path, prefix string) (revision int64, err error) {
	db, err := bolt.Open(path, fileMode, &bolt.Options{ReadOnly: true})
	if err != nil {
		return 0, fmt.Errorf("the snapshot is not of etcd: %w", err)
	}
	defer func() { _ = db.Close() }()
	format := (&etcd{prefix: prefix}).versionKey()
	err = db.View(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(schema.Key.Name())
		if bucket == nil {
			return errors.New("the snapshot is not of etcd: it holds no keys")
		}
		cursor := bucket.Cursor()
		for at, value := cursor.Last(); at != nil; at, value = cursor.Prev() {
			revision = max(revision, mvcc.BytesToRev(at).Main)
			var pair mvccpb.KeyValue
			if err := proto.Unmarshal(value, &pair); err != nil {
				return fmt.Errorf("the snapshot is not of etcd: %w", err)
			}
			if string(pair.Key) == format && !mvcc.IsTombstone(at) { // the newest, since we come from the end
				return checkFormat(string(pair.Value))
			}
		}
		return fmt.Errorf("the snapshot holds no state of aloft below %s", prefix)
	})
	return revision, err
}
