package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// cache keeps artifacts by their checksum, the file's name. The one that was
// not used for the longest time leaves first. Downloads grow in a folder beside
// them and are moved in when they are complete.
type cache struct {
	dir, growing string
	sizeMax      int64

	mu   sync.Mutex
	busy map[string]chan struct{} // by checksum; closed when the work on it ends
}

func openCache(dir string, sizeMax int64) (*cache, error) {
	c := &cache{
		dir:     filepath.Join(dir, "sha256"),
		growing: filepath.Join(dir, "growing"),
		sizeMax: sizeMax,
		busy:    make(map[string]chan struct{}),
	}
	if err := os.RemoveAll(c.growing); err != nil {
		return nil, fmt.Errorf("fetch cache: %w", err)
	}
	if err := c.makeFolders(); err != nil {
		return nil, err
	}
	return c, nil
}

// makeFolders makes what is missing: at any time the cache may be removed by
// hand.
func (c *cache) makeFolders() error {
	for _, folder := range []string{c.dir, c.growing} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("fetch cache: %w", err)
		}
	}
	return nil
}

// claim waits until nobody else works on a checksum. The caller calls release
// when it has done its work.
func (c *cache) claim(ctx context.Context, sum string) (release func(), err error) {
	for {
		c.mu.Lock()
		other, taken := c.busy[sum]
		if !taken {
			c.busy[sum] = make(chan struct{})
		}
		c.mu.Unlock()
		if !taken {
			return func() { c.release(sum) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (c *cache) release(sum string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.busy[sum])
	delete(c.busy, sum)
}

// open returns a kept artifact, or nil when there is none. It is checked again:
// a crash of the machine may have left a part of it under its name.
func (c *cache) open(ctx context.Context, sum string) (*os.File, error) {
	name := filepath.Join(c.dir, sum)
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return nil, os.RemoveAll(name) // it is not ours, and in the way
	}
	file, _ := os.Open(name) // whatever is wrong with it, it can be fetched
	if file == nil {
		return nil, nil
	}
	same, err := matches(ctx, file, sum)
	if err != nil {
		_ = file.Close() // read only
		return nil, err
	}
	if !same {
		_ = file.Close()    // read only
		_ = os.Remove(name) // it is replaced
		return nil, nil
	}
	now := time.Now()
	_ = os.Chtimes(name, now, now) // for the order of leaving
	return file, nil
}

// matches reports whether a file has a checksum, and leaves it at its beginning.
// One that cannot be read has not; only the context's end is an error.
func matches(ctx context.Context, file *os.File, sum string) (bool, error) {
	hash := sha256.New()
	_, unread := io.Copy(hash, reading(ctx, file))
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	_, unsought := file.Seek(0, io.SeekStart)
	return unread == nil && unsought == nil && hex.EncodeToString(hash.Sum(nil)) == sum, nil
}

// create returns a file to download to.
func (c *cache) create() (*os.File, error) {
	if err := c.makeFolders(); err != nil {
		return nil, err
	}
	return os.CreateTemp(c.growing, "*")
}

// keep moves a complete download in, and lets others leave until all fit. The
// file stays open in any case.
func (c *cache) keep(file *os.File, sum string) error {
	if err := os.Rename(file.Name(), filepath.Join(c.dir, sum)); err != nil {
		return fmt.Errorf("fetch cache: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.evict()
}

// evict removes the artifacts that were not used for the longest time.
func (c *cache) evict() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("fetch cache: %w", err)
	}
	var kept []fs.FileInfo
	var total int64
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // else it has just left
			kept = append(kept, info)
			total += info.Size()
		}
	}
	slices.SortFunc(kept, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range kept {
		if total <= c.sizeMax {
			break
		}
		if err := os.RemoveAll(filepath.Join(c.dir, info.Name())); err != nil {
			return fmt.Errorf("fetch cache: %w", err)
		}
		total -= info.Size()
	}
	return nil
}
