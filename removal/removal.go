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
	"slices"
	"strings"
	"syscall"
)

// ErrMounted is the error for a folder in which something is mounted.
var ErrMounted = errors.New("something is mounted there; unmount it")

// All removes a folder, or a file, with all that is in it. Where something is mounted in it, it
// removes nothing and returns an error that wraps ErrMounted. That there is no such folder is no
// error. Nothing must be mounted there meanwhile.
func All(dir string) error { return new(Sweep).All(dir) }

// Sweep removes many folders, and looks once for what is mounted: when it removes the first.
// Nothing must be mounted in any of them from then on. The zero Sweep is ready; it is for one goroutine.
type Sweep struct {
	looked bool
	mounts []string
	err    error // of the look
}

// All removes a folder as the function All does.
func (s *Sweep) All(dir string) error {
	if syscall.Rmdir(dir) == nil { // it was empty, and nothing mounted there
		return nil
	}
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
	if !s.looked {
		s.looked = true
		s.mounts, s.err = mounted()
	}
	if s.err != nil {
		return fmt.Errorf("look for what is mounted in %s: %w", dir, s.err)
	}
	if inside := within(filepath.Join(above, filepath.Base(place)), s.mounts); len(inside) > 0 {
		return fmt.Errorf("%s: %w", strings.Join(inside, ", "), ErrMounted)
	}
	return os.RemoveAll(dir)
}

// within returns the mounts that are at a place or below it.
func within(place string, mounts []string) []string {
	return slices.DeleteFunc(slices.Clone(mounts), func(mount string) bool { return !strings.HasPrefix(mount+"/", place+"/") })
}
