// Package removal removes folders, and nothing that is mounted in them.
//
// A program that runs as root may mount anything in a folder of its own, and leave it there. What
// is mounted belongs to somebody else: to remove a folder with all that can be seen in it could
// remove the files of a whole machine.
package removal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrMounted is the error for a folder in which something is mounted.
var ErrMounted = errors.New("something is mounted there; unmount it")

// All removes a folder, or a file, with all that is in it. Where something is mounted in it, it
// removes nothing and returns an error that wraps ErrMounted. That there is no such folder is no
// error. Nothing must be mounted there meanwhile.
func All(dir string) error {
	place, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	above, err := filepath.EvalSymlinks(filepath.Dir(place)) // a mount is told by its real place; a link itself is only removed
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mounts, err := within(filepath.Join(above, filepath.Base(place)))
	if err != nil {
		return fmt.Errorf("look for what is mounted in %s: %w", dir, err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(mounts, ", "), ErrMounted)
	}
	return os.RemoveAll(dir)
}
