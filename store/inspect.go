package store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
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
	keys, err := count(path, (&etcd{prefix: prefix}).dataKey(""))
	return Contents{Revision: revision, Keys: keys}, err
}

// count counts the keys below a prefix that have not been deleted.
func count(path, prefix string) (map[string]int, error) {
	db, err := bolt.Open(path, fileMode, &bolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }()
	there := make(map[string]bool)
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(schema.Key.Name()).ForEach(func(at, value []byte) error { // oldest first
			var pair mvccpb.KeyValue
			if err := proto.Unmarshal(value, &pair); err != nil {
				return err
			}
			if key, ok := bytes.CutPrefix(pair.Key, []byte(prefix)); ok {
				there[string(key)] = !mvcc.IsTombstone(at)
			}
			return nil
		})
	})
	counts := make(map[string]int)
	for key, is := range there {
		if kind, _, _ := strings.Cut(key, "/"); is {
			counts[kind]++
		}
	}
	return counts, err
}
