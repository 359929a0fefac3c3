package store

import (
	"fmt"
	"syscall"

	"github.com/aloft-run/aloft/core/resource"
)

// The disk of an embedded member is low when it has no room for what the member writes
// next: a segment of its log (64 MiB, reserved ahead), a growing file and a snapshot of
// it. With less than diskLeast it is not started: it would end by its first writes.
const (
	diskLow   = 256 << 20
	diskLeast = 16 << 20
)

// diskFree returns how many bytes the file system of a folder has left.
func diskFree(folder string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(folder, &stat); err != nil {
		return 0, fmt.Errorf("disk of %s: %w", folder, err)
	}
	return int64(stat.Bavail) * stat.Bsize, nil
}

// checkDisk refuses a data folder whose disk is full. What cannot be known is no reason
// to refuse it.
func checkDisk(folder string) error {
	free, err := diskFree(folder)
	if err != nil || free >= diskLeast {
		return nil //nolint:nilerr // see above
	}
	format := func(bytes int64) string { return resource.Format(resource.Mem, resource.Scalar(bytes)) }
	return fmt.Errorf("data folder %s: its disk has %s left, and a master wants at least %s to start; make room", folder, format(free), format(diskLeast))
}
