package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"
)

// Contents is what a snapshot holds.
type Contents struct {
	Revision int64          // all that was committed up to it is there
	Keys     map[string]int // how many there are, by the first part of their names
}

// Inspect reads the snapshot in a file and changes nothing. It refuses what
// Restore would refuse, with the same errors. An empty prefix is the default.
func Inspect(ctx context.Context, path, prefix string) (Contents, error) {
	contents, err := inspectFile(ctx, path, Config{Prefix: prefix}.withDefaults().Prefix)
	if err != nil {
		return Contents{}, fmt.Errorf("inspect %s: %w", path, err)
	}
	return contents, nil
}

func inspectFile(ctx context.Context, path, prefix string) (Contents, error) {
	file, err := os.Open(path)
	if err != nil {
		return Contents{}, err
	}
	defer func() { _ = file.Close() }()
	if _, err := copySummed(ctx, io.Discard, file); err != nil {
		return Contents{}, err
	}
	revision, err := inspect(path, prefix)
	if err != nil {
		return Contents{}, err
	}
	keys := make(map[string]int)
	err = pairsOf(path, (&etcd{prefix: prefix}).dataKey(""), func(key string, _ []byte) error {
		kind, _, _ := strings.Cut(key, "/")
		keys[kind]++
		return nil
	})
	return Contents{Revision: revision, Keys: keys}, err
}

// ReadSnapshot visits all that the snapshot in a file holds, by the order of the
// keys, and changes nothing. It refuses what Restore would refuse. An empty prefix
// is the default.
func ReadSnapshot(ctx context.Context, path, prefix string, visit func(key string, value []byte) error) error {
	prefix = Config{Prefix: prefix}.withDefaults().Prefix
	if _, err := inspectFile(ctx, path, prefix); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if err := pairsOf(path, (&etcd{prefix: prefix}).dataKey(""), visit); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// pairsOf visits the keys below a prefix that have not been deleted, in order, each
// with its last value.
func pairsOf(path, prefix string, visit func(key string, value []byte) error) error {
	db, err := bolt.Open(path, fileMode, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	there := make(map[string][]byte)
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(schema.Key.Name()).ForEach(func(at, value []byte) error { // oldest first
			var pair mvccpb.KeyValue
			if err := proto.Unmarshal(value, &pair); err != nil {
				return err
			}
			key, ok := bytes.CutPrefix(pair.Key, []byte(prefix))
			switch {
			case !ok:
			case mvcc.IsTombstone(at):
				delete(there, string(key))
			default:
				there[string(key)] = pair.Value
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(there)) {
		if err := visit(key, there[key]); err != nil {
			return err
		}
	}
	return nil
}
