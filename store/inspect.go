package store

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
)

// Contents is what a snapshot holds.
type Contents struct {
	Revision int64          // all that was committed up to it is there
	Keys     map[string]int // how many there are, by the first part of their names
}

// Inspect reads the snapshot in a file and changes nothing. It refuses what
// Restore would refuse, with the same errors. An empty prefix is the default.
func Inspect(ctx context.Context, path, prefix string) (Contents, error) {
	keys := make(map[string]int)
	revision, err := readFile(ctx, path, prefix, func(key string, _ []byte) error {
		kind, _, _ := strings.Cut(key, "/")
		keys[kind]++
		return nil
	})
	if err != nil {
		return Contents{}, fmt.Errorf("inspect %s: %w", path, err)
	}
	return Contents{Revision: revision, Keys: keys}, nil
}

// ReadSnapshot visits all that the snapshot in a file holds, by the order of the
// keys, and changes nothing. The visitor must not keep a value, nor change it. It
// refuses what Restore would refuse. An empty prefix is the default.
func ReadSnapshot(ctx context.Context, path, prefix string, visit func(key string, value []byte) error) error {
	if _, err := readFile(ctx, path, prefix, visit); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// readFile visits what a snapshot holds once it is known to be whole and ours.
func readFile(ctx context.Context, path, prefix string, visit func(key string, value []byte) error) (revision int64, err error) {
	prefix = Config{Prefix: prefix}.withDefaults().Prefix
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	if _, err := copySummed(ctx, io.Discard, file); err != nil {
		return 0, err
	}
	if revision, err = inspect(path, prefix); err != nil {
		return 0, err
	}
	return revision, pairsOf(path, prefix, visit)
}

// pairsOf visits the keys of a store with a prefix that have not been deleted, in order, each
// with its last value.
func pairsOf(path, prefix string, visit func(key string, value []byte) error) error {
	db, err := bolt.Open(path, fileMode, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return db.View(func(tx *bolt.Tx) error {
		newest, packs := make(map[string][]byte), make(map[string][]byte)
		err := tx.Bucket(schema.Key.Name()).ForEach(func(revision, kept []byte) error { // oldest first
			pair, _, err := parsePair(kept)
			if err != nil {
				return err
			}
			of := newest
			key, ours := strings.CutPrefix(string(pair.Key), prefix+dataPart)
			if !ours {
				of = packs
				key, ours = strings.CutPrefix(string(pair.Key), prefix+packPart)
			}
			switch {
			case !ours:
			case mvcc.IsTombstone(revision):
				delete(of, key)
			default:
				of[key] = pair.Value
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := unpackInto(newest, packs); err != nil {
			return err
		}
		for _, key := range slices.Sorted(maps.Keys(newest)) {
			if err := visit(key, newest[key]); err != nil {
				return err
			}
		}
		return nil
	})
}

// unpackInto adds to pairs what packs say, by their names.
func unpackInto(pairs, packs map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(packs)) {
		entries, _, err := entriesOf(packs[name])
		if err != nil {
			return fmt.Errorf("%w: %s", err, name)
		}
		for _, e := range entries {
			if e.deleted() {
				delete(pairs, string(e.Key))
			} else {
				pairs[string(e.Key)] = e.Value
			}
		}
	}
	return nil
}
