// Package logs keeps what a task prints, in rotated files of bounded size, and
// reads it back.
//
// A stream, such as stdout, is a row of files in one folder: stdout.0.log is
// written now, stdout.1.log is the one before it, and so on. Read from the
// highest number to 0 they are the newest part of what the task printed, in
// order, with nothing missing between them.
//
// Logging never harms the task: what cannot be written is dropped and counted.
// A Writer belongs to whoever reads the task's pipe; readers need no lock,
// since files are only appended to, renamed and removed.
package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// SizeMaxDefault and FilesMaxDefault bound a stream when a Config says nothing.
const (
	SizeMaxDefault  = 10 << 20 // bytes in one file
	FilesMaxDefault = 5
)

// lineMax is the longest line, in bytes, that a rotation leaves whole, and the
// longest that Tail and Follow hand out.
const lineMax = 64 << 10

// Config says where a stream goes and how much of it is kept. Zero fields get
// their defaults.
type Config struct {
	Dir      string // made with the first file, see MakeFolder
	Name     string // of the stream, as in "stdout"
	SizeMax  int64  // bytes in one file; default 10 MiB, at least 1 KiB
	FilesMax int    // files kept, with the one being written; default 5
}

func (c Config) withDefaults() Config {
	if c.SizeMax == 0 {
		c.SizeMax = SizeMaxDefault
	}
	if c.FilesMax == 0 {
		c.FilesMax = FilesMaxDefault
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if c.Dir == "" {
		problems = append(problems, errors.New("a log needs a folder"))
	}
	if c.Name == "" || c.Name != filepath.Base(c.Name) || strings.HasPrefix(c.Name, ".") {
		problems = append(problems, fmt.Errorf("the stream's name is %q; it must be a plain file name", c.Name))
	}
	if c.SizeMax < 1<<10 {
		problems = append(problems, fmt.Errorf("SizeMax is %d bytes; it must be at least 1024", c.SizeMax))
	}
	if c.FilesMax < 1 {
		problems = append(problems, fmt.Errorf("FilesMax is %d; it must be at least 1", c.FilesMax))
	}
	return errors.Join(problems...)
}

// filePath returns the path of a stream's file number n; 0 is written now.
func filePath(dir, stream string, n int) string {
	return filepath.Join(dir, fmt.Sprintf("%s.%d.log", stream, n))
}

// MakeFolder makes the folder of a stream and the one that it is in, where they are
// missing, but nothing above them: that is somebody else's to make.
func MakeFolder(dir string) error {
	err := os.Mkdir(dir, 0o750)
	if errors.Is(err, os.ErrNotExist) {
		_ = os.Mkdir(filepath.Dir(dir), 0o750) // the next one tells
		err = os.Mkdir(dir, 0o750)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("log folder: %w", err)
	}
	return nil
}
